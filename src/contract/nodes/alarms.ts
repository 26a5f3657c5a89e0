/**
 * Alarms for operators: `alarmsOf` makes alarms of observations of a cluster, for `health()`, metrics, `catga top`,
 * `catga doctor` and the dashboard. An alarm lasts as long as its cause; `docs/alarms.md` has a section for each kind.
 */
import { show } from "../../data/checks.ts";
import { listed } from "../../data/printable.ts";
import { isErrorCode } from "../../error.ts";
import type {
  Health,
  LimitOverride,
  NodeInfo,
  StoreHealth,
  SubscriptionHealth,
  SubscriptionPause,
} from "./node_info.ts";
import { plainLimitName } from "./announcement.ts";
import { drivenWorkflow } from "../declaration/workflow.ts";

/** An alarm, as `app.health()` returns it. */
export type Alarm = Health["alarms"][number];

/**
 * Observations of a cluster, from which alarms are made. The observer is the process that makes the alarms: a node or a
 * tool. All times are in ms since 1970, by the observer's clock.
 */
export interface Observed {
  readonly now: number;
  /** Time since which the observer has no connection to NATS. */
  readonly disconnected?: { readonly since: number } | undefined;
  /**
   * `gone`: the node's process ended without a drain. `ahead`: time in ms by which the node's clock is ahead of NATS's
   * clock, or, if that is not known, of the median of the nodes' clocks; negative: behind.
   */
  readonly nodes?: readonly {
    readonly label: string;
    readonly state: "live" | "suspect" | "gone";
    readonly since: number;
    readonly ahead?: number | undefined;
  }[];
  /** Contracts that a node handled or sends. */
  readonly contracts?: readonly ObservedContract[];
  readonly subscriptions?: readonly ObservedSubscription[];
  /** Dead letters (messages that a subscription gave up on), grouped by subscription, contract, code and cause. */
  readonly letters?: readonly ObservedLetters[];
  readonly streams?: readonly ObservedStream[];
  /**
   * Bytes that the NATS account has stored, and the account's `limit` in bytes; a `limit` of 0 or less means no limit.
   */
  readonly store?: { readonly used: number; readonly limit: number } | undefined;
  readonly breakers?: readonly { readonly node: string; readonly since: number }[];
  readonly runs?: readonly {
    readonly workflow: string;
    readonly run: string;
    readonly since: number;
    readonly why: string;
    /** Error that the last attempt of the run's stuck step threw. */
    readonly cause?: string | undefined;
  }[];
  /** True if more runs are stuck than `runs` lists. */
  readonly hasMoreRuns?: boolean;
  /**
   * Messages of other nodes that wait because this node already runs its maximum number of handlers: `since`, time
   * since which that maximum has been reached; `freed`, time at which a handler last ended.
   */
  readonly backlog?:
    | { readonly node: string; readonly count: number; readonly since: number; readonly freed: number }
    | undefined;
  /** The last standstill of a node's event loop, for `ms`, while a handler of this contract ran. */
  readonly blocked?:
    | { readonly node: string; readonly contract: string; readonly ms: number; readonly since: number }
    | undefined;
  /** Entities whose stored events a node could not read. */
  readonly entities?: readonly UnreadableEntity[];
  /** Messages and runs whose handlers failed, and that wait for their next attempt. */
  readonly retrying?: readonly ObservedRetry[];
  /** Databases whose outboxes the observer relays. */
  readonly stores?: readonly StoreHealth[];
  /** Contracts of which running programs have versions that do not fit each other. */
  readonly mismatches?: readonly ObservedMismatch[];
  /** Streams with wrong settings. */
  readonly settings?: readonly ObservedSettings[];
  /** Alarms that other observers reported, about things that this observer does not see. */
  readonly others?: readonly Alarm[];
}

/** A stream whose settings an operator has changed so that Catga refuses it. */
export interface ObservedSettings {
  readonly stream: string;
  /** The wrong setting, and what to do. */
  readonly reason: string;
  /** Number of messages that were removed from the stream between the last check with right settings and `since`. */
  readonly removed: number;
  readonly since: number;
}

/** Messages of one contract, or runs of one workflow, whose handlers failed, and that wait for their next attempt. */
export interface ObservedRetry {
  /** Name by which programs declare the contract; for runs: `workflow` and the name of the workflow. */
  readonly about: string;
  /** Label of the subscription; `undefined` for runs. */
  readonly subscription?: string | undefined;
  readonly count: number;
  /** True if `count` is a lower bound. */
  readonly partial?: boolean | undefined;
  /** Code and message of the last failure of the first of them, and the error that was thrown, if known. */
  readonly code: string;
  readonly message: string;
  readonly cause?: string | undefined;
  /** Time since which the first of them is retried, in ms since 1970; `undefined`: not known. */
  readonly since?: number | undefined;
}

/** An entity with stored events that a node cannot read or apply. */
export interface UnreadableEntity {
  readonly entity: string;
  readonly id: string;
  /** Time of the first attempt to read the entity, in ms since 1970. */
  readonly since: number;
  /** The name and number of the event, and the path that the event's schema refuses. */
  readonly why: string;
}

/** Nodes that handle a contract in a version that does not fit the version of a node that sends it. */
export interface ObservedMismatch {
  readonly contract: string;
  /** The nodes that handle the contract. */
  readonly nodes: readonly string[];
  /**
   * `unread`: parts of the sender's messages that the handling nodes refuse; `unreadable`: parts of the handling nodes'
   * answers that the sender refuses. Each entry is a path and a reason.
   */
  readonly unread: readonly string[];
  readonly unreadable: readonly string[];
  /** The node that sends messages of the contract. */
  readonly sender?: string;
}

/** A contract, and the nodes that handle its messages. */
export interface ObservedContract {
  readonly name: string;
  /** Number of live nodes that have a handler for the contract. */
  readonly handlers: number;
  /** The nodes that last handled messages of the contract. */
  readonly last: readonly string[];
  /** Number of messages of the contract that wait for a handler. */
  readonly waiting: number;
  /**
   * `since`: time since which no node handles the contract; `signedOff`: all nodes that last handled it have left the
   * cluster in an orderly way; `wanted`: a node still sends messages of it.
   */
  readonly since?: number | undefined;
  readonly signedOff?: boolean;
  readonly wanted?: boolean;
  /** Numbers of failures of the contract's handlers in the last 3 s, by code. */
  readonly failures?: Readonly<Record<string, number>>;
  /** The error that a handler of the contract threw, or failed with, if known. */
  readonly cause?: string | undefined;
}

/** State of a subscription, from which alarms are made. */
export interface ObservedSubscription {
  /** Label of the subscription: `<service>/<name>`. */
  readonly label: string;
  /** Reason why the subscription has stopped giving messages to its handlers; `undefined`: it has not stopped. */
  readonly stopped?: string | undefined;
  readonly since?: number | undefined;
  /** Text of the latest failure of the subscription. */
  readonly cause?: string | undefined;
  readonly abandoned?: boolean;
  readonly lag: number;
  /** True if the number of unread messages has grown in each of the last {@link GROWN} counts. */
  readonly growing?: boolean;
  /**
   * Time until the oldest unhandled message is deleted from the log, in ms; `undefined`: none is unhandled, or more
   * than a quarter of the time for which the log keeps it (`keep`) is left.
   */
  readonly ends?: number | undefined;
  /**
   * Only for a read model (a subscription with `each: "node"`), which retries a failed event instead of giving it up:
   * the failure, and the number of messages that are not handled yet.
   */
  readonly failing?: { readonly contract: string; readonly code: string; readonly count: number } | undefined;
  /** Messages whose handlers are still running long after their timeout. */
  readonly hanging?: SubscriptionHealth["hanging"] | undefined;
  /** Messages that all live nodes have refused, and that wait for a node with another version. */
  readonly awaiting?: SubscriptionHealth["awaiting"] | undefined;
  /** The pause by which an operator has it hand out nothing. */
  readonly paused?: SubscriptionHealth["paused"] | undefined;
  /** Settings of its limits by operators. */
  readonly overrides?: SubscriptionHealth["overrides"];
  /** The state of its limits, if it is known. */
  readonly limits?: SubscriptionHealth["limits"];
  /** Number of messages that it has read and not handled. Default: 0. */
  readonly open?: number;
}

/** Dead letters of one subscription and contract that failed with the same code. */
export interface ObservedLetters {
  readonly subscription: string;
  readonly contract: string;
  readonly code: string;
  /** `why`: the failure in one line; `cause`: the failure with all known details. */
  readonly why: string;
  readonly cause: string;
  readonly count: number;
  /** True if not all dead letters were read, so that there may be more than `count`. */
  readonly partial?: boolean;
  /** Times at which the first and the last of these dead letters were made, in ms since 1970. */
  readonly first: number;
  readonly last: number;
}

/** State of a stream or bucket of NATS. */
export interface ObservedStream {
  readonly name: string;
  readonly bytes: number;
  /** Maximum size of the stream, in bytes; 0 or less: no limit. */
  readonly limit: number;
  /** Number of servers that should have a copy of the stream. */
  readonly replicas: number;
  /** Servers that should have a copy of the stream, but are away or behind. */
  readonly missing: readonly string[];
}

/**
 * Returns true for a code that a handler chose itself, such as `SOLD_OUT` in `fail("SOLD_OUT", …)`; false for Catga's
 * own codes.
 */
export function isBusiness(code: string): boolean {
  return code !== "" && !isErrorCode(code);
}

/**
 * Returns true for a code which says that a handler broke (it threw, timed out, …); false for a code that the handler
 * returned by `fail`, and for failures of messages that reached no handler.
 */
export function isHandlerFailing(code: string): boolean {
  return !isBusiness(code) && !NOT_HANDLER.has(code);
}

/**
 * Makes the alarms of the observations, the most urgent first. `before`: the previous alarms. An alarm that continues
 * one of them (same kind and subject) keeps its `since`, if the observation has no time of its own.
 * @decides when an alarm stands, and its advice
 */
export function alarmsOf(observed: Observed, before: readonly Alarm[] = []): readonly Alarm[] {
  const since = new Map(before.map((alarm) => [keyOf(alarm), alarm.since]));
  const found = new Map<string, Alarm>();
  for (const { since: own, ...alarm } of [...raised(observed), ...observed.others ?? []]) {
    const key = keyOf(alarm);
    const known = found.get(key);
    if (known !== undefined) {
      const both = alarm.kind === "schema-mismatch" ? withOther(known, alarm) : known;
      // an observer that has just begun does not know since when: a node that has seen it longer does
      found.set(key, own !== undefined && own < both.since ? { ...both, since: own } : both);
      continue;
    }
    found.set(key, { ...alarm, since: own ?? since.get(key) ?? observed.now, docs: `catga docs alarms#${alarm.kind}` });
  }
  return [...found.values()].sort((a, b) =>
    Number(a.severity === "warning") - Number(b.severity === "warning") ||
    ALARM_KINDS.indexOf(a.kind) - ALARM_KINDS.indexOf(b.kind) || b.count - a.count || (a.about < b.about ? -1 : 1)
  );
}

/** Adds a mismatch of a contract, reported by another sender, to the known alarm about the same contract. */
function withOther(known: Alarm, { about, message, count }: Pick<Alarm, "about" | "message" | "count">): Alarm {
  const begin = misfitsOf(about);
  const more = message.startsWith(begin) ? message.slice(begin.length) : message;
  // an alarm that names the maximum number of mismatches stays as it is, and so does an alarm that names this mismatch
  // already
  if (known.count >= MAX_NAMED_MISMATCHES || known.message.includes(more.slice(0, -1))) return known;
  return { ...known, count: known.count + count, message: `${known.message.slice(0, -1)}; ${more}` };
}

function misfitsOf(contract: string): string {
  return `Programs run with versions of ${contract} that do not fit: `;
}

/** Identifies an alarm by its kind and its subject. */
export function keyOf({ kind, about }: Pick<Alarm, "kind" | "about">): string {
  return `${kind} ${about}`;
}

type Raised = Omit<Alarm, "since" | "docs"> & { readonly since?: number | undefined };

function* raised(observed: Observed): Iterable<Raised> {
  const { now, disconnected, nodes = [], contracts = [], subscriptions = [], letters = [] } = observed;
  const { streams = [], store, breakers = [], runs = [], backlog, entities = [], mismatches = [] } = observed;
  const { settings = [], others = [], hasMoreRuns = false } = observed;
  if (disconnected !== undefined) {
    const message = "There is no connection to NATS: nothing is sent or received until it is back.";
    yield { kind: "disconnected", about: "NATS", severity: "error", count: 1, message, since: disconnected.since };
  }
  for (const node of nodes) yield* ofNode(node, now);
  const full = others.some(({ kind }) => kind === "store-full"); // a node raises this alarm when its write was refused
  for (const contract of asDeclared(contracts)) yield* ofContract(contract, now, full);
  for (const subscription of subscriptions) yield* ofSubscription(subscription, full);
  for (const retry of observed.retrying ?? []) yield* ofRetry(retry, full);
  for (const group of letters) yield* ofLetters(group, now);
  for (const stream of streams) yield* ofStream(stream);
  for (const { stream: about, reason, removed, since } of settings) {
    const message = `${reason[0].toUpperCase()}${reason.slice(1)}.${removedText(removed)}`;
    yield { kind: "wrong-settings", about, severity: "error", count: Math.max(1, removed), message, since };
  }
  yield* ofCopies(streams);
  if (store !== undefined && store.limit > 0 && store.used >= NEARLY_FULL * store.limit) {
    const message = `NATS has used ${
      share(store.used, store.limit)
    } of its store: when it is full, nothing more is stored.`;
    yield { kind: "store-full", about: "NATS", severity: "error", count: store.used, message };
  }
  if (backlog !== undefined && now - backlog.since >= BACKLOG) {
    const { node: about, count, since, freed } = backlog;
    const still = now - Math.max(freed, since);
    const why = still < STILL ? "" : `, and none has become free for ${Math.floor(still / 1_000)} s`;
    const message = `All turns of ${about} are taken${why}. Messages of other programs that wait: ${count}.`;
    yield { kind: "node-overloaded", about, severity: why === "" ? "warning" : "error", count, message, since };
  }
  if (observed.blocked !== undefined) {
    const { node, contract, ms, since } = observed.blocked;
    const message = `The event loop of ${node} stood still for ${(ms / 1_000).toFixed(1)} s while a handler of ` +
      `${declaredName(contract)} ran: meanwhile it handled nothing, and led nothing.`;
    yield { kind: "loop-blocked", about: contract, severity: "warning", count: Math.round(ms), message, since };
  }
  for (const [about, own] of Map.groupBy(entities, ({ entity }) => entity)) {
    const [{ id, why }] = own;
    const [count, since] = [own.length, Math.min(...own.map(({ since }) => since))];
    const message = count === 1
      ? `The entity ${about} ${id} cannot be read, and its commands fail: ${why}`
      : `${count} entities ${about} cannot be read, and their commands fail: ${listed(own.map(({ id }) => id))}. ` +
        `Why the first: ${why}`;
    yield { kind: "entity-unreadable", about, severity: "error", count, message, since };
  }
  for (const store of observed.stores ?? []) yield* ofStore(store);
  for (const [about, own] of Map.groupBy(mismatches, ({ contract }) => contract)) {
    const parts = own.flatMap(({ nodes, unread, unreadable, sender = "this program" }) => [
      ...(unread.length === 0 ? [] : [`what ${sender} sends, ${listed(nodes)} would refuse: ${listed(unread, "; ")}`]),
      ...(unreadable.length === 0
        ? []
        : [`what ${listed(nodes)} would answer, ${sender} would refuse: ${listed(unreadable, "; ")}`]),
    ]);
    const message = `${misfitsOf(about)}${parts.join("; ")}.`;
    yield { kind: "schema-mismatch", about, severity: "warning", count: own.length, message };
  }
  for (const { node, since } of breakers) {
    const message = `Nothing is sent to ${node} for now: the last messages to it were not delivered.`;
    yield { kind: "breaker-open", about: node, severity: "warning", count: 1, message, since };
  }
  for (const [about, own] of Map.groupBy(runs, ({ workflow }) => workflow)) {
    const [{ run, why, cause }] = own;
    const [count, since] = [own.length, Math.min(...own.map(({ since }) => since))];
    const message = count === 1
      ? `The run ${run} of the workflow ${about} does not go on by itself: ${why}`
      : `${hasMoreRuns ? "At least " : ""}${count} runs of the workflow ${about} do not go on by themselves: ` +
        `${listed(own.map(({ run }) => run))}. Why the first: ${why}`;
    const thrown = cause === undefined ? {} : { cause };
    yield { kind: "run-stuck", about, severity: "error", count, message, since, ...thrown };
  }
}

function* ofStore({ name: about, oldest, refused, halted, error }: StoreHealth): Iterable<Raised> {
  const cause = error;
  if (halted !== undefined) {
    const message = `Nothing of the outbox ${about} is published until you decide: ${halted}`;
    yield { kind: "outbox-halted", about, severity: "error", count: 1, message };
  }
  if (refused > 0) {
    const message = `${refused} ${
      refused === 1 ? "row" : "rows"
    } of the outbox ${about} can never be stored in the log.`;
    yield { kind: "outbox-refused", about, severity: "error", count: refused, message };
  }
  if (oldest >= OUTBOX_LATE) {
    const message = `The outbox ${about} has had rows for ${Math.floor(oldest / 1_000)} s that are not in the log.`;
    yield { kind: "outbox-late", about, severity: "error", count: Math.round(oldest), message, cause };
  }
}

function* ofNode(
  { label, state, since, ahead = 0 }: NonNullable<Observed["nodes"]>[number],
  now: number,
): Iterable<Raised> {
  const base = { about: label, count: 1, since };
  if (state === "gone" && now - since < GONE) {
    const message = `The program ${label} is gone without signing off: it crashed, was killed, froze, or is cut off.`;
    yield { ...base, kind: "node-gone", severity: "error", message };
  }
  if (state === "suspect") {
    const message = `The program ${label} does not answer: it is frozen, overloaded, or cut off.`;
    yield { ...base, kind: "node-silent", severity: "error", message };
  }
  if (state === "live" && Math.abs(ahead) > APART) {
    const off = `${(Math.abs(ahead) / 1_000).toFixed(1)} s ${ahead > 0 ? "fast" : "slow"}`;
    const message = `The clock of ${label} is ${off}.`;
    yield { kind: "clocks-apart", about: label, severity: "warning", count: Math.round(Math.abs(ahead)), message };
  }
}

/**
 * Returns the name by which programs declare a contract. For an internal contract, with which nodes execute the runs of
 * a workflow: the name of the workflow.
 */
export function declaredName(contract: string): string {
  const workflow = drivenWorkflow(contract);
  return workflow === undefined ? contract : `workflow ${workflow}`;
}

/** The contracts as programs declare them, each once. */
function asDeclared(contracts: readonly ObservedContract[]): Iterable<ObservedContract> {
  const declared = new Map<string, ObservedContract>();
  for (const contract of contracts) {
    const name = declaredName(contract.name);
    const { waiting, wanted, failures, cause } = declared.get(name) ?? { waiting: 0 };
    const codes = { ...failures };
    for (const [code, count] of Object.entries(contract.failures ?? {})) codes[code] = (codes[code] ?? 0) + count;
    declared.set(name, {
      ...{ ...contract, name, failures: codes, waiting: contract.waiting + waiting },
      wanted: wanted || (contract.wanted ?? false),
      cause: cause ?? contract.cause,
    });
  }
  return declared.values();
}

function* ofContract(
  { name, handlers, last, waiting, since, signedOff = false, wanted = false, failures = {}, cause }: ObservedContract,
  now: number,
  full: boolean,
): Iterable<Raised> {
  if (handlers === 0) {
    // no alarm: all nodes that handled the contract have left in an orderly way, or have been gone for 15 minutes, and
    // no node sends messages of it
    if (waiting === 0 && !wanted && (signedOff || now - (since ?? now) > GONE)) return;
    const [one, more] = signedOff ? ["has signed off", "have signed off"] : ["is gone", "are gone"];
    const who = last.length === 0 ? "" : `: ${last.join(", ")} did, and ${last.length === 1 ? one : more}`;
    const message = `Nobody handles ${name}${who}.${waiting === 0 ? "" : ` ${waits(waiting)}`}`;
    yield { kind: "no-node", about: name, severity: "error", count: waiting, message, since };
    return;
  }
  const operation = Object.entries(failures).filter(([code]) => isHandlerFailing(code) && !(full && REFUSED.has(code)));
  const count = operation.reduce((sum, [, each]) => sum + each, 0);
  if (count > 0) {
    const codes = operation.sort(([, a], [, b]) => b - a).map(([code]) => code).slice(0, 3).join(", ");
    const message = `The code that handles ${name} fails (${codes}).`;
    yield { kind: "handler-failing", about: name, severity: "error", count: Math.ceil(count), message, cause };
  }
}

/** Returns the reason of a pause as the end of a sentence. */
function whyOf({ reason }: SubscriptionPause): string {
  const why = reason === undefined ? "" : `: ${reason}`;
  return `${why}${/[.!?]$/.test(why) ? "" : "."}`;
}

/** The pauses of a limit by operators are one alarm. */
function* ofLimit(
  { label, limits = [] }: ObservedSubscription,
  { limit, paused, keys = [], invalid }: LimitOverride,
): Iterable<Raised> {
  if (invalid !== undefined) {
    const message = `What operators have set of the limit ${limit} of ${label} cannot be read, and has no effect: ` +
      `${invalid}. The rest counts.`;
    yield { kind: "limit-invalid", about: `${label} ${limit}`, severity: "error", count: 1, message };
  }
  const pause = paused ?? keys[0];
  if (pause === undefined) return;
  const waiting = limits.reduce((sum, each) => plainLimitName(each.name) === limit ? sum + each.waiting : sum, 0);
  const named = keys.slice(0, 3).map(({ key }) => show(key)).join(", ");
  const more = keys.length > 3 ? ` and ${keys.length - 3} more` : "";
  const what = paused !== undefined
    ? ""
    : keys.length === 1
    ? ` for the key ${named}`
    : ` for the keys ${named}${more}`;
  const left = waiting === 0 ? "" : ` ${some(waiting, "message")} ${waiting === 1 ? "waits" : "wait"} for it.`;
  const message = `An operator has paused the limit ${limit} of ${label}${what}${whyOf(pause)}${left}`;
  const about = `${label} ${limit}`;
  yield { kind: "paused", about, severity: "warning", count: waiting, message, since: pause.since };
}

function* ofSubscription(
  subscription: ObservedSubscription,
  full: boolean,
): Iterable<Raised> {
  const { label, stopped, since, cause, abandoned = false, lag, growing = false, ends } = subscription;
  const { failing, hanging, awaiting, paused, open = 0 } = subscription;
  const about = label;
  if (stopped !== undefined) {
    const message = `${label} handles nothing any more: ${stopped}`;
    yield { kind: "subscription-stopped", about, severity: "error", count: lag, message, since, cause };
  } else if (abandoned) {
    if (lag === 0) return; // no message waits: the program was stopped, or the subscription is no longer needed
    const message = `No running program has the subscription ${label}. ${waits(lag)}`;
    yield { kind: "subscription-abandoned", about, severity: "warning", count: lag, message };
  } else if (growing && paused === undefined) {
    const message = `${label} falls behind: ${some(lag, "message")} ${
      lag === 1 ? "is" : "are"
    } unread, more from minute to minute.`;
    yield { kind: "subscription-lagging", about, severity: "warning", count: lag, message, cause };
  }
  if (paused !== undefined) {
    const waiting = lag + open === 0 ? "" : ` ${waits(lag + open)}`;
    const message = `An operator has paused ${label}${whyOf(paused)}${waiting}`;
    yield { kind: "paused", about, severity: "warning", count: lag + open, message, since: paused.since };
  }
  for (const override of subscription.overrides ?? []) yield* ofLimit(subscription, override);
  if (hanging !== undefined) {
    const { contract, node, count, since } = hanging;
    const left = `${some(count, "message")} of ${label} can only wait`;
    const message = `A handler of ${contract} at ${node ?? "a node"} goes on long after its timeout: ${left}.`;
    yield { kind: "handler-hanging", about, severity: "error", count, message, since };
  }
  if (awaiting !== undefined) {
    const { contract, count, since, message: why } = awaiting;
    const workflow = drivenWorkflow(contract);
    const [all, version] = workflow === undefined
      ? [`${some(count, "message")} of ${label}`, `version of ${contract}`]
      : [count === 1 ? `1 run of ${workflow}` : `Up to ${count} runs of ${workflow}`, "version of it"]; // or fewer runs
    const what = `${all} ${count === 1 ? "waits" : "wait"} for a program with another ${version}`;
    yield { kind: "version-away", about, severity: "error", count, message: `${what}. Why the first: ${why}`, since };
  }
  if (failing !== undefined && !(full && REFUSED.has(failing.code))) {
    const { contract, code, count } = failing;
    const left = `the read model ${label} lacks ${some(count, "message")}`;
    const message = `The code that handles ${contract} fails (${code}): ${left}.`;
    yield { kind: "handler-failing", about: contract, severity: "error", count, message, cause };
  }
  if (ends !== undefined) {
    const left = ends <= 0 ? "now" : `in ${hours(ends)}`;
    const message = `The oldest message that ${label} has not handled will be deleted ${left}.`;
    yield { kind: "message-expiring", about, severity: "error", count: 1, message };
  }
}

/**
 * Makes the alarm about messages and runs between two attempts, which may be 5 minutes, or an hour, apart: nothing
 * fails in this time, and what made them fail is there nevertheless.
 */
function* ofRetry(
  { about, subscription, count, partial, code, message: why, cause, since }: ObservedRetry,
  full: boolean,
): Iterable<Raised> {
  if (!isHandlerFailing(code) || (full && REFUSED.has(code))) return;
  const what = subscription === undefined ? some(count, "run") : `${some(count, "message")} in ${subscription}`;
  const wait = count === 1 ? "waits" : "wait";
  const message = `The code that handles ${about} fails (${code}): ${partial ? "at least " : ""}${what} ${wait} ` +
    `for the next attempt. Why the first: ${why}`;
  yield { kind: "handler-failing", about, severity: "error", count, message, cause, since };
}

function* ofLetters(
  { subscription, contract, code, why, cause, count, partial, first, last }: ObservedLetters,
  now: number,
): Iterable<Raised> {
  if (now - last > NEW) return; // no alarm: the dead letters are too old
  const message = `${partial ? "At least " : ""}${
    some(count, "message")
  } of ${contract} could not be handled by ${subscription}, and ${
    count === 1 ? "waits" : "wait"
  } for you to decide: ${why}`;
  const about = `${subscription} ${contract} ${code} ${why}`;
  const severity = isBusiness(code) ? "warning" : "error";
  yield { kind: "dead-letters", about, severity, count, message, cause, since: first };
}

function* ofStream({ name, bytes, limit }: ObservedStream): Iterable<Raised> {
  if (limit > 0 && bytes >= NEARLY_FULL * limit) {
    const message = `The stream ${name} has used ${
      share(bytes, limit)
    } of its limit: at its end messages are refused or deleted.`;
    yield { kind: "stream-full", about: name, severity: "error", count: bytes, message };
  }
}

/**
 * Makes one alarm for each NATS server that is away. Without this function, each stream of which the server keeps a
 * copy would have an alarm of its own.
 */
function* ofCopies(streams: readonly ObservedStream[]): Iterable<Raised> {
  for (const server of new Set(streams.flatMap(({ missing }) => missing))) {
    const without = streams.filter(({ missing }) => missing.includes(server));
    const most = without.reduce((a, b) => b.missing.length > a.missing.length ? b : a);
    const left = most.replicas - most.missing.length;
    const what = without.length === 1 ? `stream ${most.name} has` : `${without.length} streams and buckets have`;
    const message = `The NATS server ${server} is away or behind: ${what} ${left} of ${most.replicas} copies left${
      2 * left > most.replicas ? "" : ", and cannot be written"
    }.`;
    yield { kind: "replica-missing", about: server, severity: "error", count: without.length, message };
  }
}

/** Says in words how many messages of a stream with wrong settings were removed; an empty text if none was. */
export function removedText(removed: number): string {
  if (removed === 0) return "";
  const were = removed === 1 ? "was" : "were";
  return ` Up to ${some(removed, "message")} ${were} removed since its settings were right: publish those again that ` +
    "were not handled.";
}

/** Says in words how many messages wait. The number is an upper bound: it also counts messages for other handlers. */
function waits(n: number): string {
  return n === 1 ? "1 message waits." : `Up to ${some(n, "message")} wait.`;
}

function some(n: number, what: string): string {
  return `${n.toLocaleString("en-US")} ${what}${n === 1 ? "" : "s"}`;
}

function share(used: number, limit: number): string {
  return `${Math.floor((100 * used) / limit)} %`;
}

function hours(ms: number): string {
  return ms < 3_600_000 ? some(Math.ceil(ms / 60_000), "minute") : some(Math.floor(ms / 3_600_000), "hour");
}

/** Codes of failures of messages that reached no handler, or that their sender cancelled. */
const NOT_HANDLER: ReadonlySet<string> = new Set([
  ...["NO_HANDLER", "OVERLOADED", "DRAINING", "CANCELLED", "CLOSED", "INVALID_MESSAGE", "ID_REUSED"],
]);
/** Codes with which handlers fail while NATS stores nothing, because its store is full. */
const REFUSED: ReadonlySet<string> = new Set(["UNAVAILABLE", "TIMEOUT", "OUTCOME_UNKNOWN"]);
/** Time for which an alarm about a dead node lasts, in ms. */
const GONE = 15 * 60_000;
/** Maximum age of a dead letter that causes an alarm, in ms. */
const NEW = 3_600_000;
/**
 * When waiting messages cause an alarm, in ms. `BACKLOG`: minimum time for which the node has run its maximum number of
 * handlers; `STILL`: minimum time since a handler last ended, for the alarm to be an error.
 */
const [BACKLOG, STILL] = [10_000, 30_000];
/** Difference between two machines' clocks above which there is an alarm, in ms. */
const APART = 2_000;
/** Age of the oldest row of an outbox above which there is an alarm, in ms. */
const OUTBOX_LATE = 30_000;
/** Maximum number of mismatches that the alarm of one contract names. */
const MAX_NAMED_MISMATCHES = 4;
/** Share of a stream's or account's size limit above which there is an alarm. */
export const NEARLY_FULL = 0.85;

/**
 * One sentence of advice for each kind of alarm, the most urgent first; `docs/alarms.md` has a section for each kind.
 */
export const ADVICE: Readonly<Record<Alarm["kind"], string>> = {
  "disconnected": "Look whether nats-server runs and can be reached. Programs reconnect by themselves.",
  "namespace-split": "Give each side a namespace of its own, or have one side use the JetStream of the other.",
  "no-node": "Start a program that handles it. What waits is handled then.",
  "subscription-stopped":
    "Replay or discard its dead letters, give the store room, or start a program that handles what waits; it goes on by itself.",
  "replica-missing": "Bring that NATS server back. With one more lost, nothing can be stored.",
  "store-full": "Give NATS more disk, or keep messages for a shorter time. A server whose disk was full: restart it.",
  "stream-full": "Raise the limit of the stream, or keep messages for a shorter time.",
  "wrong-settings": "Set it back: `catga setup --print` prints the right settings. Publish again what was lost.",
  "message-expiring": "Mend what keeps it from being handled; else it is lost.",
  "node-gone": "Read its last lines of log; let your orchestrator start it again.",
  "node-silent": "Look at its processor and memory, and whether its code blocks; restart it if it stays so.",
  "dead-letters": "Mend the cause, then replay them; or discard those that nobody needs.",
  "handler-failing":
    "Read the cause. Take back the deploy that brought it; if it names stored events, deploy a version that reads them.",
  "handler-hanging": "Restart that program, and have its handlers end when ctx.signal is aborted.",
  "loop-blocked": "Have that handler compute in a worker, or in parts: it blocks all others of its program.",
  "version-away":
    "Deploy the version that wrote them again, or one that takes what both write. They go on by themselves.",
  "subscription-abandoned": "Start its program, or remove it: catga subscriptions remove.",
  "subscription-lagging": "Start more programs of the service, or make the handler faster.",
  "node-overloaded": "Start more programs of the service, raise concurrency, or make its handlers faster.",
  "limit-invalid":
    "Set it again, or clear it: catga limits clear. A newer version may have set what this one cannot read.",
  "paused": "Resume it when its reason is gone: catga subscriptions resume, or limits resume. Nothing is lost.",
  "run-stuck": "Read why, mend it, and let it go on: catga run retries it, skips the step, or cancels.",
  "entity-unreadable":
    "Deploy a version whose schemas and functions read the stored events: after a rollback, the later one again.",
  "outbox-halted": "Read catga docs sql, compare database and log, then call store.resume().",
  "outbox-refused": "See them with catga outbox; discard them, or mend them in the table and retry them.",
  "outbox-late": "Read the cause: the database, or the log, does not answer its relay.",
  "schema-mismatch": "Deploy one version of the contract everywhere, or take the deploy back.",
  "breaker-open": "Look at that program: it does not take messages. It is tried again every few seconds.",
  "clocks-apart": "Let NTP set the clock of that machine: schedules and ages are wrong there.",
};

/** Returns the text of the alarm about a namespace in two JetStream domains. */
export function splitText(namespace: string, own: string, other: string): string {
  const domains = [own, other].sort().join(" and ");
  return `The namespace ${namespace} is in two JetStream domains, ${domains}, which share messages and no state: each ` +
    "durable event is handled in both, and a lock is held in both.";
}

/** All kinds of alarms, the most urgent first. */
export const ALARM_KINDS = Object.keys(ADVICE) as readonly Alarm["kind"][]; // the keys of `ADVICE` are all kinds

/**
 * Label of a node for people: its id, if the id begins with the service's name; else the service and the id. A
 * generated id is cut to 4 characters.
 */
export function nodeLabel({ id, service }: Pick<NodeInfo, "id" | "service">): string {
  return id.startsWith(`${service}-`) ? id : `${service}/${/^[A-Za-z0-9]{10}$/.test(id) ? id.slice(0, 4) : id}`;
}

/**
 * A count of the messages that a subscription has not read yet (`lag`), the time of the count (`at`), and how many
 * times in a row the number was greater than in the count before (`grown`).
 */
export interface Lag {
  readonly lag: number;
  readonly at: number;
  readonly grown: number;
}

/**
 * Returns the record of unread messages after a new count of `lag` messages at the time `now`, in ms since 1970.
 * `known`: the record of the count before; `undefined`: there was none. Counts that follow within 10 s are ignored; a
 * count of 0 begins a new record.
 */
export function lagOf(known: Lag | undefined, lag: number, now: number): Lag {
  if (known === undefined) return { lag, at: now, grown: 0 };
  if (lag === 0) return { lag, at: now, grown: 0 };
  if (now - known.at < 10_000) return known;
  return { lag, at: now, grown: lag > known.lag && lag >= SMALL ? known.grown + 1 : 0 };
}

/** How many times in a row the number of unread messages has to grow to cause an alarm. */
export const GROWN = 3;
/** Number of unread messages below which a growing number causes no alarm. */
const SMALL = 10;
