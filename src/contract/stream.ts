/**
 * Streams: requests that are answered item by item. This file has the declarations that programs use; the folder
 * `streams/`, loaded when a stream is first read or handled, sends and receives the items.
 */
import type { AnyCode } from "../error.ts";
import type { Context } from "./context.ts";
import type { AnyContract, Contract } from "./contract.ts";
import { contractOptions, type Keyed, type Keyless, type RequestOptions } from "./contract_options.ts";
import { checkName, type HandlerFn, handlerOf } from "./definition.ts";
import { WINDOW } from "./defaults.ts";
import type { Handler, HandlerOptions } from "./handler.ts";
import type { Failure } from "./result.ts";
import type { MaybePromise, Schema } from "./schema.ts";
import type { SendableName } from "./sendable.ts";

/** Options of {@link stream}, which defines a stream. */
export type StreamContractOptions<In, Item, F extends string = AnyCode, Payload = In, Returned = Item> =
  & Omit<RequestOptions<In, Item, F, Payload, Returned>, "output">
  & (Keyed | Keyless)
  & {
    /**
     * Checks each item where the handler makes it, and parses it where it arrives (`INVALID_RESPONSE`). Default: none.
     */
    items?: Schema<Returned, Item> | undefined;
    /**
     * Makes the input with which another node continues when the stream breaks, from the input and the last item, which
     * is `undefined` before the first item. Without this function, a stream that breaks ends with `STREAM_BROKEN`.
     */
    resume?: ((input: NoInfer<In>, last: NoInfer<Item> | undefined) => NoInfer<In>) | undefined;
    /**
     * Maximum time that a reader waits for an item, in ms: 1 to 2^31 - 1; then the stream fails with `TIMEOUT`.
     * Default: 30,000.
     */
    idle?: number | undefined;
    /**
     * How far the handler may be ahead of its reader: `items` (1 to 65,536; default: 256) or `bytes` (1 to 2^26;
     * default: 1,048,576), whichever is reached first; one item may always be on its way.
     */
    window?: { items?: number | undefined; bytes?: number | undefined } | undefined;
  };

/** Return type of a handler of a stream: an iterable of items, which may return a failure at its end; or a failure. */
export type Items<Item, F extends string> =
  | AsyncIterable<Item, Failure<F> | void, undefined>
  | Iterable<Item, Failure<F> | void, undefined>;

/** A stream (a request that is answered item by item), made by {@link stream}. */
export interface Stream<In = void, Item = void, F extends string = AnyCode, Payload = In, Returned = Item>
  extends Contract<"stream", In, Item, F> {
  /**
   * Makes the stream's handler from `fn`: an `async function*`, or another function that returns an iterable. `return
   * fail(…)` ends the stream with a failure, which the reader gets after the items before it. When the reader has
   * ended, `ctx.signal` aborts, and the generator ends at its next `yield`: its `finally` runs.
   */
  handle(
    fn: (payload: Payload, ctx: Context) => MaybePromise<Items<Returned, NoInfer<F>> | Failure<NoInfer<F>>>,
    options?: HandlerOptions<NoInfer<F>>,
  ): Handler;
}

/**
 * Defines a stream: a request whose handler answers with items, one after the other, no faster than the reader reads.
 * The reader gets the items in order, each once, or an error.
 *
 * Types and errors as for {@link command}; the second type argument is the type of an item.
 *
 * @example
 * ```ts
 * import { catga, fail, stream } from "@catga/catga";
 *
 * const Count = stream<{ to: number }, number, "TOO_FAR">("Count");
 * const count = Count.handle(async function* ({ to }) {
 *   for (let n = 1; n <= to; n++) yield n;
 *   if (to > 2) return fail("TOO_FAR", `cannot count to ${to}`);
 * });
 * await using app = await catga({ handlers: count });
 * for await (const n of app.stream(Count, { to: 2 })) console.log(n); // 1, then 2
 * ```
 */
export function stream<In = void, Item = void, F extends string = AnyCode, Payload = In, Returned = Item>(
  name: SendableName<In, Returned>,
  options?: StreamContractOptions<In, Item, F, Payload, Returned>,
): Stream<In, Item, F, Payload, Returned> {
  const contract: Stream<In, Item, F, Payload, Returned> = Object.freeze({
    kind: "stream",
    name: checkName(name),
    options: contractOptions("stream", name, options),
    handle: (fn: HandlerFn, options?: HandlerOptions) => {
      const items: HandlerFn = (payload, ctx) => (ctx as StreamingContext)["~items"](fn, payload);
      return handlerOf(contract, "handle", typeof fn === "function" ? items : fn, options);
    },
  });
  return contract;
}

/** The context that a running app gives to handlers of streams, with the method that sends their items. */
export interface StreamingContext extends Context {
  /**
   * Calls the handler of a stream and sends its items. Resolves with the number of items, or with the failure that the
   * handler returned.
   */
  "~items"(fn: HandlerFn, payload: unknown): Promise<unknown>;
}

/** Limits how far a handler may be ahead of its reader. */
export interface Window {
  readonly items: number;
  readonly bytes: number;
}

/** Returns how far the handler of a contract may be ahead of its reader: the contract's `window`, with defaults. */
export function windowOf({ options: { window } }: AnyContract): Window {
  return { items: window?.items ?? WINDOW.items, bytes: window?.bytes ?? WINDOW.bytes };
}
