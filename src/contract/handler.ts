/** Handlers: the values that `handle` and `on` return and `catga` takes. */
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
   * Behaviors around this handler, inside the app's own, outermost first. Their failure codes must be among the
   * failures of the contract, if it declares any. Default: none.
   */
  behaviors?: readonly Behavior<F>[] | undefined;
  /**
   * Maximum number of runs of this handler at once on this node, whoever sent the messages: 1 to 65,536; further
   * messages wait, first come, first served. Default: no limit of its own.
   */
  concurrency?: number | undefined;
}

/** Options of `handle` for a durable command; `on` of a durable event takes them, too. */
export interface RetryOptions {
  /**
   * Retry of a message of the log. `attempts`: number of attempts, the first included (1 to 1,000; default: 10); then
   * the message becomes a dead letter. `delay`: the first and the longest pause in ms (a day at most; default:
   * `[1_000, 300_000]`); pauses double, and are drawn at random. `outage`: for this time, in ms, a run that throws a
   * `CatgaError` with a send's code `UNAVAILABLE`, `NO_HANDLER`, `OVERLOADED` or `TIMEOUT` does not count as an attempt
   * (ten years at most; default: 7 days; 0: each failure counts).
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
  /** Receivers of an event: one node of each `"service"`, or every `"node"`. Default: `"service"`. */
  each?: "service" | "node" | undefined;
}

/** Options of `on` for a durable event. */
export interface SubscriptionOptions extends EventHandlerOptions, RetryOptions {
  /**
   * The name of the subscription, one token of letters, digits, `-` and `_`: handlers of one name in a service share a
   * position in the log, whatever their events. Default: the contract's name, with `-` for dots.
   */
  name?: string | undefined;
  /**
   * Where a new subscription begins in the log: at messages published from now on, or at the oldest stored message.
   * With `each: "node"`, where each node begins whenever it starts. Default: `"now"`.
   */
  from?: "now" | "start" | undefined;
  /** Timeout of a run, in ms: 1 to 2^31 - 1. Default: the app's `timeout`. */
  timeout?: number | undefined;
}

/**
 * Key of a method of a batch, called when the batch's function begins: it discards the calls of `fail` of an earlier
 * call of the function.
 */
export const BEGINS: unique symbol = Symbol("catga.begins");

/**
 * The messages of one run of a handler made by `onBatch`, in the order of the log: messages of one key follow each
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
    /** Like `ctx.stored` of a single message. */
    readonly stored: Date;
    /** Like `ctx.due` of a single message. */
    readonly due: Date | undefined;
    /** Number of the attempt of this message, from 1. */
    readonly attempt: number;
    /** Like `ctx.headers` of a single message. */
    readonly headers: Readonly<Record<string, string>>;
  }[]
  & {
    /**
     * Fails one member. Later members of its key wait for it, and are handled again; all other members are done when
     * the handler returns.
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
  /** The name of the subscription in its service. */
  readonly name: string;
  /** Start of a new subscription in the log. */
  readonly from: "now" | "start";
  /** Receivers of a message: one node of the service, or every node. */
  readonly each: "service" | "node";
  /** Maximum number of attempts of a message. */
  readonly attempts: number;
  /** The first and the longest pause between attempts, in ms. */
  readonly delay: readonly [first: number, longest: number];
  /** Time for which failures because of an outage do not count as attempts, in ms. */
  readonly outage: number;
  /** Timeout of a run, in ms; `undefined`: the app's `timeout`. */
  readonly timeout: number | undefined;
  /** Settings of batches; `undefined`: messages are handled one by one. */
  readonly batch?: BatchSettings | undefined;
}

/** Settings of the batches of a handler made by `onBatch`. */
export interface BatchSettings {
  /** Maximum number of members. */
  readonly max: number;
  /** Time that a batch waits for more members, in ms. */
  readonly within: number;
}

/** A handler, made by `handle` or `on`. Export it, and pass its module to `catga`. */
export interface Handler {
  /** The contract that the handler handles. */
  readonly contract: AnyContract;
  /** Internal: the handler's parts; distinguishes a handler from other exports. */
  readonly "~handler": HandlerBody;
}

/** Internal parts of a {@link Handler}. */
export interface HandlerBody {
  /** The function given to `handle` or `on`. */
  readonly fn: (payload: unknown, ctx: Context) => unknown;
  /** The behaviors given to `handle` or `on`, outermost first. */
  readonly behaviors: readonly AnyBehavior[];
  /** Maximum number of runs at once; `undefined`: no limit of its own. */
  readonly concurrency: number | undefined;
  /** Receivers of an event: one node of each service, or every node. */
  readonly each: "service" | "node";
  /** Handlers of a durable contract only: settings of the subscription. */
  readonly subscription: SubscriptionSettings | undefined;
  /** Handlers of an entity's command only: the function that decides it. */
  readonly entity?: EntityBody | undefined;
  /** Handlers of a workflow only: its body. */
  readonly workflow?: WorkflowBody | undefined;
  /** Further handlers that are registered together with this one. */
  readonly with?: readonly Handler[] | undefined;
}

/** A module (`import * as orders`), a handler, or an array of these. */
export type Handlers = Handler | HandlerModule | readonly Handlers[];

/** A module namespace; exports that are neither handlers nor arrays or modules of handlers are ignored. */
export type HandlerModule = { readonly [name: string]: unknown };

/** Returns true if a value is a {@link Handler}. */
export function isHandler(value: unknown): value is Handler {
  return typeof value === "object" && value !== null && Object.hasOwn(value, "~handler");
}

// The parts of a handler of an entity's command, and the context that runs it.

/** Internal parts of a handler made by an entity. */
export interface EntityBody {
  /** The definition of the entity. */
  readonly definition: EntityDefinition<unknown>;
  /** The function given to `handle`. */
  readonly decide: (entity: Loaded<unknown>, payload: unknown, ctx: Context) => MaybePromise<unknown | Failure>;
}

/** The context of a running app, which decides commands of entities. */
export interface EntityContext extends Context {
  /**
   * Loads the entity, calls `decide`, and stores the events that it emits. Resolves with the handler's return value.
   */
  "~decide"(entity: EntityBody, payload: unknown): Promise<unknown>;
}
