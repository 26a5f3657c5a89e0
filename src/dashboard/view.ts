/**
 * What the page is sent: a topic each, as JSON, whole and only when it has changed. Times are in ms since 1970 by the
 * clock of the process that serves the page, unless said otherwise; all texts are made safe and cut by `shown.ts`.
 */
import type { Alarm, ObservedLetters, ObservedStream } from "../contract/alarms.ts";
import type { Kind } from "../contract/contract.ts";
import type { DeadLetter, SubscriptionInfo } from "../contract/durable_messages.ts";
import type { RunStatus } from "../contract/flow.ts";
import type { PendingSchedule } from "../log/publishing/schedule_list.ts";

/** The topics. */
export interface Topics {
  readonly hello: Hello;
  readonly problems: readonly Problem[];
  readonly alarms: readonly AlarmView[];
  readonly timeline: readonly TimelineEntry[];
  readonly server: ServerView;
  readonly groups: Capped<LetterGroup>;
  /** Those that are stuck. */
  readonly runs: readonly RunView[];
  readonly nodes: NodesView;
  readonly traffic: TrafficView;
  readonly contracts: Capped<ContractView>;
  /** Sent once to a browser that connects: of each contract the points of 15 minutes, oldest first. */
  readonly history: Readonly<Record<string, readonly ContractPoint[]>>;
  /** The next point of each contract, every 10 s. */
  readonly points: Readonly<Record<string, ContractPoint>>;
  readonly subscriptions: Capped<SubscriptionView>;
  readonly letters: Capped<LetterView>;
  readonly retries: Capped<RetryView>;
  readonly schedules: Capped<ScheduleView>;
  readonly locks: Capped<LockView>;
  readonly events: EventsView;
}

/** The name of a topic. */
export type Topic = keyof Topics;

/** A list that was cut to what a page can show. */
export interface Capped<T> {
  readonly shown: readonly T[];
  /** How many there are. */
  readonly total: number;
}

/** The first topic of every connection. */
export interface Hello {
  readonly namespace: string;
  readonly address: string;
  readonly version: string;
  readonly allowChanges: boolean;
  /** The time of the serving process. */
  readonly now: number;
}

/** A part of the page that cannot be read now. */
export interface Problem {
  readonly part: string;
  readonly message: string;
}

/** An alarm, and what to do about it. */
export interface AlarmView extends Alarm {
  readonly advice: string;
}

/** Something that happened to the cluster while somebody looked. */
export interface TimelineEntry {
  /** Grows from entry to entry. */
  readonly n: number;
  readonly at: number;
  /** `joined`, `drained`, `elected`, … */
  readonly what: string;
  readonly about: string;
}

/** NATS itself. */
export interface ServerView {
  readonly name: string;
  readonly version: string;
  /** The way to the server and back, in ms. */
  readonly rtt: number;
  /** Bytes of the account's store, and its limit; 0 or less: none; `undefined`: it is not told. */
  readonly store?: { readonly used: number; readonly limit: number } | undefined;
  readonly streams: readonly StreamView[];
}

/** A stream or bucket of the namespace. */
export interface StreamView extends ObservedStream {
  readonly messages: number;
  /** The server that leads it; empty: a lone server, or none leads. */
  readonly leader: string;
  readonly consumers: number;
}

/** A run of a workflow; also in answer to `GET runs?workflow=…&status=…`. */
export interface RunView {
  readonly workflow: string;
  readonly id: string;
  /** Its id as it is stored: for requests, not for people. */
  readonly key: string;
  readonly status: RunStatus;
  /** The last stage that its handler named; empty: none. */
  readonly stage: string;
  readonly startedAt: number;
  /** Since when it does, or waits for, what is pending. */
  readonly since: number;
  readonly pending: string;
  /** The steps among it, which may be skipped. */
  readonly steps: readonly string[];
  /** A line for each entry. */
  readonly timeline: string;
}

/** Dead letters that failed alike. */
export interface LetterGroup
  extends Pick<ObservedLetters, "subscription" | "contract" | "code" | "count" | "first" | "last"> {
  readonly service: string;
  /** The first line of the cause, or else the message. */
  readonly cause: string;
  /** The whole cause of the newest. */
  readonly stack: string;
  /** Whether the handler decided so, with a code of its own. */
  readonly business: boolean;
  /** True if letters of its subscription are still unread: there may be more. */
  readonly partial: boolean;
}

/** The nodes, and how many are in each state. */
export interface NodesView extends Capped<NodeView> {
  readonly counts: Readonly<Record<NodeView["state"], number>>;
  /** Deadlocks of locks that ended because a node gave up a lock, since the nodes began. */
  readonly cycles: number;
}

/** A node. */
export interface NodeView {
  readonly id: string;
  /** `payments/ab12`. */
  readonly label: string;
  readonly service: string;
  /** `suspect`: it does not answer; `gone`: its process has ended; `drained`: it has left. */
  readonly state: "live" | "suspect" | "gone" | "drained";
  /** When it got into this state. */
  readonly since: number;
  /** Running handlers and waiting sends; requests that wait. */
  readonly busy: number;
  readonly queued: number;
  /** How long its last answer took, in ms; `undefined` before the first. */
  readonly ping?: number | undefined;
  /** By its own clock. */
  readonly startedAt: number;
  readonly version: string;
  readonly host: string;
  /** How many contracts it handles. */
  readonly handles: number;
  /** Resident memory, in bytes, and the share of one core that it uses; `undefined`: it does not say. */
  readonly memory?: number | undefined;
  readonly cpu?: number | undefined;
}

/** The picture of the requests. */
export interface TrafficView {
  /** Whether each circle is a service, because there are too many nodes. */
  readonly byService: boolean;
  readonly nodes: readonly TrafficCircle[];
  /** The busiest; there are `total`. */
  readonly edges: readonly TrafficEdge[];
  readonly total: number;
}

/** A node, or the nodes of a service. */
export interface TrafficCircle {
  readonly label: string;
  readonly state: NodeView["state"];
  /** How many nodes it stands for. */
  readonly count: number;
}

/** From one circle to another, by their places: requests a second, and those of them that fail. */
export type TrafficEdge = readonly [from: number, to: number, rate: number, failing: number];

/** A contract, in all nodes. */
export interface ContractView {
  readonly name: string;
  readonly kind: Kind;
  /** Runs of handlers a second in the last 10 s, and those that failed. */
  readonly rate: number;
  readonly failing: number;
  /** How long runs took in the last 10 s, in ms; `null`: there were none. */
  readonly p50: number | null;
  readonly p99: number | null;
  /** Running, or waiting for their turn. */
  readonly inHand: number;
  /** Failures since the page was first opened, the most frequent codes. */
  readonly codes: readonly (readonly [code: string, count: number])[];
  /** Labels of live nodes that handle it, cut; and how many there are. */
  readonly nodes: readonly string[];
  readonly handlers: number;
  /** Those of `failing` that the handler decided on, with a code of its own: no error of operation. */
  readonly refusing: number;
}

/** 10 s of a contract: see {@link ContractView}. */
export type ContractPoint = readonly [rate: number, failing: number, p50: number | null, p99: number | null];

/** A subscription to durable messages. */
export interface SubscriptionView extends Omit<SubscriptionInfo, "position" | "requested"> {
  /** Messages of the log that it read, a second. */
  readonly rate: number;
  /** Its lag in the last 15 minutes, oldest first. */
  readonly lags: readonly number[];
}

/** A message that its subscription has put aside. */
export interface ParkedView
  extends Pick<DeadLetter, "service" | "subscription" | "position" | "id" | "contract" | "key" | "attempts"> {
  /** The error of its last attempt; empty: it waits behind another. */
  readonly code: string;
  readonly error: string;
  /** What its handler threw: a first line, and the stack below; empty: it is not kept. */
  readonly cause: string;
}

/** A dead letter. */
export interface LetterView extends ParkedView {
  /** Where it is kept. */
  readonly place: string;
  /** When it became a dead letter. */
  readonly at: number;
  /** JSON, cut. */
  readonly payload: string;
  /** A request that its subscription's leader has not carried out yet. */
  readonly request: "replay" | "discard" | undefined;
  /** The {@link LetterGroup.cause} of its group. */
  readonly group: string;
  /** Whether the handler decided so, with a code of its own. */
  readonly business: boolean;
  /** Its payloads before it was edited, and since when each was a dead letter; cut; empty: it was not. */
  readonly history: string;
}

/** A message that waits for its next attempt, or behind another of its key. */
export interface RetryView extends ParkedView {
  /** When it is to be tried again; 0: as soon as it is the first of its key. */
  readonly due: number;
}

/** Something that is scheduled for later. */
export interface ScheduleView extends PendingSchedule {
  /** Its id as it is stored: for requests, not for people. */
  readonly key: string;
  /** When it is due next, in ms since 1970; `undefined`: only the server can tell. */
  readonly next: number | undefined;
}

/** A lock, a leadership, or a load of a cached value. */
export interface LockView {
  readonly kind: "lock" | "lead" | "load";
  readonly key: string;
  readonly holder: string;
  readonly token: number;
  /** By the holder's clock. */
  readonly since: number;
  readonly ttl: number;
  /** The nodes that wait, the next one first, cut; and how many there are. */
  readonly waiters: readonly string[];
  readonly waiting: number;
}

/** The end of the log, and events as they are published. */
export interface EventsView {
  readonly shown: readonly EventView[];
  /** Events that came too fast to be shown, since the page was opened. */
  readonly left: number;
}

/** An event. */
export interface EventView {
  /** Grows from event to event. */
  readonly n: number;
  readonly at: number;
  readonly durable: boolean;
  readonly name: string;
  readonly id: string;
  readonly key: string | undefined;
  readonly from: string;
  /** JSON, cut. */
  readonly payload: string;
}

/** The last runs of a schedule, in answer to `GET schedule?contract=…&id=…`; a line for each, the newest first. */
export type ScheduleRunsView = readonly string[];

/** Entities that have changed last, in answer to `GET entities?type=…`. */
export interface EntitiesView {
  readonly shown: readonly EntityRow[];
  /** What was read for it, and how much of it. */
  readonly searched: string;
}

/** An entity among others. */
export interface EntityRow {
  readonly type: string;
  readonly id: string;
  /** Its id as it is stored: for requests, not for people. */
  readonly key: string;
  /** How many events it has had; `undefined`: its last message cannot be read. */
  readonly version: number | undefined;
  /** Its last event, `forgotten`, or why its last message cannot be read; and when that was stored. */
  readonly last: string;
  readonly at: number;
}

/** An entity, in answer to `GET entity?type=…&id=…`. */
export interface EntityView {
  readonly type: string;
  readonly id: string;
  /** How many events it has had. */
  readonly version: number;
  readonly created: number | undefined;
  readonly changed: number | undefined;
  readonly forgotten: boolean;
  /** The version and state of its snapshot, cut; or why there is none. */
  readonly snapshot: string;
  /** The last ones, oldest first; one without a name is a fault, which its payload explains. */
  readonly events: readonly {
    readonly position: number;
    readonly at: number;
    readonly event: string;
    readonly version: number | undefined;
    /** The name and message id of the command that emitted it. */
    readonly command: string;
    readonly payload: string;
  }[];
}

/** What was found, in answer to `GET search?text=…`. */
export interface SearchView {
  readonly hits: readonly SearchHit[];
  /** What was read for it, and how much of it. */
  readonly searched: readonly string[];
}

/** Something with an id, a key, a correlation id or a causation that was looked for; empty: it has none. */
export interface SearchHit {
  readonly where: "event" | "dead letter" | "retry" | "run" | "entity";
  /** The contract, the workflow or the type of entity. */
  readonly name: string;
  readonly id: string;
  readonly key: string;
  readonly correlation: string;
  readonly causation: string;
  /** When it was stored or started; 0: it is not said. */
  readonly at: number;
  /** Its position, subscription or status. */
  readonly place: string;
  readonly payload: string;
}

/** The body of `POST change`: of dead letters, or what takes back a schedule. */
export type ChangeRequest = LettersRequest | EditRequest | CancelRequest | RunChangeRequest | RunsRequest;

/** Changes all runs that match: of a status, and of a workflow or with a part of an error, unless these are empty. */
export interface RunsRequest {
  readonly do: "retry runs" | "cancel runs";
  readonly matching: { readonly status: RunStatus; readonly workflow: string; readonly cause: string };
  /** Stays with the runs; a retry has none. */
  readonly reason?: string;
}

/** How many runs match, in answer to `GET count-runs?workflow=…&status=…&cause=…`. */
export interface RunCount {
  readonly count: number;
}

/** Has a run of a workflow try again what is pending, records a value for a step by hand, or ends the run. */
export interface RunChangeRequest {
  readonly do: "retry run" | "skip step" | "cancel run";
  readonly workflow: string;
  readonly id: string;
  /** Stays with the run; a retry has none. */
  readonly reason?: string;
  /** One of {@link RunView.steps}, and its value as JSON has it. */
  readonly step?: string;
  readonly value?: unknown;
}

/** Takes back what is scheduled. */
export interface CancelRequest {
  readonly do: "cancel";
  readonly contract: string;
  readonly id: string;
}

/** Replays or discards dead letters. */
export interface LettersRequest {
  readonly do: "replay" | "discard";
  /** The {@link LetterView.place} of each; or all that match. */
  readonly letters?: readonly string[];
  readonly matching?: LetterFilter;
}

/** Replays a dead letter with another payload. */
export interface EditRequest extends LetterText {
  readonly do: "edit";
  /** Its {@link LetterView.place}. */
  readonly letter: string;
}

/** The payload of a dead letter, in answer to `GET letter?place=…`. */
export interface LetterText {
  /** JSON. */
  readonly payload: string;
  /** Whether it has tags of what JSON lacks, such as dates. */
  readonly tagged: boolean;
}

/** Which dead letters, by what the page shows of them; what is left out does not matter. */
export interface LetterFilter {
  readonly service?: string;
  readonly subscription?: string;
  readonly contract?: string;
  readonly code?: string;
  /** As in {@link LetterGroup.cause}. */
  readonly cause?: string;
}

/** The answer to a change. */
export interface ChangeAnswer {
  /** How many requests were recorded; the leaders carry them out. */
  readonly done: number;
  readonly failed: number;
  /** The first error. */
  readonly error: string | undefined;
}
