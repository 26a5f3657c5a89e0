/**
 * The data that the page gets: topics, as JSON, each whole and only when it has changed. Times are in ms since 1970 by
 * the clock of the process that serves the page, unless stated otherwise; all texts are made safe and cut by
 * `shown.ts`.
 */
import type { Alarm, ObservedLetters, ObservedStream } from "../contract/alarms.ts";
import type { Kind } from "../contract/contract.ts";
import type { DeadLetter, SubscriptionInfo } from "../contract/durable_messages.ts";
import type { RunStatus } from "../contract/flow.ts";
import type { PendingSchedule } from "../log/publishing/schedule_list.ts";

/** The topics and their values. */
export interface Topics {
  readonly hello: Hello;
  readonly problems: readonly Problem[];
  readonly alarms: readonly AlarmView[];
  readonly timeline: readonly TimelineEntry[];
  readonly server: ServerView;
  readonly groups: Capped<LetterGroup>;
  /** Stuck runs. */
  readonly runs: readonly RunView[];
  readonly nodes: NodesView;
  readonly traffic: TrafficView;
  readonly contracts: Capped<ContractView>;
  /** Sent once to a browser that connects: the points of 15 minutes of each contract, oldest first. */
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

/** A list that was cut to the length that a page can show. */
export interface Capped<T> {
  readonly shown: readonly T[];
  /** Number of all items. */
  readonly total: number;
}

/** The first topic of every connection. */
export interface Hello {
  readonly namespace: string;
  readonly address: string;
  readonly version: string;
  readonly allowChanges: boolean;
  /** Time of the serving process. */
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

/** An event in the cluster while a browser was connected. */
export interface TimelineEntry {
  /** Number that grows from entry to entry. */
  readonly n: number;
  readonly at: number;
  /** Kind of the event: `joined`, `drained`, `elected`, … */
  readonly what: string;
  readonly about: string;
}

/** The state of NATS. */
export interface ServerView {
  readonly name: string;
  readonly version: string;
  /** Round trip to the server, in ms. */
  readonly rtt: number;
  /** Used bytes of the account's store, and its limit (0 or less: none); `undefined`: unknown. */
  readonly store?: { readonly used: number; readonly limit: number } | undefined;
  readonly streams: readonly StreamView[];
}

/** A stream or bucket of the namespace. */
export interface StreamView extends ObservedStream {
  readonly messages: number;
  /** Name of the server that leads the stream; empty: a single server, or no leader. */
  readonly leader: string;
  readonly consumers: number;
}

/** A run of a workflow; also in answer to `GET runs?workflow=…&status=…`. */
export interface RunView {
  readonly workflow: string;
  readonly id: string;
  /** Id of the run as it is stored: for requests, not for people. */
  readonly key: string;
  readonly status: RunStatus;
  /** Last stage that the run's handler named; empty: none. */
  readonly stage: string;
  readonly startedAt: number;
  /** Time since which the oldest pending entry is pending. */
  readonly since: number;
  readonly pending: string;
  /** Names of the pending steps, which may be skipped. */
  readonly steps: readonly string[];
  /** Text with a line for each entry. */
  readonly timeline: string;
}

/** Dead letters that failed alike. */
export interface LetterGroup
  extends Pick<ObservedLetters, "subscription" | "contract" | "code" | "count" | "first" | "last"> {
  readonly service: string;
  /** First line of the cause, or else the message. */
  readonly cause: string;
  /** Whole cause of the newest letter. */
  readonly stack: string;
  /** True if the handler reported the failure with a code of its own. */
  readonly business: boolean;
  /** True if letters of the group's subscription are still unread: there may be more. */
  readonly partial: boolean;
}

/** The nodes, and their number in each state. */
export interface NodesView extends Capped<NodeView> {
  readonly counts: Readonly<Record<NodeView["state"], number>>;
  /** Number of deadlocks of locks that ended because a node gave up a lock, since the nodes began. */
  readonly cycles: number;
}

/** A node. */
export interface NodeView {
  readonly id: string;
  /** Label, such as `payments/ab12`. */
  readonly label: string;
  readonly service: string;
  /** State; `suspect`: the node does not answer; `gone`: its process has ended; `drained`: it has left. */
  readonly state: "live" | "suspect" | "gone" | "drained";
  /** Time at which the node got into this state. */
  readonly since: number;
  /** Number of running handlers and waiting sends. */
  readonly busy: number;
  /** Number of requests that wait. */
  readonly queued: number;
  /** Time that the last answer took, in ms; `undefined` before the first. */
  readonly ping?: number | undefined;
  /** Start of the process, by its own clock. */
  readonly startedAt: number;
  readonly version: string;
  readonly host: string;
  /** Number of contracts that the node handles. */
  readonly handles: number;
  /** Resident memory, in bytes; `undefined`: unknown. */
  readonly memory?: number | undefined;
  /** Share of one core that the process uses; `undefined`: unknown. */
  readonly cpu?: number | undefined;
}

/** The picture of the requests. */
export interface TrafficView {
  /** True if each circle is a service, because there are too many nodes. */
  readonly byService: boolean;
  readonly nodes: readonly TrafficCircle[];
  /** The busiest lines. */
  readonly edges: readonly TrafficEdge[];
  /** Number of all lines. */
  readonly total: number;
}

/** A node, or the nodes of a service. */
export interface TrafficCircle {
  readonly label: string;
  readonly state: NodeView["state"];
  /** Number of nodes that the circle stands for. */
  readonly count: number;
}

/** A line from one circle to another, by their indexes: requests a second, and failing requests a second. */
export type TrafficEdge = readonly [from: number, to: number, rate: number, failing: number];

/** A contract, on all nodes together. */
export interface ContractView {
  readonly name: string;
  readonly kind: Kind;
  /** Runs of handlers a second in the last 10 s. */
  readonly rate: number;
  /** Failed runs a second in the last 10 s. */
  readonly failing: number;
  /** Median duration of runs in the last 10 s, in ms; `null`: no runs. */
  readonly p50: number | null;
  /** 99th percentile of the duration of runs in the last 10 s, in ms; `null`: no runs. */
  readonly p99: number | null;
  /** Number of messages that run, or wait for their turn. */
  readonly inHand: number;
  /** The most frequent codes of failures since the page was first opened, with their counts. */
  readonly codes: readonly (readonly [code: string, count: number])[];
  /** Labels of live nodes that handle the contract, cut. */
  readonly nodes: readonly string[];
  /** Number of nodes that handle the contract. */
  readonly handlers: number;
  /** Part of `failing` that handlers reported with a code of their own: no error of operation. */
  readonly refusing: number;
}

/** The rates of a contract in 10 s: see {@link ContractView}. */
export type ContractPoint = readonly [rate: number, failing: number, p50: number | null, p99: number | null];

/** A subscription to durable messages. */
export interface SubscriptionView extends Omit<SubscriptionInfo, "position" | "requested"> {
  /** Number of messages of the log that the subscription reads a second. */
  readonly rate: number;
  /** Lag of the subscription in the last 15 minutes, oldest first. */
  readonly lags: readonly number[];
}

/** A message that its subscription has parked. */
export interface ParkedView
  extends Pick<DeadLetter, "service" | "subscription" | "position" | "id" | "contract" | "key" | "attempts"> {
  /** Code of the error of the last attempt; empty: the message waits behind another one. */
  readonly code: string;
  readonly error: string;
  /** Error that the handler threw: a first line, and the stack below; empty: not stored. */
  readonly cause: string;
}

/** A dead letter. */
export interface LetterView extends ParkedView {
  /** Place of the letter, for requests. */
  readonly place: string;
  /** Time at which the message became a dead letter. */
  readonly at: number;
  /** Payload as JSON, cut. */
  readonly payload: string;
  /** Request that the subscription's leader has not carried out yet. */
  readonly request: "replay" | "discard" | undefined;
  /** {@link LetterGroup.cause} of the letter's group. */
  readonly group: string;
  /** True if the handler reported the failure with a code of its own. */
  readonly business: boolean;
  /** Payloads before edits, with the time since which each was a dead letter, cut; empty: never edited. */
  readonly history: string;
}

/** A message that waits for its next attempt, or behind another message of its key. */
export interface RetryView extends ParkedView {
  /** Time of the next attempt; 0: as soon as the message is the first of its key. */
  readonly due: number;
}

/** A message that is scheduled for later. */
export interface ScheduleView extends PendingSchedule {
  /** Id of the schedule as it is stored: for requests, not for people. */
  readonly key: string;
  /** Time at which the schedule is due next, in ms since 1970; `undefined`: only the server can compute it. */
  readonly next: number | undefined;
}

/** A lock, a leadership, or a load of a cached value. */
export interface LockView {
  readonly kind: "lock" | "lead" | "load";
  readonly key: string;
  readonly holder: string;
  readonly token: number;
  /** Time since which the lock is held, by the holder's clock. */
  readonly since: number;
  readonly ttl: number;
  /** Names of the nodes that wait, the next one first, cut. */
  readonly waiters: readonly string[];
  /** Number of nodes that wait. */
  readonly waiting: number;
}

/** The end of the log, and events as they are published. */
export interface EventsView {
  readonly shown: readonly EventView[];
  /** Number of events that came too fast to be shown, since the page was opened. */
  readonly left: number;
}

/** An event. */
export interface EventView {
  /** Number that grows from event to event. */
  readonly n: number;
  readonly at: number;
  readonly durable: boolean;
  readonly name: string;
  readonly id: string;
  readonly key: string | undefined;
  readonly from: string;
  /** Payload as JSON, cut. */
  readonly payload: string;
}

/** The last runs of a schedule, in answer to `GET schedule?contract=…&id=…`; a line for each, the newest first. */
export type ScheduleRunsView = readonly string[];

/** The last changed entities, in answer to `GET entities?type=…`. */
export interface EntitiesView {
  readonly shown: readonly EntityRow[];
  /** Text with the parts that were read for the answer, and how much of them. */
  readonly searched: string;
}

/** An entity in a list. */
export interface EntityRow {
  readonly type: string;
  readonly id: string;
  /** Id of the entity as it is stored: for requests, not for people. */
  readonly key: string;
  /** Number of the entity's events; `undefined`: its last message cannot be read. */
  readonly version: number | undefined;
  /** Name of its last event, `forgotten`, or the reason why its last message cannot be read. */
  readonly last: string;
  /** Time at which its last message was stored. */
  readonly at: number;
}

/** An entity, in answer to `GET entity?type=…&id=…`. */
export interface EntityView {
  readonly type: string;
  readonly id: string;
  /** Number of the entity's events. */
  readonly version: number;
  readonly created: number | undefined;
  readonly changed: number | undefined;
  readonly forgotten: boolean;
  /** Version and state of the snapshot, cut; or the reason why there is none. */
  readonly snapshot: string;
  /** The last events, oldest first; an event without a name is a fault, which its payload explains. */
  readonly events: readonly {
    readonly position: number;
    readonly at: number;
    readonly event: string;
    readonly version: number | undefined;
    /** Name and message id of the command that emitted the event. */
    readonly command: string;
    readonly payload: string;
  }[];
}

/** The result of a search, in answer to `GET search?text=…`. */
export interface SearchView {
  readonly hits: readonly SearchHit[];
  /** Texts with the parts that were read for the answer, and how much of them. */
  readonly searched: readonly string[];
}

/** A message, entity or run with the searched id, key, correlation id or causation; an absent member is empty. */
export interface SearchHit {
  readonly where: "event" | "dead letter" | "retry" | "run" | "entity";
  /** Name of the contract, the workflow or the type of entity. */
  readonly name: string;
  readonly id: string;
  readonly key: string;
  readonly correlation: string;
  readonly causation: string;
  /** Time at which it was stored or started; 0: unknown. */
  readonly at: number;
  /** Position in the log, subscription or status. */
  readonly place: string;
  readonly payload: string;
}

/** The body of `POST change`: a change of dead letters, schedules or runs. */
export type ChangeRequest = LettersRequest | EditRequest | CancelRequest | RunChangeRequest | RunsRequest;

/** Changes all runs that match: of a status, and of a workflow or with a text in an error, unless these are empty. */
export interface RunsRequest {
  readonly do: "retry runs" | "cancel runs";
  readonly matching: { readonly status: RunStatus; readonly workflow: string; readonly cause: string };
  /** Reason that is stored with the runs; retries have none. */
  readonly reason?: string;
}

/** Number of runs that match, in answer to `GET count-runs?workflow=…&status=…&cause=…`. */
export interface RunCount {
  readonly count: number;
}

/** Retries the pending entries of a workflow's run, records a value for a step by hand, or cancels the run. */
export interface RunChangeRequest {
  readonly do: "retry run" | "skip step" | "cancel run";
  readonly workflow: string;
  readonly id: string;
  /** Reason that is stored with the run; a retry has none. */
  readonly reason?: string;
  /** Step to skip: one of {@link RunView.steps}. */
  readonly step?: string;
  /** Value of the skipped step, as JSON. */
  readonly value?: unknown;
}

/** Cancels a scheduled message. */
export interface CancelRequest {
  readonly do: "cancel";
  readonly contract: string;
  readonly id: string;
}

/** Replays or discards dead letters. */
export interface LettersRequest {
  readonly do: "replay" | "discard";
  /** {@link LetterView.place} of each letter; absent: all letters that match. */
  readonly letters?: readonly string[];
  readonly matching?: LetterFilter;
}

/** Replays a dead letter with another payload. */
export interface EditRequest extends LetterText {
  readonly do: "edit";
  /** {@link LetterView.place} of the letter. */
  readonly letter: string;
}

/** The payload of a dead letter, in answer to `GET letter?place=…`. */
export interface LetterText {
  /** Payload as JSON. */
  readonly payload: string;
  /** True if the payload has tags for values that JSON lacks, such as dates. */
  readonly tagged: boolean;
}

/** A filter for dead letters, by the texts that the page shows of them; an absent text matches all. */
export interface LetterFilter {
  readonly service?: string;
  readonly subscription?: string;
  readonly contract?: string;
  readonly code?: string;
  /** Text as in {@link LetterGroup.cause}. */
  readonly cause?: string;
}

/** The answer to a change. */
export interface ChangeAnswer {
  /** Number of requests that were recorded; the leaders carry them out. */
  readonly done: number;
  readonly failed: number;
  /** Text of the first error. */
  readonly error: string | undefined;
}
