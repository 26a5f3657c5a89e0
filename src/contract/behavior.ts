/** Behaviors: functions around handlers and around sends, each calling the next. */
import type { Catga } from "./running_node.ts";
import type { Clock, Random } from "../ports/clock.ts";
import { checkFunction, isRecord, show } from "../data/checks.ts";
import type { AnyContract } from "./contract.ts";
import type { Context } from "./context.ts";
import type { EnqueueOptions } from "./durable_messages.ts";
import type { Logger, Observation } from "./observer.ts";
import type { SendOptions } from "./send_options.ts";
import type { Result } from "./result.ts";
import type { MaybePromise } from "./schema.ts";

/**
 * Wraps a handler: may change the result, call `next` again, or not call it. The app's behaviors come first, outermost
 * first, then the handler's own. `next` never rejects: what the handler throws comes back as `HANDLER_FAILED`, and so
 * does what the behavior itself throws. A behavior runs on the node that handles the message, once for each attempt
 * there.
 *
 * `F`: the codes that it fails with itself, besides Catga's own: `Behavior<"FORBIDDEN">`. Around a handler whose
 * contract has failures of its own they must be among those; those around apps are named in `ProgramTypes`.
 *
 * Most behaviors are just a function. It may have members: `send` wraps what the app sends, `attach` is called with the
 * app, to observe what happens outside of handlers.
 *
 * @example
 * ```ts
 * import { type Behavior, catga, query } from "@catga/catga";
 *
 * const timed: Behavior = async ({ contract }, next) => {
 *   const start = performance.now();
 *   const result = await next();
 *   console.log(contract.name, result.ok, `${(performance.now() - start).toFixed(1)} ms`);
 *   return result;
 * };
 * const Answer = query<void, number>("Answer");
 * await using app = await catga({ handlers: Answer.handle(() => 42), behaviors: [timed] });
 * console.log((await app.send(Answer)).value); // 42
 * ```
 */
export interface Behavior<F extends string = never> {
  /** Carries the type of the codes that it fails with; never has a value. */
  readonly "~fails"?: () => F;
  (message: BehaviorMessage, next: () => Promise<Result<unknown>>): MaybePromise<Result<unknown>>;
  /**
   * Wraps every send, publish, enqueue, broadcast and stream of the app and its handlers. Not called for a handler's
   * own behavior.
   */
  readonly send?: SendBehavior | undefined;
  /**
   * Called once with each app that has this behavior, or a handler with it, before the app is a node of its cluster:
   * `catga()` waits for it, and rejects with what it throws.
   */
  readonly attach?: ((app: Catga) => MaybePromise<Attachment | void>) | undefined;
  /** Makes spans for runs of workflows, for Catga: `tracing()` has it. */
  readonly "~runs"?: object | undefined;
}

/** Any behavior, whatever it fails with. */
export type AnyBehavior = Behavior<string>;

/** The message that a {@link Behavior} handles. */
export interface BehaviorMessage {
  /** The contract whose handler is called. */
  readonly contract: AnyContract;
  /** The payload as the handler gets it: parsed, when the contract has a schema. */
  readonly payload: unknown;
  /** The context that the handler will get: the same object. */
  readonly ctx: Context;
  /** The name of the handler's subscription, if its contract is durable; `undefined`. */
  readonly subscription: string | undefined;
  /** The app's time, which is virtual in some tests. */
  readonly clock: Clock;
  /** The app's random numbers, which come from a seed in some tests. */
  readonly random: Random;
  /** The `logger` that the app was given; `undefined` when it was given none. */
  readonly logger: Logger | undefined;
}

/**
 * Wraps what an app sends: may change the result, call `next` again, or not call it. `next` takes headers, which are
 * added to those of the sender and replace those of the same name; an idempotent command that is sent again has the
 * same id. `next` sends with the time that the message has left. When that is over the send ends, whatever the behavior
 * does, and `next` sends nothing any more. `next` rejects only for misuse (a strategy that throws, a route that
 * needs a key): let that pass. The send rejects with what the behavior itself throws.
 *
 * @example
 * ```ts
 * import { type Behavior, catga, query, type SendBehavior } from "@catga/catga";
 *
 * const send: SendBehavior = (_, next) => next({ tenant: "north" });
 * const tenant: Behavior = Object.assign((_: unknown, next: Parameters<Behavior>[1]) => next(), { send });
 * const Whose = query<void, string>("Whose");
 * const whose = Whose.handle((_, ctx) => ctx.headers.tenant);
 * await using app = await catga({ handlers: whose, behaviors: [tenant] });
 * console.log((await app.send(Whose)).value); // north
 * ```
 */
export type SendBehavior = (
  message: OutgoingMessage,
  next: (headers?: Readonly<Record<string, string>>) => Promise<Result<unknown>>,
) => MaybePromise<Result<unknown>>;

/** The send that a {@link SendBehavior} wraps. */
export interface OutgoingMessage {
  /**
   * The method that was called; `"send"` for each message of `sendAll`. The value of a broadcast is the array of its
   * answers, that of a stream how many items came: `next` resolves when it has ended. A stream that has items is not
   * sent again.
   */
  readonly method: "send" | "publish" | "broadcast" | "enqueue" | "stream";
  /** The contract that is sent. */
  readonly contract: AnyContract;
  /** The payload as the sender gave it. */
  readonly payload: unknown;
  /** The options as the sender gave them; `{}`. */
  readonly options: Readonly<SendOptions & EnqueueOptions>;
  /** The context of the handler that sends; `undefined` when none does. */
  readonly ctx: Context | undefined;
  /** The id of the node that sends. */
  readonly node: string;
  /** The app's time. */
  readonly clock: Clock;
}

/** Callbacks of a behavior at one app, returned by {@link Behavior.attach}. */
export interface Attachment {
  /** Called with what happens outside of handlers. What it throws is logged. */
  readonly observe?: ((observation: Observation) => void) | undefined;
  /** Called when the app has stopped, or could not start. What it throws is logged. */
  readonly detach?: (() => void) | undefined;
}

/** Throws a `TypeError` for a value that is not an array of behaviors. `name` is the option's. */
export function checkBehaviors(name: string, value: readonly AnyBehavior[]): void {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array of functions; got ${show(value)}`);
  value.forEach((behavior, index) => {
    checkFunction(`${name}[${index}]`, behavior);
    for (const member of ["send", "attach"] as const) {
      if (behavior[member] !== undefined) checkFunction(`${name}[${index}].${member}`, behavior[member]);
    }
  });
}

/** Throws a `TypeError` for a value that `attach` of a behavior must not return. */
export function checkAttachment(value: unknown): asserts value is Attachment {
  if (!isRecord(value)) {
    throw new TypeError(`attach of a behavior must return { observe, detach } or nothing; got ${show(value)}`);
  }
  for (const name of ["observe", "detach"]) {
    if (value[name] !== undefined) checkFunction(`${name}, which attach of a behavior returned,`, value[name]);
  }
}
