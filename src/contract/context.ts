/** The context of a message: what its handler can read about it, and the methods that it sends with. */
import type { CatgaError } from "../error.ts";
import type { AppClock } from "../ports/clock.ts";
import type { Caller } from "./program_types.ts";
import type { Sender } from "./sender.ts";

/**
 * The context of a handler: its message's metadata, and the methods that it sends with. What is sent with them inherits
 * the deadline, the correlation, the trace headers (`traceparent`, `tracestate`, `baggage`) and those of the option
 * `carry`, and is cancelled with the message.
 *
 * @example
 * ```ts
 * import { catga, command, query, unwrap } from "@catga/catga";
 *
 * const Price = query<{ sku: string }, number>("Price");
 * const Buy = command<{ sku: string }, string>("Buy");
 * const price = Price.handle((_, ctx) => ctx.correlationId.length);
 * const buy = Buy.handle(async (order, ctx) => {
 *   const cost = await ctx.send(Price, order); // has what is left of the time of Buy
 *   return cost.ok ? `${order.sku} for ${cost.value}` : cost;
 * });
 * await using app = await catga({ handlers: [price, buy] });
 * console.log(unwrap(await app.send(Buy, { sku: "tea" }, { id: "first" }))); // tea for 5
 * ```
 */
export interface Context extends Sender {
  /** The message id: what the sender gave as `id`, else one that Catga made; the same in every attempt. */
  readonly id: string;
  /** The id of the first message of this chain of sends; the message's own when it is the first. */
  readonly correlationId: string;
  /** The id of the message whose handler sent this one; `undefined` when no handler did. */
  readonly causationId: string | undefined;
  /**
   * Headers of the message: the sender's `headers`, and the trace headers and `carry` headers of the message that it
   * was handling; `{}`.
   */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * Who sent the first message of this chain, as the `authorize` function of an edge said; goes on with what handlers
   * send, like the headers of `carry`. `undefined`: nobody said so. Its type is that of {@link ProgramTypes}.
   */
  readonly caller: Caller | undefined;
  /** When the sender stops waiting, in ms since 1970 by this node's clock. */
  readonly deadline: number;
  /**
   * Aborts with a `CatgaError` when the sender gives up (`CANCELLED`), the deadline passes (`TIMEOUT`), the app stops
   * (`CLOSED`), or, of an idempotent command, when its claim is lost and another attempt may run (`OUTCOME_UNKNOWN`).
   */
  readonly signal: AbortSignal;
  /**
   * Aborts (`DRAINING`) when the handler's node drains, once new messages go to other nodes: the handler may go on
   * until the drain's `timeout`, and should end before. One signal for all handlers of the node: remove your listeners.
   */
  readonly draining: AbortSignal;
  /**
   * The app's time. Its `sleep` rejects with the reason of {@link Context.signal} when that aborts; its other timers do
   * not end.
   */
  readonly clock: AppClock;
  /** The id of the node that this handler runs on. */
  readonly node: string;
  /** Number of this attempt to handle the message, from 1. */
  readonly attempt: number;
  /**
   * A fencing token. Of an idempotent command the revision of its claim, which grows with each run of the handler for
   * this id: a run that was paused for more than 15 s, or had no connection for more than 4 s, may still be going on
   * when the next one begins. Of a message of the log that of the subscription's leader, which grows with each new
   * leader. Have the store that the handler changes refuse a smaller one. `undefined` for other messages, and in read
   * models.
   *
   * @example
   * ```ts
   * import { catga, command } from "@catga/catga";
   *
   * const SetPrice = command<{ cents: number }, boolean>("SetPrice", { idempotent: true });
   * const setPrice = SetPrice.handle(({ cents }, ctx) => ctx.cache.set("price", cents, { fence: ctx.fence! }));
   * await using app = await catga({ handlers: setPrice });
   * console.log((await app.send(SetPrice, { cents: 420 }, { id: "price-1" })).value); // true
   * ```
   */
  readonly fence: number | undefined;
  /**
   * Messages of the log only: where it stands, a safe integer that grows with each message of its stream; `undefined`
   * for others. Store it in one transaction with what you write, and skip what is not greater: then a message that is
   * handled again has one effect.
   */
  readonly position: number | undefined;
  /**
   * Messages of the log only: when it was stored, by the server's clock; a date of its own each time that it is read.
   * `undefined` for others.
   */
  readonly stored: Date | undefined;
  /**
   * Scheduled messages (`delay`, `at`, `cron`) only: the time that it was scheduled for, by the server's clock, however
   * late it comes; of a `cron` the last of its times. That is the night that a nightly job is for. `undefined` for
   * others, and for what was due when it was published.
   */
  readonly due: Date | undefined;
  /**
   * Messages of the log only: its key, which is the id of the entity for an event of one; `undefined` without one, and
   * for others.
   */
  readonly key: string | undefined;
}

/** Members of a context for Catga's own behaviors. */
export interface Abortable {
  /** Ends the message for `reason`, as its deadline would. */
  abort(reason: CatgaError): void;
  /**
   * Returns a function that releases the locks that the handler has taken since this call, and ends its waits for
   * others. That never rejects; `undefined` without a lock to release.
   */
  lockScope(): () => Promise<unknown> | undefined;
}
