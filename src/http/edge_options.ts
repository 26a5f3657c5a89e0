/** The options of an edge's handler: their meaning, defaults and checks. */
import type { MaybePromise } from "../contract/schemas/schema.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnown,
  checkNumber,
  checkObject,
  checkString,
  isStringArray,
  MAX_TIMEOUT,
  show,
} from "../data/checks.ts";
import type { EdgeCall } from "./edge_types.ts";
import { KEEP_ALIVE } from "./events.ts";
import type { EdgeRefusal } from "./refusal.ts";

/** Options of the handler of an edge. */
export interface EdgeHandlerOptions<Given = unknown> {
  /** Path before the names of the entries, such as `/api`. Default: `""`. */
  base?: string | undefined;
  /**
   * Says who calls, before the request's body is read: returns any value that can be sent, which handlers get as
   * `ctx.caller` (`undefined`: nobody in particular), or a refusal made by `deny`. If the function throws, the status
   * is 500, and the error is logged.
   */
  authorize: (request: Request, call: EdgeCall) => MaybePromise<Given | EdgeRefusal>;
  /**
   * Returns a text that identifies the caller: `limit` counts calls by this text, and equal idempotency keys of
   * different callers are kept apart by it. Without this function, all callers share one limit, and their keys are not
   * kept apart. Default: none.
   */
  identify?: ((caller: Given, request: Request) => string) | undefined;
  /** Limit of the rate at which one caller may call. Default: none. */
  limit?: EdgeLimit | undefined;
  /**
   * Origins (of web pages) whose scripts may call, besides the handler's own origin, such as `https://shop.example`, or
   * `capacitor://localhost` of an app. Default: none.
   */
  origins?: readonly string[] | undefined;
  /** True if scripts of pages from `origins` may send cookies. Default: false. */
  credentials?: boolean | undefined;
  /**
   * Names of parameters of URLs that the program reads itself, such as a token that `authorize` reads. A request with
   * another parameter than these and its route's own gets status 400. Default: none.
   */
  parameters?: readonly string[] | undefined;
  /**
   * True, or a function: `POST <base>/callbacks/<token>` completes the callback of a run (`flow.callback`) with its
   * body, and `POST <base>/callbacks/<token>/fail` with the failure `{ code, message }`. The token is the caller's
   * right: `authorize` is not asked. The function returns a text that says who calls, such as the address that a proxy
   * has noted in a header: `limit` counts by it, apart from the callers of entries. With true, all calls of callbacks
   * share one limit. No entry may then be named `callbacks`. Default: false.
   */
  callbacks?: boolean | ((request: Request) => string) | undefined;
  /** Maximum size of a request's body, in bytes, 1 to 2^31 - 1. Default: 1,048,576. */
  maxBody?: number | undefined;
  /** Time within which a request's body has to arrive, in ms, 1 to 2^31 - 1. Default: 10,000. */
  bodyTimeout?: number | undefined;
  /**
   * Maximum time that a client may wait for a result (`Prefer: wait=…`), in ms, 0 to 2^31 - 1. Default: 30,000; in Bun
   * 5,000, because `Bun.serve` ends a connection on which nothing was sent for 8 to 12 s.
   */
  maxWait?: number | undefined;
  /**
   * Interval of the comments that keep a response of server-sent events alive, in ms, 1 to 2^31 - 1. Default: 5,000.
   */
  keepAlive?: number | undefined;
}

/**
 * A rate limit for each caller, by a bucket of at most `burst` tokens that gets `rate` tokens a second. Each call takes
 * a token; a call without one gets status 429 with `Retry-After`.
 */
export interface EdgeLimit {
  /** Calls per second, more than 0. */
  rate: number;
  /** Maximum number of calls at once after a pause, 1 or more. Default: `rate`, at least 1. */
  burst?: number | undefined;
  /**
   * `"process"` (default): each process counts calls for itself, with the whole rate. `"cluster"`: each process has its
   * share of the rate: the rate divided by the number of live nodes of its service. The nodes exchange no messages
   * about it, so a caller that reaches only one process has only that process's share.
   */
  over?: "process" | "cluster" | undefined;
}

/**
 * Throws a `TypeError` or `RangeError` if an argument of `handler` is invalid.
 * @decides the options of an edge's handler, their checks and defaults: size and time of a body, waits
 */
export function checkHandlerOptions<Given>(app: Catga, options: EdgeHandlerOptions<Given>): void {
  if (typeof (app as Partial<Catga> | undefined)?.send !== "function") {
    throw new TypeError(`handler: the first argument must be an app; got ${show(app)}`);
  }
  checkObject("handler: the second argument", options, "an object with authorize");
  checkKnown("handler", options, HANDLER_OPTIONS);
  const { base = "", authorize, identify, limit, origins = [], credentials = false } = options;
  checkString("handler: base", base);
  if (base !== "" && !/^(\/[\w.~-]+)+$/.test(base)) {
    throw new TypeError(`handler: base must be a path like /api; got ${show(base)}`);
  }
  checkFunction("handler: authorize", authorize, "a function of the request that says who sends it");
  if (identify !== undefined) checkFunction("handler: identify", identify);
  if (limit !== undefined) checkLimit(limit);
  const foreign: readonly unknown[] = Array.isArray(origins) ? origins : [origins];
  const wrong = foreign.findIndex((origin) => !isOrigin(origin));
  if (foreign !== origins || wrong >= 0) {
    throw new TypeError(
      "handler: origins must be an array of origins, which are compared as a whole, " +
        `like "https://shop.example"; got ${show(wrong < 0 ? origins : foreign[wrong])}`,
    );
  }
  checkBoolean("handler: credentials", credentials);
  const { callbacks } = options;
  if (callbacks !== undefined && typeof callbacks !== "boolean" && typeof callbacks !== "function") {
    throw new TypeError(`handler: callbacks must be true, false or a function; got ${show(callbacks)}`);
  }
  const { parameters = [] } = options;
  if (!isStringArray(parameters)) {
    throw new TypeError(`handler: parameters must be an array of names, like ["token"]; got ${show(parameters)}`);
  }
  const { maxBody = MAX_BODY, bodyTimeout = BODY_TIMEOUT, maxWait = MAX_WAIT, keepAlive = KEEP_ALIVE } = options;
  checkInteger("handler: maxBody", maxBody, 1, MAX_TIMEOUT);
  checkNumber("handler: bodyTimeout", bodyTimeout, 1, MAX_TIMEOUT, "ms");
  checkNumber("handler: maxWait", maxWait, 0, MAX_TIMEOUT, "ms");
  checkNumber("handler: keepAlive", keepAlive, 1, MAX_TIMEOUT, "ms");
}

/** Returns true for the origin of a page as browsers send it. A host with `*` would match no page. */
function isOrigin(origin: unknown): boolean {
  if (typeof origin !== "string" || origin.includes("*")) return false;
  const parsed = URL.parse(origin);
  // web views send schemes of their own, such as capacitor://localhost, whose `origin` is "null"
  return parsed?.origin === origin || (parsed?.origin === "null" && origin === `${parsed.protocol}//${parsed.host}` &&
    parsed.host !== "");
}

function checkLimit(limit: EdgeLimit): void {
  checkObject("handler: limit", limit, "{ rate, burst, over }");
  checkKnown("handler: limit", limit, LIMIT_OPTIONS);
  const { rate, burst = 1, over = "process" } = limit;
  checkNumber("handler: limit.rate", rate, Number.MIN_VALUE, Number.MAX_SAFE_INTEGER, "a second");
  checkNumber("handler: limit.burst", burst, 1, Number.MAX_SAFE_INTEGER);
  if (over !== "process" && over !== "cluster") {
    throw new TypeError(`handler: limit.over must be "process" or "cluster"; got ${show(over)}`);
  }
}

const HANDLER_OPTIONS: ReadonlySet<string> = new Set<keyof EdgeHandlerOptions>([
  "base",
  "authorize",
  "identify",
  "limit",
  "origins",
  "credentials",
  "parameters",
  "callbacks",
  "maxBody",
  "bodyTimeout",
  "maxWait",
  "keepAlive",
]);
const LIMIT_OPTIONS: ReadonlySet<string> = new Set<keyof EdgeLimit>(["rate", "burst", "over"]);
/** Default of `maxBody`, in bytes. */
export const MAX_BODY = 1_048_576;
/** Default of `bodyTimeout`, in ms. */
export const BODY_TIMEOUT = 10_000;
/**
 * Default of `maxWait`, in ms: `Bun.serve` ends a connection on which nothing was sent for 8 to 12 s, because it looks
 * every 4 s for those that are idle for 10 s.
 */
export const MAX_WAIT = "Bun" in globalThis ? 5_000 : 30_000;
