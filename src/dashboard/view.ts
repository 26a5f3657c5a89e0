/**
 * The data that the page gets: topics, as JSON, each whole and only when it has changed. Times are in ms since 1970 by
 * the clock of the process that serves the page, unless stated otherwise; all texts are made safe and cut by
 * `shown.ts`.
 */
import type { Alarm, ObservedLetters, ObservedStream } from "../contract/nodes/alarms.ts";
import type { Kind } from "../contract/declaration/contract.ts";
import type { DeadLetter, SubscriptionInfo } from "../contract/calls/durable_messages.ts";
import type { LimitHealth } from "../contract/nodes/node_info.ts";
import type { RunStatus } from "../contract/calls/flow.ts";
import type { PendingSchedule } from "../log/publishing/schedule_list.ts";

/**
 * The topics of the page's data, each with the type of its value.
 * @decides what is sent to browsers
 */
export interface Topics {
  readonly hello: Hello;
  readonly problems: readonly Problem[];
  readonly alarms: readonly AlarmView[];
  readonly timeline: readonly TimelineEntry[];
  readonly server: ServerView;
  readonly groups: Capped<LetterGroup>;
  /** Workflow runs that are stuck. */
  readonly runs: FoundRuns;
  readonly nodes: NodesView;
  readonly traffic: TrafficView;
  readonly contracts: Capped<ContractView>;
  /**
   * Sent once to each browser, when it connects: for each contract, the graph points of the last 15 minutes, the
   * oldest first.
   */
  readonly history: Readonly<Record<string, readonly ContractPoint[]>>;
  /** The next graph point of each contract; sent every 10 s. */
  readonly points: Readonly<Record<string, ContractPoint>>;
  readonly subscriptions: Capped<SubscriptionView>;
  readonly letters: Capped<LetterView>;
  readonly retries: Capped<RetryView>;
  readonly schedules: Capped<ScheduleView>;
  readonly locks: Capped<LockView>;
  readonly events: EventsView;
}

/** Name of a topic. */
export type Topic = keyof Topics;

/** A list that was cut to the length that a page can show. */
export interface Capped<T> {
  readonly shown: readonly T[];
  /** Number of items before the list was cut. */
  readonly total: number;
}

/** The first topic of every connection. */
export interface Hello {
  readonly namespace: string;
  readonly address: string;
  readonly version: string;
  readonly allowChanges: boolean;
  /** Present time of the process that serves the page. */
  readonly now: number;
}

/** A part of the page whose data cannot be read at present. */
export interface Problem {
  readonly part: string;
  readonly message: string;
}

/** An alarm, with advice what to do about it. */
export interface AlarmView extends Alarm {
  readonly advice: string;
}

/** An event in the cluster that happened while a browser was connected. */
export interface TimelineEntry {
  /** Number that grows from entry to entry. */
  readonly n: number;
  readonly at: number;
  /** Kind of the event: `joined`, `drained`, `elected`, and so on. */
  readonly what: string;
  readonly about: string;
}

/** The state of NATS: the server, the store, and the streams. */
export interface ServerView {
  readonly name: string;
  /** Name and version of the server, such as `nats-server 2.15.1`; or which process uses a file. */
  readonly version: string;
  /** Duration of a round trip to the NATS server, in ms; 0 for a file. */
  readonly rtt: number;
  /** Used bytes of the account's store, and its limit (0 or less: no limit); `undefined`: unknown. */
  readonly store?: { readonly used: number; readonly limit: number } | undefined;
  readonly streams: readonly StreamView[];
}

/** A stream or bucket of the namespace. */
export interface StreamView extends ObservedStream {
  readonly messages: number;
  /** Name of the server that leads the stream; empty: it is a single server, or the stream has no leader. */
  readonly leader: string;
  readonly consumers: number;
}

/** A workflow run; also in the answer to `GET runs?workflow=…&status=…`. */
export interface RunView {
  readonly workflow: string;
  readonly id: string;
  /** Id of the run as it is stored; for requests, not for people. */
  readonly key: string;
  readonly status: RunStatus;
  /** The view that the run shows: a stage as its text, another view as JSON; empty: none. */
  readonly stage: string;
  readonly startedAt: number;
  /** Time at which the oldest pending entry of the run became pending. */
  readonly since: number;
  readonly pending: string;
  /** Names of the run's pending steps, which a user may skip. */
  readonly steps: readonly string[];
  /** Timeline of the run: a text with one line for each entry. */
  readonly timeline: string;
}

/** Dead letters that failed alike, as one group. */
export interface LetterGroup
  extends Pick<ObservedLetters, "subscription" | "contract" | "code" | "count" | "first" | "last"> {
  readonly service: string;
  /** First line of the cause of the newest letter, or else its error's message. */
  readonly cause: string;
  /** Whole cause (error and stack) of the newest letter. */
  readonly stack: string;
  /** True if the handler reported the failure with an error code of its own. */
  readonly business: boolean;
  /** True if letters of the group's subscription were not read yet: the group may have more. */
  readonly partial: boolean;
}

/** The nodes, and the number of nodes in each state. */
export interface NodesView extends Capped<NodeView> {
  readonly counts: Readonly<Record<NodeView["state"], number>>;
  /** Number of deadlocks of locks that ended because a node gave a lock up, since the nodes began. */
  readonly cycles: number;
}

/** A node of the cluster, as the page shows it. */
export interface NodeView {
  readonly id: string;
  /** Label of the node, such as `payments/ab12`. */
  readonly label: string;
  readonly service: string;
  /**
   * State of the node. `live`: it answers; `suspect`: it does not answer; `gone`: its process has ended; `drained`:
   * it has left in order.
   */
  readonly state: "live" | "suspect" | "gone" | "drained";
  /** Time at which the node got into its present state. */
  readonly since: number;
  /** Number of the node's running handlers and waiting sends. */
  readonly busy: number;
  /** Number of requests that wait in the node. */
  readonly queued: number;
  /** Time that the node's last answer took, in ms; `undefined` before the first answer. */
  readonly ping?: number | undefined;
  /** Time at which the node's process began, by its own clock. */
  readonly startedAt: number;
  readonly version: string;
  readonly host: string;
  /** Number of contracts that the node handles. */
  readonly handles: number;
  /** Resident memory of the node's process, in bytes; `undefined`: unknown. */
  readonly memory?: number | undefined;
  /** Share of one core that the node's process uses; `undefined`: unknown. */
  readonly cpu?: number | undefined;
}

/** The picture of the requests between nodes. */
export interface TrafficView {
  /** True if each circle stands for a service, because there are too many nodes. */
  readonly byService: boolean;
  readonly nodes: readonly TrafficCircle[];
  /** The lines of the picture with the most requests. */
  readonly edges: readonly TrafficEdge[];
  /** Number of lines before the list was cut. */
  readonly total: number;
}

/** A circle of the picture: a node, or the nodes of a service. */
export interface TrafficCircle {
  readonly label: string;
  readonly state: NodeView["state"];
  /** Number of nodes that the circle stands for. */
  readonly count: number;
}

/**
 * A line of the picture from one circle to another, both given by their indexes, with its requests per second, and
 * its failing requests per second.
 */
export type TrafficEdge = readonly [from: number, to: number, rate: number, failing: number];

/** A contract with its rates, on all nodes together. */
export interface ContractView {
  readonly name: string;
  readonly kind: Kind;
  /** Runs of handlers per second, in the last 10 s. */
  readonly rate: number;
  /** Failed runs of handlers per second, in the last 10 s. */
  readonly failing: number;
  /** Median duration of the runs in the last 10 s, in ms; `null`: there were none. */
  readonly p50: number | null;
  /** 99th percentile of the duration of the runs in the last 10 s, in ms; `null`: there were none. */
  readonly p99: number | null;
  /** Number of messages that run or wait for their turn. */
  readonly inHand: number;
  /** The most frequent error codes of failures since the page was first opened, with their counts. */
  readonly codes: readonly (readonly [code: string, count: number])[];
  /** Labels of live nodes that handle the contract, cut to a limit. */
  readonly nodes: readonly string[];
  /** Number of nodes that handle the contract. */
  readonly handlers: number;
  /** Part of `failing` that handlers reported with an error code of their own, and that are no errors in operation. */
  readonly refusing: number;
}

/** A point of a contract's graph, for 10 s; see the members of these names in {@link ContractView}. */
export type ContractPoint = readonly [rate: number, failing: number, p50: number | null, p99: number | null];

/** A subscription to durable messages. */
export interface SubscriptionView extends Omit<SubscriptionInfo, "position" | "requested"> {
  /** Number of messages of the log that the subscription reads per second. */
  readonly rate: number;
  /** Lags of the subscription in the last 15 minutes, the oldest first. */
  readonly lags: readonly number[];
  /** Its limits, as its leader says; absent: there are none, or the leader is not known. */
  readonly limits?: readonly LimitHealth[];
}

/** A message that a subscription has parked in its store. */
export interface ParkedView
  extends Pick<DeadLetter, "service" | "subscription" | "position" | "id" | "contract" | "key" | "attempts"> {
  /** Error code of the message's last attempt; empty: the message waits behind another one. */
  readonly code: string;
  readonly error: string;
  /** Error that the message's handler threw: a first line, and the stack below; empty: not stored. */
  readonly cause: string;
}

/** A dead letter: a parked message whose attempts are used up. */
export interface LetterView extends ParkedView {
  /** Place of the letter, which identifies it in requests. */
  readonly place: string;
  /** Time at which the message became a dead letter. */
  readonly at: number;
  /** Payload of the dead letter as JSON, cut to a limit. */
  readonly payload: string;
  /** Request about the letter that the subscription's leader has not carried out yet; `undefined`: none. */
  readonly request: "replay" | "discard" | undefined;
  /** Name of the letter's group: its {@link LetterGroup.cause}. */
  readonly group: string;
  /** True if the handler reported the failure with an error code of its own. */
  readonly business: boolean;
  /**
   * Payloads that the letter had before edits, each with the time since which it was a dead letter, cut to a limit;
   * empty: never edited.
   */
  readonly history: string;
}

/** A message that waits for its next attempt, or behind another message of its key. */
export interface RetryView extends ParkedView {
  /** Time of the message's next attempt; 0: as soon as the message is the first of its key. */
  readonly due: number;
}

/** A schedule: a message to be published later, or repeatedly. */
export interface ScheduleView extends PendingSchedule {
  /** Id of the schedule as it is stored; for requests, not for people. */
  readonly key: string;
  /** Time at which the schedule is due next, in ms since 1970; `undefined`: only the server can compute it. */
  readonly next: number | undefined;
}

/** A lock, a leadership, or a load of a cached value, that a node holds. */
export interface LockView {
  readonly kind: "lock" | "lead" | "load";
  readonly key: string;
  readonly holder: string;
  readonly token: number;
  /** Time since which the lock is held, by the holder's clock. */
  readonly since: number;
  readonly ttl: number;
  /** Labels of the nodes that wait for the lock, the next one first, cut to a limit. */
  readonly waiters: readonly string[];
  /** Number of nodes that wait for the lock. */
  readonly waiting: number;
}

/** The newest events: the end of the log, and events that are not durable. */
export interface EventsView {
  readonly shown: readonly EventView[];
  /** Number of events that came too fast to be shown since the page was opened. */
  readonly left: number;
}

/** An event of the cluster's programs, as the page shows it. */
export interface EventView {
  /** Number that grows from event to event. */
  readonly n: number;
  readonly at: number;
  readonly durable: boolean;
  readonly name: string;
  readonly id: string;
  readonly key: string | undefined;
  readonly from: string;
  /** Payload of the event as JSON, cut to a limit. */
  readonly payload: string;
}

/**
 * The last runs of a schedule, in the answer to `GET schedule?contract=…&id=…`: one line for each, the newest first.
 */
export type ScheduleRunsView = readonly string[];

/** The entities that were changed last, in the answer to `GET entities?type=…`. */
export interface EntitiesView {
  readonly shown: readonly EntityRow[];
  /** Text that says which parts of the stream were read for the answer. */
  readonly searched: string;
}

/** An entity in a list of entities. */
export interface EntityRow {
  readonly type: string;
  readonly id: string;
  /** Id of the entity as it is stored; for requests, not for people. */
  readonly key: string;
  /** Number of the entity's events; `undefined`: its last message cannot be read. */
  readonly version: number | undefined;
  /** Name of the entity's last event, `forgotten`, or the reason why its last message cannot be read. */
  readonly last: string;
  /** Time at which the entity's last message was stored. */
  readonly at: number;
}

/** An entity with its events, in the answer to `GET entity?type=…&id=…`. */
export interface EntityView {
  readonly type: string;
  readonly id: string;
  /** Number of the entity's events. */
  readonly version: number;
  readonly created: number | undefined;
  readonly changed: number | undefined;
  readonly forgotten: boolean;
  /** Version and state of the entity's snapshot, cut to a limit; or the reason why there is none. */
  readonly snapshot: string;
  /**
   * The last events of the entity, the oldest first. An entry without a name is a fault in the history, which its
   * payload explains.
   */
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

/** The result of a search, in the answer to `GET search?text=…`. */
export interface SearchView {
  readonly hits: readonly SearchHit[];
  /** Texts that say which parts of the stored data were read for the answer. */
  readonly searched: readonly string[];
}

/**
 * A message, entity or run that has the searched id, key, correlation id or causation. A member that does not apply
 * is empty.
 */
export interface SearchHit {
  readonly where: "event" | "dead letter" | "retry" | "run" | "entity";
  /** Name of the contract, of the workflow, or of the type of entity. */
  readonly name: string;
  readonly id: string;
  readonly key: string;
  readonly correlation: string;
  readonly causation: string;
  /** Time at which the message was stored, or the run was started; 0: unknown. */
  readonly at: number;
  /** Place of the hit: position in the log, subscription, or status. */
  readonly place: string;
  readonly payload: string;
}

/** The body of `POST change`: a change of dead letters, of subscriptions, of schedules or of workflow runs. */
export type ChangeRequest =
  | LettersRequest
  | EditRequest
  | PauseRequest
  | ScheduleRequest
  | RunChangeRequest
  | RunsRequest;

/** Pauses a subscription, or resumes it. */
export interface PauseRequest {
  readonly do: "pause" | "resume";
  readonly service: string;
  readonly subscription: string;
  /** Reason that is shown with the pause; absent for `resume`. */
  readonly reason?: string;
}

/**
 * Changes all workflow runs that match: that have this status, belong to this workflow, and have this text in an
 * error; an empty member matches all.
 */
export interface RunsRequest {
  readonly do: "retry runs" | "cancel runs";
  readonly matching: { readonly status: RunStatus; readonly workflow: string; readonly cause: string };
  /** Reason that is stored with the runs; absent for retries, which have none. */
  readonly reason?: string;
}

/** Workflow runs that match; also the answer to `GET runs?workflow=…&status=…`. */
export interface FoundRuns {
  readonly runs: readonly RunView[];
  /** True if there are more of them, which are left out. */
  readonly more: boolean;
}

/** Number of workflow runs that match, in the answer to `GET count-runs?workflow=…&status=…&cause=…`. */
export interface RunCount {
  readonly count: number;
}

/**
 * Changes one workflow run: retries its pending entries, records a value for one of its steps by hand, or cancels it.
 */
export interface RunChangeRequest {
  readonly do: "retry run" | "skip step" | "cancel run";
  readonly workflow: string;
  readonly id: string;
  /** Reason that is stored with the run; absent for a retry, which has none. */
  readonly reason?: string;
  /** Name of the step to skip: one of {@link RunView.steps}. */
  readonly step?: string;
  /** Value that the skipped step gets, as JSON. */
  readonly value?: unknown;
}

/** A user's request to cancel a schedule, or to pause or resume one that repeats. */
export interface ScheduleRequest {
  readonly do: "cancel" | "pause schedule" | "resume schedule";
  readonly contract: string;
  readonly id: string;
  /** Reason that is shown with a pause; absent for the others. */
  readonly reason?: string;
}

/** Replays or discards several dead letters. */
export interface LettersRequest {
  readonly do: "replay" | "discard";
  /** {@link LetterView.place} of each dead letter; absent: all letters that match the filter. */
  readonly letters?: readonly string[];
  readonly matching?: LetterFilter;
}

/** Replays one dead letter with another payload. */
export interface EditRequest extends LetterText {
  readonly do: "edit";
  /** {@link LetterView.place} of the dead letter. */
  readonly letter: string;
}

/** The payload of a dead letter, in the answer to `GET letter?place=…`. */
export interface LetterText {
  /** Payload of the dead letter as JSON. */
  readonly payload: string;
  /** True if the payload has tags for values that JSON lacks, such as dates. */
  readonly tagged: boolean;
}

/** A filter for dead letters, by the texts that the page shows of them. An absent member matches all letters. */
export interface LetterFilter {
  readonly service?: string;
  readonly subscription?: string;
  readonly contract?: string;
  readonly code?: string;
  /** Text of the letters' group, as in {@link LetterGroup.cause}. */
  readonly group?: string;
}

/** The answer to a user's request for a change. */
export interface ChangeAnswer {
  /** Number of changes that were requested successfully. (The leaders of subscriptions carry them out later.) */
  readonly done: number;
  readonly failed: number;
  /** Text of the first error of the requested changes; `undefined`: none failed. */
  readonly error: string | undefined;
}
