/** Handlers: what `handle` and `on` return and `catga` takes. */
import type { Behavior } from "./behavior.ts";
import type { Context } from "./context.ts";
import { type AnyContract, checkTimes } from "./contract.ts";
import type { EntityDefinition, Loaded } from "./entity_definition.ts";
import type { FailOptions, Failure } from "./result.ts";
import { DEFAULT_RETRY } from "./defaults.ts";
import type { MaybePromise } from "./schema.ts";
import { checkDelay, checkInteger, checkKnown, checkNumber, checkObject, checkToken, show } from "../data/checks.ts";
import { CatgaError } from "../error.ts";
import type { WorkflowBody } from "./workflow_body.ts";

/** Options of `handle` and `on`. */
export interface HandlerOptions {
  /** Behaviors around this handler, inside the app's own, outermost first; none. */
  behaviors?: readonly Behavior[] | undefined;
  /**
   * Limit of its runs at once on this node, whoever sent the messages: 1 to 65,536; further messages wait, first come,
   * first served. No limit of its own.
   */
  concurrency?: number | undefined;
}

/** Options of `handle` for a durable command, and those that `on` shares with it. */
export interface RetryOptions {
  /**
   * Attempts to handle a message of the log: `attempts`, the first included (1 to 1,000; 10), after pauses that double,
   * drawn at random up to the longest, `delay` in ms (a day at most; `[1_000, 300_000]`); then it is a dead letter. A
   * run that throws a `CatgaError` with the code `UNAVAILABLE`, `NO_HANDLER`, `OVERLOADED` or `TIMEOUT`, as that of a
   * send, is no attempt for the time of `outage`, in ms (ten years at most; 7 days; 0: each failure is one).
   */
  retry?: {
    attempts?: number | undefined;
    delay?: readonly [first: number, longest: number] | undefined;
    outage?: number | undefined;
  } | undefined;
}

/** Options of `handle` for a command. */
export interface CommandHandlerOptions extends HandlerOptions, RetryOptions {}

/** Options of `on`. */
export interface EventHandlerOptions extends HandlerOptions {
  /** Receivers of an event: one node of each `"service"`, or every `"node"`; `"service"`. */
  each?: "service" | "node" | undefined;
}

/** Options of `on` for a durable event. */
export interface SubscriptionOptions extends EventHandlerOptions, RetryOptions {
  /**
   * The name of the subscription, one token of letters, digits, `-` and `_`: handlers of one name in a service, of
   * whatever events, share a position in the log; the contract's name, with `-` for dots.
   */
  name?: string | undefined;
  /** Start of a new subscription in the log; with `each: "node"` of each node at its start; `"now"`. */
  from?: "now" | "start" | undefined;
  /** Timeout of a run, in ms: 1 to 2^31 - 1; the app's. */
  timeout?: number | undefined;
}

/** Called when the function of a batch begins: what it had fail when it was called before counts no more. */
export const BEGINS: unique symbol = Symbol("catga.begins");

/**
 * The messages of one run of a handler that `onBatch` made, in the order of the log: those of one key one behind the
 * other.
 */
export type Batch<Payload> =
  & readonly {
    readonly payload: Payload;
    /** The message id; the same in every attempt. */
    readonly id: string;
    readonly key: string | undefined;
    /** Position in the log, as `ctx.position` of a single message. */
    readonly position: number;
    /** As `ctx.stored` of a single message. */
    readonly stored: Date;
    /** As `ctx.due` of a single message. */
    readonly due: Date | undefined;
    /** Number of the attempt of this message, from 1. */
    readonly attempt: number;
    /** As `ctx.headers` of a single message. */
    readonly headers: Readonly<Record<string, string>>;
  }[]
  & {
    /**
     * Fails one member; those behind it of its key wait for it: they are handled again. All others are done when the
     * handler returns.
     */
    fail(member: Batch<Payload>[number], code: string, message: string, options?: FailOptions): void;
  };

/**
 * Settings of the subscription of a handler of durable events, or of a durable command. All that was left out has its
 * default.
 */
export interface SubscriptionSettings {
  /** Its name in its service. */
  readonly name: string;
  /** Start of a new subscription in the log. */
  readonly from: "now" | "start";
  /** Receivers of a message. */
  readonly each: "service" | "node";
  /** Attempts of a message. */
  readonly attempts: number;
  /** The pauses between attempts, in ms. */
  readonly delay: readonly [first: number, longest: number];
  /** Time for which failures because of an outage are no attempts, in ms. */
  readonly outage: number;
  /** Timeout of a run, in ms; the app's. */
  readonly timeout: number | undefined;
  /** Settings of batches: most messages, and time to wait for more, in ms. */
  readonly batch?: BatchSettings | undefined;
}

/** Settings of batches. */
export interface BatchSettings {
  /** Greatest number of members. */
  readonly max: number;
  /** Time that a batch waits for more members, in ms. */
  readonly within: number;
}

/** A handler, made by `handle` or `on`. Export it, and pass its module to `catga`. */
export interface Handler {
  /** The contract that it handles. */
  readonly contract: AnyContract;
  /** Tells a handler from other exports. */
  readonly "~handler": HandlerBody;
}

/** The inside of a {@link Handler}. */
export interface HandlerBody {
  /** The function given to `handle` or `on`. */
  readonly fn: (payload: unknown, ctx: Context) => unknown;
  /** The behaviors given to `handle` or `on`, outermost first. */
  readonly behaviors: readonly Behavior[];
  /** Limit of its runs at once; `undefined`: none of its own. */
  readonly concurrency: number | undefined;
  /** Receivers of an event. */
  readonly each: "service" | "node";
  /** Handlers of a durable contract: the subscription. */
  readonly subscription: SubscriptionSettings | undefined;
  /** Handlers of a command of an entity: its decision. */
  readonly entity?: EntityBody | undefined;
  /** Handlers of a workflow: its body. */
  readonly workflow?: WorkflowBody | undefined;
  /** Further handlers that come with it. */
  readonly with?: readonly Handler[] | undefined;
}

/** A module (`import * as orders`), a handler, or an array of these. */
export type Handlers = Handler | HandlerModule | readonly Handlers[];

/** A module namespace; exports that are no handlers, nor arrays or modules of them, are ignored. */
export type HandlerModule = { readonly [name: string]: unknown };

/** Returns true if a value is a {@link Handler}. */
export function isHandler(value: unknown): value is Handler {
  return typeof value === "object" && value !== null && Object.hasOwn(value, "~handler");
}

// What the handler of a command of an entity is made of, and what runs it.

/** The inside of a handler that an entity made. */
export interface EntityBody {
  /** Its entity. */
  readonly definition: EntityDefinition<unknown>;
  /** The function given to `handle`. */
  readonly decide: (entity: Loaded<unknown>, payload: unknown, ctx: Context) => MaybePromise<unknown | Failure>;
}

/** The context of a running app: it decides commands of entities. */
export interface EntityContext extends Context {
  /** Loads the entity, has the command decided, and stores what it emits. */
  "~decide"(entity: EntityBody, payload: unknown): Promise<unknown>;
}

// What a handler of a durable contract says about its subscription: the check of these options, and their defaults.

/**
 * The settings of a handler's subscription; `undefined` for a contract that is not durable, whose handlers take none of
 * these options. Throws a `TypeError` or `RangeError` for an invalid one. `at`: how messages begin.
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
        ? `${at}: a ${kind} takes no ${foreign}; the behavior retry() runs its handler again`
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
  const { max = 500, within = 20 } = options;
  checkInteger(`${at}: max`, max, 1, 1_000);
  checkNumber(`${at}: within`, within, 0, 60_000, "ms");
  const batch = batches ? { batch: Object.freeze({ max, within }) } : {};
  const pauses = Object.freeze([...delay] as const);
  return Object.freeze({ ...batch, name, from, each, attempts, delay: pauses, outage, timeout });
}

const ONLY_DURABLE = ["name", "from", "retry", "timeout"] as const;
const RETRY_OPTIONS = new Set(["attempts", "delay", "outage"]);
/** The longest pause between attempts, in ms: a day. */
const MAX_PAUSE = 86_400_000;
/** Default and greatest time of an outage, in ms: 7 days and ten years. */
const OUTAGE = 7 * MAX_PAUSE;
const MAX_OUTAGE = 3_660 * MAX_PAUSE;

// What a sender gets for a handler that threw: the thrown error itself stays in the log of the handler's node.

/** Origin of an exception: the handler of a message, or a behavior around it. */
export type Thrower = "handler" | "behavior";

/** The failure of a handler, or of a behavior around it, that threw `cause`. */
export function handlerFailure(contract: AnyContract, ctx: Context, cause: unknown, by: Thrower): CatgaError {
  return new CatgaError("HANDLER_FAILED", messageOf(contract, ctx, by), { cause, node: ctx.node });
}

/** Returns true if an error is the {@link handlerFailure} of this message's own handler, not of one that it sent to. */
export function isHandlerFailure({ code, message }: CatgaError, contract: AnyContract, ctx: Context): boolean {
  return code === "HANDLER_FAILED" &&
    (["handler", "behavior"] as const).some((by) => message === messageOf(contract, ctx, by));
}

function messageOf({ name }: AnyContract, ctx: Context, by: Thrower): string {
  const what = by === "handler" ? "the handler of" : "a behavior around";
  return `${what} ${name} threw on node ${ctx.node} (message ${ctx.id}); the log of that node says what`;
}
