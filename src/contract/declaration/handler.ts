/**
 * Handlers: the values that `handle` and `on` return and `catga` takes, the settings of their subscriptions, and the
 * failure of a handler that threw.
 */
import type { AnyBehavior, Behavior } from "./behavior.ts";
import type { Context } from "../calls/context.ts";
import { type AnyContract, checkTimes } from "./contract.ts";
import type { EntityDefinition, Loaded } from "./entity_definition.ts";
import type { FailOptions, Failure } from "../calls/result.ts";
import type { MaybePromise } from "../schemas/schema.ts";
import type { WorkflowBody } from "./workflow_body.ts";
import { CatgaError } from "../../error.ts";
import { MAX_LIMITS, type NamedLimit } from "../nodes/announcement.ts";
import { DEFAULT_RETRY } from "./defaults.ts";
import {
  checkDelay,
  checkFunction,
  checkInteger,
  checkKnown,
  checkNumber,
  checkObject,
  checkToken,
  show,
} from "../../data/checks.ts";

/**
 * Options of `handle` and `on`, which make handlers. `F`: the codes that the contract may fail with.
 * @decides options of handlers, batches and retries, as types
 */
export interface HandlerOptions<F extends string = string> {
  /**
   * Behaviors around this handler, inside the app's own, outermost first. Their failure codes must be among the
   * failures of the contract, if it declares any. Default: none.
   */
  behaviors?: readonly Behavior<F>[] | undefined;
  /**
   * Maximum number of runs of this handler at once on this node, for messages of any sender: 1 to 65,536; further
   * messages wait, first come, first served. Default: no limit.
   */
  concurrency?: number | undefined;
}

/** Options of `handle` for a durable command; `on` of a durable event takes them, too. */
export interface RetryOptions {
  /**
   * Retry of a message of the log. `attempts`: number of attempts, the first included (1 to 1,000; default: 10); then
   * the message becomes a dead letter. `delay`: the first and the longest pause in ms (a day at most; default:
   * `[1_000, 300_000]`); pauses double, and are drawn at random. `outage`: a run that throws a `CatgaError` with a
   * send's code `UNAVAILABLE`, `NO_HANDLER`, `OVERLOADED` or `TIMEOUT` does not count as an attempt until so many ms
   * have passed since the first of such failures of the message in a row (ten years at most; default: 7 days; 0: each
   * failure counts).
   */
  retry?: {
    attempts?: number | undefined;
    delay?: readonly [first: number, longest: number] | undefined;
    outage?: number | undefined;
  } | undefined;
}

/**
 * A limit of the runs of messages of the log, over all nodes together; at least one of `running` and `per`.
 * @decides options of limits over the whole cluster, as types
 */
export interface Limit<P = unknown> {
  /**
   * Returns the key of a payload, a string of 1,024 characters at most: each key has the limit for itself. Called in
   * the leader of the subscription, with the payload as it is stored; a payload for which the function throws counts
   * under the key "", and is never skipped. Default: one limit for all messages.
   */
  key?: ((payload: P) => string) | undefined;
  /**
   * Name of the limit, one token: limits with the same name in one subscription are one, whatever their contracts.
   * Default: none; the limit is of its contract alone.
   */
  name?: string | undefined;
  /** Maximum number of messages that run at once, 1 to 1,000,000. Default: any number. */
  running?: number | undefined;
  /**
   * `count` messages begin in `ms`, evenly: one each `ms / count`; 1 to 1,000,000 in 1 ms to a day. Default: any
   * number.
   */
  per?: readonly [count: number, ms: number] | undefined;
  /** Number of messages that may begin at once after a pause, with `per`: 1 to 1,000,000. Default: 1. */
  burst?: number | undefined;
  /**
   * Fate of a message that the limit does not let begin. `"wait"`: it waits. `"skip"`, with `running`: it is
   * skipped if, when it is read, as many earlier messages of its key are not done (running, waiting, or before their
   * next attempt): it counts as handled, and in `skipped` of the subscription. `"last"`: of its
   * key only the newest message waits, in the place of the one before it, which is skipped. `"cancel"`, with
   * `running: 1`: as `"last"`, and a newer message aborts `ctx.signal` of the message that runs; the newest message
   * begins when that handler has ended. If the aborted handler throws, this is no attempt, and its message is skipped;
   * if it returns, its message is handled. `onBatch` does not take it. Default: `"wait"`.
   */
  over?: Over | undefined;
}

/** Fate of a message that a limit does not let begin. */
export type Over = "wait" | "skip" | "last" | "cancel";

/** Options of `handle` for a durable command; `on` of a durable event takes them, too. */
export interface LimitOptions<P = unknown> {
  /**
   * Limits of the runs of stored messages, over all nodes together, 8 at most: a message begins when all of them let
   * it. Waiting for them is no attempt. Default: none.
   */
  limit?: Limit<P> | readonly Limit<P>[] | undefined;
}

/**
 * Returns the tenant of a payload, a string of 1,024 characters at most; or that with the tenants' weights. Called in
 * the leader of the subscription, with the payload as it is stored; a payload for which the function throws counts
 * under the tenant "". `weight`: share of a tenant beside others, 0.001 to 1,000. Default: 1.
 */
export type Fair<P = unknown> = ((payload: P) => string) | {
  by: (payload: P) => string;
  weight?: ((tenant: string) => number) | undefined;
};

/** Options of `handle` for a durable command; `on` of a durable event takes them, too. */
export interface FairOptions<P = unknown> {
  /**
   * Tenants that share the handlers: the next message is of the tenant of which the fewest run for its weight, however
   * many messages of others were stored before, fail, or wait for their limits. The order of a key is kept if all of
   * its messages have one tenant. Default: the order of the log.
   */
  fair?: Fair<P> | undefined;
  /**
   * Returns by how many ms a message counts as older than it is, 0 to 30 days. Of the messages that wait (with `fair`:
   * of those of one tenant), the oldest by this count is handled next. So a message may go before messages that were
   * stored up to so many ms earlier, and before no others. The order of a key is kept if all of its
   * messages have one value. Called in the leader of the subscription, with the payload as it is stored; a payload for
   * which the function throws counts as it is. Default: the order of the log.
   */
  ahead?: ((payload: P) => number) | undefined;
}

/** Options of `handle` for a command. */
export interface CommandHandlerOptions<F extends string = string, P = unknown>
  extends HandlerOptions<F>, RetryOptions, LimitOptions<P>, FairOptions<P> {}

/** Options of `on`, which makes a handler of an event. */
export interface EventHandlerOptions extends HandlerOptions {
  /** Receivers of an event: one node of each `"service"`, or every `"node"`. Default: `"service"`. */
  each?: "service" | "node" | undefined;
}

/** Options of `on` for a durable event, whose handlers form a subscription. */
export interface SubscriptionOptions<P = unknown>
  extends EventHandlerOptions, RetryOptions, LimitOptions<P>, FairOptions<P> {
  /**
   * The name of the subscription, one token of letters, digits, `-` and `_`: all handlers of a service with the same
   * subscription name share one position in the log, whatever their events. Two handlers of one event with the same
   * name run together: if one fails, both run again. Give each a name of its own, and they fail and retry apart.
   * Default: the contract's name, with `-` for dots.
   */
  name?: string | undefined;
  /**
   * Where a new subscription begins in the log: at messages published from now on, or at the oldest stored message.
   * With `each: "node"`, where each node begins whenever it starts. Default: `"now"`.
   */
  from?: "now" | "start" | undefined;
  /** Timeout of one run of the handler, in ms: 1 to 2^31 - 1. Default: the `timeout` of `catga()`. */
  timeout?: number | undefined;
}

/**
 * Key of a method of a batch. Catga calls the method when the batch's function begins: the method discards failures
 * that an earlier call of the function has reported with `fail`.
 */
export const BEGINS: unique symbol = Symbol("catga.begins");

/**
 * The messages that a handler made by `onBatch` gets in one call, in the order of the log; messages of one key follow
 * each other.
 */
export type Batch<Payload> =
  & readonly {
    readonly payload: Payload;
    /** The message id; the same in every attempt. */
    readonly id: string;
    readonly key: string | undefined;
    /** The message's position in the log, a safe integer that grows with each message of its NATS stream. */
    readonly position: number;
    /** The time at which the message was stored, by the server's clock; a new `Date` at each reading. */
    readonly stored: Date;
    /** The time for which the message was scheduled, by the server's clock; `undefined`: it was not scheduled. */
    readonly due: Date | undefined;
    /** Number of this attempt to handle the message; the first is 1. */
    readonly attempt: number;
    /** The headers that the message was published with. */
    readonly headers: Readonly<Record<string, string>>;
  }[]
  & {
    /**
     * Reports that one message of the batch failed. Later messages of its key wait for it, and are handled again after
     * it; all other messages count as handled when the handler returns.
     */
    fail(member: Batch<Payload>[number], code: string, message: string, options?: FailOptions): void;
  };

/**
 * Returns the batch if the payload of a run is a batch of durable events; `undefined` for the payload of one message.
 */
export function batchOf(payload: unknown): Batch<unknown> | undefined {
  return Array.isArray(payload) && "fail" in payload ? payload as unknown as Batch<unknown> : undefined;
}

/**
 * Settings of the subscription of a handler of durable events, or of a durable command. Options that were left out have
 * their defaults.
 */
export interface SubscriptionSettings {
  /** The name of the subscription, unique in its service. */
  readonly name: string;
  /** Where a new subscription begins in the log: at messages published from now on, or at the oldest stored message. */
  readonly from: "now" | "start";
  /** Receivers of a message: one node of the service, or every node. */
  readonly each: "service" | "node";
  /** Maximum number of attempts of a message. */
  readonly attempts: number;
  /** The first and the longest pause between attempts, in ms. */
  readonly delay: readonly [first: number, longest: number];
  /**
   * Time since a message's first failure because of an outage, in ms, in which further such failures in a row do not
   * count as attempts.
   */
  readonly outage: number;
  /** Timeout of one run of the handler, in ms; `undefined`: the `timeout` of `catga()`. */
  readonly timeout: number | undefined;
  /** Settings of batches; `undefined`: messages are handled one by one. */
  readonly batch?: BatchSettings | undefined;
  /** Limits of the runs over all nodes together; `undefined`: none. */
  readonly limits?: readonly NamedLimit[] | undefined;
  /** How tenants share the handlers; `undefined`: messages begin in the order of the log. */
  readonly fair?: FairSettings | undefined;
}

/** How tenants share the handlers of a subscription. */
export interface FairSettings {
  /** Returns the tenant of a payload. */
  readonly by: (payload: never) => unknown;
  /** Returns the share of a tenant; `undefined`: all have the same. */
  readonly weight: ((tenant: string) => number) | undefined;
  /** Maximum number of messages handed out to one node: more would wait there in the order of their arrival. */
  readonly most: number;
  /** Returns by how many ms a message counts as older; `undefined`: all count as they are. */
  readonly ahead?: ((payload: never) => unknown) | undefined;
}

/** Settings of the batches of a handler made by `onBatch`. */
export interface BatchSettings {
  /** Maximum number of messages in a batch. */
  readonly max: number;
  /** Time that a batch waits for more messages, in ms. */
  readonly within: number;
}

/** A handler, made by `handle` or `on`. Export it, and pass its module to `catga`. */
export interface Handler {
  /** The contract that the handler handles. */
  readonly contract: AnyContract;
  /** Internal: the handler's parts; distinguishes a handler from other exports. */
  readonly "~handler": HandlerBody;
}

/** Internal parts of a {@link Handler}, a function that handles the messages of a contract. */
export interface HandlerBody {
  /** The function given to `handle` or `on`. */
  readonly fn: (payload: unknown, ctx: Context) => unknown;
  /** The behaviors given to `handle` or `on`, outermost first. */
  readonly behaviors: readonly AnyBehavior[];
  /** Maximum number of runs of the handler at once; `undefined`: no limit. */
  readonly concurrency: number | undefined;
  /** Receivers of an event: one node of each service, or every node. */
  readonly each: "service" | "node";
  /** Handlers of a durable contract only: settings of the handler's subscription. */
  readonly subscription: SubscriptionSettings | undefined;
  /** Handlers of an entity's command only: the entity, and the program's function that decides the command. */
  readonly entity?: EntityBody | undefined;
  /** Handlers of a workflow only: the workflow, and the program's function. */
  readonly workflow?: WorkflowBody | undefined;
  /** Further handlers that are registered together with this one. */
  readonly with?: readonly Handler[] | undefined;
}

/** A module (`import * as orders`), a handler, or an array of these. */
export type Handlers = Handler | HandlerModule | readonly Handlers[];

/** A module namespace; `catga` ignores its exports that are neither handlers nor arrays or modules of handlers. */
export interface HandlerModule {
  /**
   * Compile time only, never has a value: its text appears in the compiler's error when a contract is passed instead of
   * its handler.
   */
  readonly "~use"?: "pass the handler: contract.handle(fn), or event.on(fn)";
  /** Compile time only, never has a value: its text appears in the compiler's error for an array with other members. */
  readonly [Symbol.iterator]?: "every member is a handler, as contract.handle(fn) or event.on(fn) returns it";
  /** The exports of the module, by name. */
  readonly [name: string]: unknown;
}

/** Returns true if a value is a {@link Handler}, as `handle` or `on` of a contract returns it. */
export function isHandler(value: unknown): value is Handler {
  return typeof value === "object" && value !== null && Object.hasOwn(value, "~handler");
}

// Internal parts of a handler of an entity's command, and the context with which it runs.

/** Internal parts of a handler made by an entity. */
export interface EntityBody {
  /** The type of the entity. */
  readonly definition: EntityDefinition<unknown>;
  /** The program's function, given to the entity's `handle`, that decides which events the command emits. */
  readonly decide: (entity: Loaded<unknown>, payload: unknown, ctx: Context) => MaybePromise<unknown | Failure>;
}

/** The context that a running app gives to handlers of entities' commands. */
export interface EntityContext extends Context {
  /**
   * Loads the entity, calls `decide`, and stores the events that it emits. Resolves with the handler's return value.
   */
  "~decide"(entity: EntityBody, payload: unknown): Promise<unknown>;
}

/** The function that threw: the handler of a message, or a behavior around it. */
export type Thrower = "handler" | "behavior";

/**
 * Makes the failure `HANDLER_FAILED` of a message whose handler, or a behavior around it, threw `cause`. The thrown
 * error itself stays in the log of the handler's node.
 * @decides the text of the failure that callers get when a handler throws
 */
export function handlerFailure(contract: AnyContract, ctx: Context, cause: unknown, by: Thrower): CatgaError {
  return new CatgaError("HANDLER_FAILED", messageOf(contract, ctx, by), { cause, node: ctx.node });
}

/**
 * Returns true if the error says that this message's own handler threw; false if it says so of another handler, to
 * which this handler sent a message.
 */
export function isHandlerFailure({ code, message }: CatgaError, contract: AnyContract, ctx: Context): boolean {
  return code === "HANDLER_FAILED" &&
    (["handler", "behavior"] as const).some((by) => message === messageOf(contract, ctx, by));
}

function messageOf({ name }: AnyContract, ctx: Context, by: Thrower): string {
  const what = by === "handler" ? "the handler of" : "a behavior around";
  return `${what} ${name} threw on node ${ctx.node} (message ${ctx.id}); the cause is in the log of that node`;
}

/**
 * Returns the settings of a handler's subscription; `undefined` for a contract that is not durable. Throws a
 * `TypeError` or `RangeError` for an invalid option. `at`: text at the beginning of the error. `batches`: true for a
 * handler that gets its events in batches, which only durable events can have.
 * @decides options of subscriptions and their retries: `retry`, `outage`, `from`, `each`
 * @decides the largest number of attempts (`retry.attempts`), and the check of it
 */
export function subscriptionSettings(
  at: string,
  { kind, name: category, options: { durable, timeout: ofContract } }: AnyContract,
  options: SubscriptionOptions & Partial<BatchSettings>,
  batches = false,
): SubscriptionSettings | undefined {
  if (!durable) {
    if (batches) throw new TypeError(`${at} is of a durable event: give ${category} durable: true, too`);
    const foreign = ONLY_DURABLE.find((option) => options[option] !== undefined);
    if (foreign === undefined) return undefined;
    throw new TypeError(
      kind === "query" || kind === "stream"
        ? `${at}: a ${kind} takes no ${foreign}${
          foreign === "retry" ? "; the behavior retry() runs its handler again" : ", which is of durable messages"
        }`
        : `${at}: ${foreign} is of a durable ${kind}: give ${category} durable: true, too`,
    );
  }
  const { name = category.replaceAll(".", "-"), from = "now", each = "service", retry = {}, timeout = ofContract } =
    options;
  checkToken(`${at}: name`, name);
  if (from !== "now" && from !== "start") {
    throw new TypeError(`${at}: from must be "now" or "start"; got ${show(from)}`);
  }
  checkObject(`${at}: retry`, retry, "{ attempts, delay, outage }");
  checkKnown(`${at}: retry`, retry, RETRY_OPTIONS);
  const endless = each === "node" && (["attempts", "outage"] as const).find((option) => retry[option] !== undefined);
  if (endless) {
    throw new TypeError(`${at}: retry.${endless} has no meaning with each: "node", which retries without end`);
  }
  const { attempts = DEFAULT_RETRY.attempts, delay = DEFAULT_RETRY.delay, outage = OUTAGE } = retry;
  checkInteger(`${at}: retry.attempts`, attempts, 1, 1_000);
  checkDelay(at, delay, MAX_PAUSE);
  checkNumber(`${at}: retry.outage`, outage, 0, MAX_OUTAGE, "ms");
  checkTimes(`${at}: `, { timeout });
  const limits = limitsOf(at, options.limit, { each, inBatches: batches });
  const { max = 500, within = 20 } = options;
  checkInteger(`${at}: max`, max, 1, 1_000);
  checkNumber(`${at}: within`, within, 0, 60_000, "ms");
  const batch = batches ? { batch: Object.freeze({ max, within }) } : {};
  const pauses = Object.freeze([...delay] as const);
  const limited = limits === undefined ? {} : { limits };
  const fair = fairOf(at, options, { each, inBatches: batches ? max : undefined });
  const shared = fair === undefined ? {} : { fair };
  return Object.freeze({ ...batch, ...limited, ...shared, name, from, each, attempts, delay: pauses, outage, timeout });
}

/** Returns how tenants share a handler; `undefined`: they do not. Throws a `TypeError` for an invalid option. */
function fairOf(
  at: string,
  { fair, ahead, concurrency }: Pick<SubscriptionOptions, "fair" | "ahead" | "concurrency">,
  { each, inBatches }: { readonly each: "service" | "node"; readonly inBatches: number | undefined },
): FairSettings | undefined {
  if (fair === undefined && ahead === undefined) return undefined;
  if (each === "node") {
    const option = fair === undefined ? "ahead" : "fair";
    throw new TypeError(`${at}: ${option} has no meaning with each: "node", which runs on every node`);
  }
  if (ahead !== undefined) checkFunction(`${at}: ahead`, ahead, "a function that returns ms");
  const count = inBatches === undefined
    ? 2 * (concurrency ?? USUAL_CONCURRENCY)
    : 2 * inBatches * (concurrency ?? USUAL_BATCHES);
  const most = { most: count, ...(ahead === undefined ? {} : { ahead }) };
  if (fair === undefined) return Object.freeze({ by: ofOne, weight: undefined, ...most });
  if (typeof fair === "function") return Object.freeze({ by: fair, weight: undefined, ...most });
  checkObject(`${at}: fair`, fair, "a function that returns the tenant of a payload, or { by, weight }");
  checkKnown(`${at}: fair`, fair, FAIR_OPTIONS);
  const { by, weight } = fair;
  checkFunction(`${at}: fair.by`, by, "a function that returns the tenant of a payload");
  if (weight !== undefined) checkFunction(`${at}: fair.weight`, weight, "a function that returns a tenant's weight");
  return Object.freeze({ by, weight, ...most });
}

/** Returns the limits of a handler; `undefined`: it has none. Throws a `TypeError` or `RangeError` for invalid ones. */
function limitsOf(
  at: string,
  given: LimitOptions["limit"],
  { each, inBatches }: { readonly each: "service" | "node"; readonly inBatches: boolean },
): readonly NamedLimit[] | undefined {
  if (given === undefined) return undefined;
  if (each === "node") throw new TypeError(`${at}: limit has no meaning with each: "node", which runs on every node`);
  const all: readonly Limit[] = Array.isArray(given) ? given : [given];
  if (all.length === 0 || all.length > MAX_LIMITS) {
    throw new RangeError(`${at}: limit is one limit, or an array of 1 to ${MAX_LIMITS}; got ${all.length}`);
  }
  const limits = all.map((limit): NamedLimit => {
    checkObject(`${at}: limit`, limit, "{ key, running, per, burst, name, over }");
    checkKnown(`${at}: limit`, limit, LIMIT_OPTIONS);
    const { key, name, running, per, burst, over = "wait" } = limit;
    if (key !== undefined) checkFunction(`${at}: limit.key`, key, "a function that returns the key of a payload");
    if (running === undefined && per === undefined) {
      throw new TypeError(`${at}: a limit has running (how many run at once), or per ([count, ms]), or both`);
    }
    if (!OVERS.has(over)) {
      throw new TypeError(`${at}: limit.over is one of ${[...OVERS].join(", ")}; got ${show(over)}`);
    }
    if (over === "skip" && running === undefined) {
      throw new TypeError(`${at}: limit.over "skip" skips what is more than running: set running, such as 1`);
    }
    if (over === "cancel" && running !== 1) {
      throw new TypeError(
        `${at}: limit.over "cancel" has the newest message take the place of the one that runs: set running: 1; got ${
          show(running)
        }`,
      );
    }
    if (over === "cancel" && inBatches) {
      throw new TypeError(
        `${at}: limit.over "cancel" is not of batches, whose messages have one signal: use on, or over "last"`,
      );
    }
    if (burst !== undefined && per === undefined) throw new TypeError(`${at}: limit.burst has a meaning only with per`);
    if (name !== undefined) checkToken(`${at}: limit.name`, name);
    if (name !== undefined && name.length > 64) {
      throw new RangeError(`${at}: limit.name has 64 characters at most; got ${name.length}`);
    }
    checkLimitNumbers(`${at}: limit.`, { running, per, burst });
    const [count, ms] = per ?? [Infinity, Infinity];
    const numbers = { name: name ?? "", running: running ?? Infinity, count, ms, burst: burst ?? 1 };
    const skips = over === "wait" ? numbers : { ...numbers, over };
    return Object.freeze(key === undefined ? skips : { ...skips, isByKey: true, key });
  });
  const names = limits.flatMap(({ name }) => name === "" ? [] : [name]);
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) throw new TypeError(`${at}: two limits have the name ${twice}`);
  return Object.freeze(limits);
}

/** Throws if a number of a limit is invalid. `of`: what stands before the number's name in the error. */
export function checkLimitNumbers(of: string, { running, per, burst }: Pick<Limit, "running" | "per" | "burst">): void {
  if (running !== undefined) checkInteger(`${of}running`, running, 1, MAX_LIMIT_NUMBER);
  if (per !== undefined) {
    if (!Array.isArray(per) || per.length !== 2) throw new TypeError(`${of}per is [count, ms]; got ${show(per)}`);
    checkInteger(`${of}per, its count`, per[0], 1, MAX_LIMIT_NUMBER);
    checkInteger(`${of}per, its ms`, per[1], 1, MAX_RATE_TIME);
  }
  if (burst !== undefined) checkInteger(`${of}burst`, burst, 1, MAX_LIMIT_NUMBER);
}

const ONLY_DURABLE = ["name", "from", "retry", "timeout", "limit", "fair", "ahead"] as const;
/** The tenant of all messages where there are none. */
const ofOne = () => "";
const FAIR_OPTIONS = new Set(["by", "weight"]);
/** Number of runs at once for which a node without `concurrency` gets messages of tenants. */
const USUAL_CONCURRENCY = 64;
const LIMIT_OPTIONS = new Set(["key", "name", "running", "per", "burst", "over"]);
const OVERS: ReadonlySet<unknown> = new Set<Over>(["wait", "skip", "last", "cancel"]);
/** Number of batches at once for which a node without `concurrency` gets messages of tenants. */
const USUAL_BATCHES = 2;
/** Maximum of the numbers of a limit. */
export const MAX_LIMIT_NUMBER = 1_000_000;
/** Maximum time of the rate of a limit, in ms: a day. */
export const MAX_RATE_TIME = 86_400_000;
const RETRY_OPTIONS = new Set(["attempts", "delay", "outage"]);
/** Longest pause that may be set between attempts, in ms: a day. */
const MAX_PAUSE = 86_400_000;
/** Default of the option `outage`, in ms: 7 days. */
const OUTAGE = 7 * MAX_PAUSE;
/** Maximum of the option `outage`, in ms: ten years. */
const MAX_OUTAGE = 3_660 * MAX_PAUSE;
