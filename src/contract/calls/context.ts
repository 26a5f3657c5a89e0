/** The context of a message: its metadata, and the methods that its handler sends with. */
import type { CatgaError } from "../../error.ts";
import type { AppClock } from "../../ports/clock.ts";
import type { Caller } from "../declaration/program_types.ts";
import type { Sender } from "./sender.ts";

/**
 * The context of a handler: its message's metadata, and the methods that it sends with. Messages sent with these
 * methods inherit the deadline, the correlation, the trace headers (`traceparent`, `tracestate`, `baggage`) and the
 * headers of the option `carry`, and are cancelled with the handler's message.
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
  /** The message id: the sender's `id`, else an id that Catga made; the same in every attempt. */
  readonly id: string;
  /** Correlation id: the id of the message that began this chain of sends; the message's own id if it is the first. */
  readonly correlationId: string;
  /** The id of the message whose handler sent this message; `undefined` if no handler did. */
  readonly causationId: string | undefined;
  /**
   * Headers of the message: the sender's `headers`; and, if a handler sent the message, the trace headers and `carry`
   * headers of the message that the sending handler was handling. `{}` if there are none.
   */
  readonly headers: Readonly<Record<string, string>>;
  /**
   * The sender of the first message of this chain, as returned by the `authorize` function of an HTTP edge
   * (`@catga/catga/http`). Messages that handlers send inherit it, like the headers of `carry`. `undefined`: no HTTP
   * edge named a caller. {@link ProgramTypes} sets its type.
   */
  readonly caller: Caller | undefined;
  /** Deadline: the time at which the sender stops waiting, in ms since 1970 by this node's clock. */
  readonly deadline: number;
  /**
   * Aborts with a `CatgaError` when the sender gives up (`CANCELLED`), the deadline passes (`TIMEOUT`), or the app
   * stops (`CLOSED`); for an idempotent command also when its claim (the record that reserves its id for this run) is
   * lost, and another attempt may run (`OUTCOME_UNKNOWN`).
   */
  readonly signal: AbortSignal;
  /**
   * Aborts (`DRAINING`) when the handler's node shuts down in an orderly way, as soon as new messages go to other
   * nodes: the handler may go on until the drain's `timeout`, and should end before. One signal for all handlers of the
   * node: remove your listeners.
   */
  readonly draining: AbortSignal;
  /**
   * The app's clock. Its `sleep` rejects with the reason of {@link Context.signal} when the signal aborts; its other
   * timers are not affected.
   */
  readonly clock: AppClock;
  /** The id of the node that this handler runs on. */
  readonly node: string;
  /** Number of this attempt to handle the message; the first is 1. */
  readonly attempt: number;
  /**
   * A fencing token: a number that grows with each run. The store that the handler changes should refuse a smaller
   * number than the last. For an idempotent command it is the revision of its claim, which grows with each run of the
   * handler for this id: a run that was paused for more than 15 s, or had no connection for more than 4 s, may still be
   * going on when the next run begins. For a message of the log it is the token of the subscription's leader, which
   * grows with each new leader. `undefined` for other messages, and in handlers with `each: "node"`.
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
   * Messages of the log only: the message's position in the log, a safe integer that grows with each message of its
   * NATS stream; `undefined` for other messages. Store it in one transaction with your changes, and skip a message
   * whose position is not greater than the one you stored last: then a message that is handled again has one effect.
   */
  readonly position: number | undefined;
  /**
   * Messages of the log only: the time at which the message was stored, by the server's clock; a new `Date` at each
   * reading. `undefined` for other messages.
   */
  readonly stored: Date | undefined;
  /**
   * Scheduled messages (`delay`, `at`, `cron`) only: the time for which the message was scheduled, by the server's
   * clock, however late it arrives: for a nightly job, the night that the job is for. With `cron`, the last of the
   * schedule's times before the message was stored. `undefined` for other messages, and for a message that was due when
   * it was published.
   */
  readonly due: Date | undefined;
  /**
   * Messages and batches of the log only: the subscription that this run belongs to, as `<service>/<name>`; for a
   * queued command, whose handlers are one subscription for all services, `@/<name>`. With it, an id names one effect.
   * `undefined` for other messages, and in handlers with `each: "node"`.
   */
  readonly subscription: string | undefined;
  /**
   * Messages of the log only: the message's key; for an event of an entity, the entity's id. `undefined` without a key,
   * and for other messages.
   */
  readonly key: string | undefined;
}

/** Members of a context for Catga's own behaviors. */
export interface Abortable {
  /** Ends the handler's message with the error `reason`, in the way in which its deadline does. */
  abort(reason: CatgaError): void;
  /**
   * Begins a scope of locks. The returned function releases the locks that the handler has taken since the call, and
   * cancels its pending requests for locks. Its promise never rejects; it returns `undefined` if there is no lock to
   * release.
   */
  lockScope(): () => Promise<unknown> | undefined;
}
