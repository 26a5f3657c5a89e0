/** What a handler is told about its message, and what it sends with. */
import type { CatgaError } from "../error.ts";
import type { Sender } from "./sender.ts";

/**
 * What a handler is told about its message. What it sends with it carries on the deadline, the correlation and the trace
 * headers (`traceparent`, `tracestate`, `baggage`), and is cancelled with it.
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
  /** The id of the message that all this began with; the message's own when it is the first. */
  readonly correlationId: string;
  /** The id of the message whose handler sent this one; `undefined` when no handler did. */
  readonly causationId: string | undefined;
  /** What the sender gave as `headers`, and the trace headers of the message that it was handling; `{}`. */
  readonly headers: Readonly<Record<string, string>>;
  /** When the sender gives up, in ms since 1970 by this node's clock. */
  readonly deadline: number;
  /**
   * Aborts with a `CatgaError` when the sender gives up (`CANCELLED`), the deadline passes (`TIMEOUT`), the app stops (`CLOSED`),
   * or, of an idempotent command, when its claim is lost and another attempt may run (`OUTCOME_UNKNOWN`).
   */
  readonly signal: AbortSignal;
  /** The id of the node that this handler runs on. */
  readonly node: string;
  /** 1 for the first attempt to have this message handled. */
  readonly attempt: number;
  /**
   * Of an idempotent command: the revision of its claim, a fencing token that grows with each run of the handler for this id;
   * `undefined` for other messages. Let what the command changes refuse a smaller one: a run that was paused for longer than
   * 15 s, or had no connection for more than 4 s, may go on beside the next.
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
}

/** What a behavior of Catga's own can do to every context, and no handler. */
export interface Abortable {
  /** Gives the message up, as its deadline would. */
  abort(reason: CatgaError): void;
}
