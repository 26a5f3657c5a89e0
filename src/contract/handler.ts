/** Handlers: what `handle` and `on` return and `catga` takes. */
import type { AnyBehavior, Behavior } from "./behavior.ts";
import type { Context } from "./context.ts";
import type { AnyContract } from "./contract.ts";
import type { EntityDefinition, Loaded } from "./entity_definition.ts";
import type { FailOptions, Failure } from "./result.ts";
import type { MaybePromise } from "./schema.ts";
import type { WorkflowBody } from "./workflow_body.ts";

/** Options of `handle` and `on`. `F`: the codes that the contract may fail with. */
export interface HandlerOptions<F extends string = string> {
  /**
   * Behaviors around this handler, inside the app's own, outermost first; none. What they fail with must be among the
   * failures of the contract, if it has any.
   */
  behaviors?: readonly Behavior<F>[] | undefined;
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
export interface CommandHandlerOptions<F extends string = string> extends HandlerOptions<F>, RetryOptions {}

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

/** The payload of a run of many durable events as their batch; `undefined` for the payload of one message. */
export function batchOf(payload: unknown): Batch<unknown> | undefined {
  return Array.isArray(payload) && "fail" in payload ? payload as unknown as Batch<unknown> : undefined;
}

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
  readonly behaviors: readonly AnyBehavior[];
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
