/** `rateLimit()`: a limit of messages per time, by a token bucket. */
import { type Behavior, type BehaviorMessage, markMaker } from "../contract/declaration/behavior.ts";
import { fail } from "../contract/calls/result.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import { checkBoolean, checkFunction, checkKnown, checkNumber, show, TEN_YEARS } from "../data/checks.ts";
import { TokenBuckets } from "../data/token_buckets.ts";

/** Options of {@link rateLimit}, the behavior that limits the number of messages per time. */
export interface RateLimitOptions {
  /**
   * Number of messages that pass in `per` ms, on average: more than 0, at most 1,000,000,000, and at least one in ten
   * years.
   */
  rate: number;
  /** Period to which `rate` refers, in ms, more than 0. Default: 1,000. */
  per?: number | undefined;
  /** Number of messages that may pass at once after a pause, at least 1. Default: `rate`, or 1 if `rate` is less. */
  burst?: number | undefined;
  /**
   * Returns the key of a message, such as its tenant: the messages of each key have a limit of their own. Messages for
   * which it returns `undefined` share one. If it throws, or returns something else, the message fails with
   * `HANDLER_FAILED`. Default: all messages share one limit.
   */
  key?: ((message: BehaviorMessage) => string | undefined) | undefined;
  /**
   * True: `rate` and `burst` are divided by the number of live nodes that handle the message's contract, so that all of
   * them together let about `rate` pass; at least one message at once on each. Default: false, each node has all of it.
   */
  share?: boolean | undefined;
}

/**
 * Lets messages pass at a limited rate, and refuses the others at once, without running their handler: `RATE_LIMITED`,
 * which is `retryable`; `details.retryAfter` is the time in ms after which a message would pass. A refused message does
 * not wait, because it would take the place of another message at the handler; and it does not go to another node,
 * because the refusal is the handler's answer. A refused event is lost, and logged, unless it is durable; a refused
 * durable message is tried again later, and the refusal does not count as an attempt.
 *
 * The behavior's type names its code: a contract that declares failures has to declare `RATE_LIMITED`, too.
 *
 * The bucket is in this process. With `share` each node has its part of the rate, by the number of nodes that it knows,
 * without asking any: where load is uneven, less than `rate` passes; while a node joins or leaves, or is cut off, for a
 * moment a little more. Given to an app, all of its handlers share one bucket; given to a handler, the handler
 * has its own. With `key` each key has its own bucket; it is kept at least until it is full again, or 50,000 other
 * keys, or 8 Mi characters of keys, came after it: then its key may have a burst again. The callers of an HTTP edge are
 * limited by its options `limit` and `identify`, too.
 *
 * @example
 * ```ts
 * import { catga, query } from "@catga/catga";
 * import { rateLimit } from "@catga/catga/behaviors";
 *
 * const Search = query<string, number>("Search");
 * const search = Search.handle((text) => text.length, { behaviors: [rateLimit({ rate: 2, per: 60_000 })] });
 * await using app = await catga({ handlers: search });
 * const results = await app.sendAll(Search, ["tea", "cup", "pot"]);
 * console.log(results.map(({ value, error }) => value ?? error?.code)); // [ 3, 3, "RATE_LIMITED" ]
 * ```
 */
export function rateLimit(options: RateLimitOptions): Behavior<"RATE_LIMITED"> {
  checkKnown("rateLimit", options, OPTIONS);
  const { rate, per = 1_000 } = options;
  checkNumber("rateLimit: rate", rate, Number.MIN_VALUE, 1_000_000_000);
  checkNumber("rateLimit: per", per, Number.MIN_VALUE, Number.MAX_VALUE, "ms");
  checkNumber("rateLimit: per / rate", per / rate, 0, TEN_YEARS, "ms");
  const { burst = Math.max(1, rate) } = options;
  checkNumber("rateLimit: burst", burst, 1, 1_000_000_000);
  const { key } = options;
  if (key !== undefined) checkFunction("rateLimit: key", key, "a function of the message that returns its key");
  const { share } = options;
  if (share !== undefined) checkBoolean("rateLimit: share", share);
  const limit = { rate, per, burst };
  const buckets = new TokenBuckets();
  const nodes = share ? new Map<string, SharingNode>() : undefined;
  const handle: Behavior<"RATE_LIMITED"> = (message, next) => {
    const { contract: { kind, name }, ctx, clock } = message;
    const own = key?.(message);
    if (own !== undefined && typeof own !== "string") {
      throw new TypeError(`rateLimit: key must return a string or undefined; got ${show(own)}`);
    }
    const now = clock.monotonic();
    const node = nodes?.get(ctx.node);
    const sharing = node?.sharing(name, now) ?? 1;
    const part = sharing === 1 ? limit : { rate: rate / sharing, per, burst: Math.max(1, burst / sharing) };
    const wait = (node?.buckets ?? buckets).take(own, part, now);
    if (wait === undefined) return next();
    const which = own === undefined ? "the limit" : "the limit of its key";
    const all = sharing === 1 ? "" : `, for ${sharing} nodes together`;
    return fail(
      "RATE_LIMITED",
      `${kind} ${name} did not run on node ${ctx.node}: ${which} is ${rate} in ${per} ms${all}`,
      {
        retryable: true,
        details: { retryAfter: Math.ceil(wait) },
      },
    );
  };
  if (nodes === undefined) return handle;
  const attach = (app: Catga) => {
    nodes.set(app.self.id, new SharingNode(app));
    return { detach: () => void nodes.delete(app.self.id) };
  };
  return Object.assign(handle, { attach });
}
markMaker(rateLimit);

/** A node whose buckets have a part of a shared limit. */
class SharingNode {
  readonly buckets = new TokenBuckets();
  readonly #app: Pick<Catga, "nodes">;
  /** By contract: the number of nodes that handle it, and when they were counted, by the monotonic clock. */
  readonly #counts = new Map<string, { readonly count: number; readonly at: number }>();

  constructor(app: Pick<Catga, "nodes">) {
    this.#app = app;
  }

  /** Returns the number of live nodes that handle a contract, without those whose program is not ready; 1 at least. */
  sharing(contract: string, now: number): number {
    const known = this.#counts.get(contract);
    if (known !== undefined && now - known.at < COUNTED_FOR) return known.count;
    const ready = this.#app.nodes().filter(({ handles, unready }) =>
      unready === undefined && handles.includes(contract)
    );
    const count = Math.max(1, ready.length);
    this.#counts.set(contract, { count, at: now });
    return count;
  }
}

/** Time for which a count of nodes holds, in ms. */
const COUNTED_FOR = 100;
const OPTIONS: ReadonlySet<string> = new Set<keyof RateLimitOptions>(["rate", "per", "burst", "key", "share"]);
