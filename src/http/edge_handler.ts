/**
 * The server side of an edge: admits HTTP requests. Checks are made in this order: path, method, origin, media type,
 * caller (`authorize`; of a callback none), rate limit, and only then the body. `edge_actions.ts` carries out what they
 * ask for.
 * @decides headers of CORS: the answer to a preflight
 */
import type { Catga } from "../contract/nodes/running_node.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import { CALLBACK_PATH } from "../contract/calls/flow.ts";
import { CALLER_HEADER } from "../contract/calls/send_options.ts";
import { usedContracts } from "../contract/nodes/used_contracts.ts";
import { logThrown } from "../data/cause_text.ts";
import { disown, isThenable, show } from "../data/checks.ts";
import { encodeValue } from "../data/encoding.ts";
import { TokenBuckets, type TokenLimit } from "../data/token_buckets.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { EdgeActions } from "./edge_actions.ts";
import { answer } from "./edge_answer.ts";
import {
  BODY_TIMEOUT,
  checkHandlerOptions,
  type EdgeHandlerOptions,
  type EdgeLimit,
  MAX_BODY,
  MAX_WAIT,
} from "./edge_options.ts";
import { actionOf, type EdgeAction, EdgePaths, type RouteMatch } from "./edge_paths.ts";
import type { EdgeCall, EdgeRoute } from "./edge_types.ts";
import { KEEP_ALIVE } from "./events.ts";
import { deny, EdgeRefusal, isEdgeRefusal } from "./refusal.ts";
import { BodyReader, refusedMediaType, wantsValues } from "./request_input.ts";
import { hostOf, pathOf, queryOf } from "./request_url.ts";
import { titleOf } from "./respond.ts";

/** Makes the function that handles HTTP requests of an edge. */
export function edgeHandler<Given>(
  app: Catga,
  routes: ReadonlyMap<string, EdgeRoute>,
  options: EdgeHandlerOptions<Given>,
): (request: Request) => Promise<Response> {
  checkHandlerOptions(app, options);
  if (options.callbacks && routes.has("callbacks")) {
    throw new TypeError('handler: with callbacks, no entry of the edge may have the name "callbacks"');
  }
  const handler = new EdgeHandler(app, routes, options);
  const used = usedContracts(app);
  for (const { contract } of routes.values()) {
    if (contract.kind === "workflow") continue; // no message of its own: a run is started by what its input says
    if (contract.kind === "event") used?.addRead(contract);
    else used?.addSent(contract);
  }
  return (request) => handler.handle(request);
}

class EdgeHandler<Given> {
  readonly #options: EdgeHandlerOptions<Given>;
  readonly #paths: EdgePaths;
  readonly #origins: ReadonlySet<string>;
  readonly #bodies: BodyReader;
  readonly #actions: EdgeActions;
  readonly #buckets = new TokenBuckets();
  /** Buckets of whoever completes callbacks: a stranger must not use up what a caller of that name has. */
  readonly #callbackBuckets = new TokenBuckets();
  /** Returns the present limit of each caller; `undefined`: the edge has none. */
  readonly #limit: (() => TokenLimit) | undefined;
  readonly #clock: Catga["clock"];
  /** Path before the tokens of callbacks; `undefined`: the edge has none. */
  readonly #callbacks: string | undefined;

  constructor(app: Catga, routes: ReadonlyMap<string, EdgeRoute>, options: EdgeHandlerOptions<Given>) {
    const { base = "", origins = [], limit } = options;
    const { maxBody = MAX_BODY, bodyTimeout = BODY_TIMEOUT, maxWait = MAX_WAIT, keepAlive = KEEP_ALIVE } = options;
    const { parameters = [] } = options;
    this.#options = options;
    this.#paths = new EdgePaths(base, routes);
    this.#origins = new Set(origins);
    this.#bodies = new BodyReader({ maxSize: maxBody, timeout: bodyTimeout, draining: app.draining });
    this.#actions = new EdgeActions(app, { bodies: this.#bodies, maxWait, keepAlive, parameters });
    this.#limit = limit && limitOf(app, limit);
    this.#clock = app.clock;
    this.#callbacks = options.callbacks ? `${base}${CALLBACK_PATH}` : undefined;
  }

  async handle(request: Request): Promise<Response> {
    const origin = request.headers.get("origin");
    const isForeign = origin !== null && this.#origins.has(origin);
    let response: Response;
    if (request.method === "OPTIONS" && request.headers.has("access-control-request-method")) {
      // an origin that is allowed may send any header, as `authorize` may read any
      const asked = request.headers.get("access-control-request-headers") ?? "";
      const headers = isForeign ? { ...PREFLIGHT, "access-control-allow-headers": asked } : {};
      response = new Response(null, { status: 204, headers });
    } else {
      try {
        response = await this.#call(request);
      } catch (error) {
        response = this.#errorResponse(error);
        if (READS_REFUSED) await this.#bodies.discard(request);
      }
    }
    if (this.#origins.size > 0) {
      // also without `Origin`: else a browser's cache gives a page of another origin an answer without these headers
      response.headers.append("vary", "origin");
      if (isForeign) {
        response.headers.set("access-control-allow-origin", origin);
        response.headers.set("access-control-expose-headers", "etag, location, retry-after");
        if (this.#options.credentials) response.headers.set("access-control-allow-credentials", "true");
      }
    }
    return request.method === "HEAD" ? withoutBody(response) : response;
  }

  #errorResponse(error: unknown): Response {
    if (isEdgeRefusal(error)) return error.response(titleOf(error.status));
    try {
      if (isCatgaError(error)) return answer({ ok: false, error }, { values: false, failures: {} });
    } catch {
      // a member of the error is a getter that threw: the error is treated like any other
    }
    logThrown("edge:", error); // logged here, because no node has logged the error, and the client gets only a code
    return answer({ ok: false, error: new CatgaError("HANDLER_FAILED", "the call failed") }, {
      values: false,
      failures: {},
    });
  }

  #call(request: Request): MaybePromise<Response> {
    const method = request.method === "HEAD" ? "GET" : request.method;
    const path = pathOf(request.url);
    if (this.#callbacks !== undefined && path.startsWith(this.#callbacks)) {
      return this.#complete(method, request, path.slice(this.#callbacks.length));
    }
    const place = this.#paths.match(method, path);
    const action = watchOf(request, actionOf(method, place));
    this.#checkOrigin(method, request);
    const media = method === "POST" ? refusedMediaType(request) : undefined;
    if (media !== undefined) throw media;
    const { route: { name, kind, meta, contract }, run } = place;
    const [signal, question] = action === "ask" ? [undefined, place.signal] : [place.signal, undefined];
    const key = kind === "event" ? queryOf(request).get("key") ?? undefined : undefined;
    const call: EdgeCall = { name, kind, contract: contract.name, meta, run, action, key, signal, question };
    const given = this.#options.authorize(request, call);
    // the value is awaited only if it is a promise, because each promise costs 0.1 µs
    return isThenable(given)
      ? Promise.resolve(given).then((caller) => this.#admit(request, place, action, caller))
      : this.#admit(request, place, action, given);
  }

  /** Completes a callback. Whoever has its token may, so neither `authorize` nor the origin is asked. */
  #complete(method: string, request: Request, path: string): Promise<Response> {
    const { token = "", verb } = /^(?<token>[^/]+)(?<verb>\/fail)?$/.exec(path)?.groups ?? {};
    if (token === "") throw deny(404);
    if (method !== "POST") {
      throw new EdgeRefusal(405, "METHOD_NOT_ALLOWED", "the method must be POST", { allow: "POST" });
    }
    const media = refusedMediaType(request);
    if (media !== undefined) throw media;
    const { callbacks } = this.#options;
    const from = typeof callbacks === "function" ? callbacks(request) : undefined;
    if (from !== undefined && typeof from !== "string") {
      throw new TypeError(`callbacks must return a string; got ${show(from)}`);
    }
    this.#limited(this.#callbackBuckets, from);
    return this.#actions.complete(request, token, verb !== undefined);
  }

  /** Throws a refusal if the caller has used up its limit. `identity`: names the caller; `undefined`: all of them. */
  #limited(buckets: TokenBuckets, identity: string | undefined): void {
    const wait = this.#limit && buckets.take(identity, this.#limit(), this.#clock.monotonic());
    if (wait === undefined) return;
    const seconds = `${Math.ceil(wait / 1_000)}`;
    throw new EdgeRefusal(429, "RATE_LIMITED", "too many calls: try again later", { "retry-after": seconds });
  }

  #admit(request: Request, place: RouteMatch, action: EdgeAction, caller: Given | EdgeRefusal): MaybePromise<Response> {
    if (isEdgeRefusal(caller)) throw caller;
    const headers = traced(callerHeaders(caller), request.headers);
    const identity = this.#options.identify?.(caller, request);
    // equal "texts" of other values would share idempotency keys, and a promise would have a rate limit of its own
    if (this.#options.identify !== undefined && typeof identity !== "string") {
      throw new TypeError(`identify must return a string; got ${show(identity)}`);
    }
    this.#limited(this.#buckets, identity);
    const { route, run, signal } = place;
    const key = (route.options.key as ((caller: unknown) => unknown) | undefined)?.(caller);
    // events of an empty key, or of none, would be those of all callers
    if (route.options.key !== undefined && (typeof key !== "string" || key === "")) {
      disown(key);
      throw new TypeError(`edge: ${route.name}: key must return a string that is not empty; got ${show(key)}`);
    }
    return this.#actions.perform({
      request,
      route,
      action,
      run,
      signal,
      key: key as string | undefined, // checked above
      headers,
      identity,
      values: wantsValues(request),
    });
  }

  /**
   * Throws a refusal if a request that may change state, and carries cookies, comes neither from the handler's own
   * origin nor from one of `origins`.
   */
  #checkOrigin(method: string, request: Request): void {
    if (method === "GET" || !request.headers.has("cookie")) return;
    const site = request.headers.get("sec-fetch-site");
    if (site === "same-origin" || site === "none") return;
    const origin = request.headers.get("origin");
    if (
      origin !== null &&
      (this.#origins.has(origin) ? this.#options.credentials : hostOf(origin) === (hostOf(request.url) ?? null))
    ) {
      return;
    }
    throw new EdgeRefusal(
      403,
      "FORBIDDEN",
      "a request with cookies must come from an origin that the handler allows (options origins and credentials)",
    );
  }
}

/** Returns what a request does: one for the result of a run watches the run if it asks for server-sent events. */
function watchOf(request: Request, action: EdgeAction): EdgeAction {
  const isWatch = action === "result" && request.headers.get("accept")?.includes("text/event-stream");
  return isWatch ? "watch" : action;
}

/**
 * Returns the answer to HEAD for the one to GET, without the body, which not every server leaves out: `Deno.serve`
 * sends it over HTTP/2, and clients take that for an error.
 */
async function withoutBody(response: Response): Promise<Response> {
  const { body, status, headers } = response;
  if (body === null) return response;
  if (headers.get("content-type") === "text/event-stream") await body.cancel();
  else headers.set("content-length", `${(await response.arrayBuffer()).byteLength}`);
  return new Response(null, { status, headers });
}

/**
 * Returns a function that returns the present limit of each caller in this process.
 * @decides the share of one gateway of a limit for the whole cluster
 */
function limitOf(app: Catga, { rate, burst = rate, over }: EdgeLimit): () => TokenLimit {
  const share = over !== "cluster" ? () => 1 : () => {
    const { service } = app.self;
    return Math.max(1, app.nodes().filter((node) => node.service === service).length);
  };
  return () => {
    const nodes = share();
    return { rate: rate / nodes, per: 1_000, burst: Math.max(1, burst / nodes) };
  };
}

/**
 * Makes the headers that carry the caller to handlers. They are made for each action, also for those that send nothing:
 * a value that cannot be a caller, such as a `Response`, would let the request in.
 */
function callerHeaders(caller: unknown): Record<string, string> | undefined {
  if (caller === undefined) return undefined;
  if (caller === false) throw new TypeError(`${WRONG_CALLER}; got false`);
  try {
    return { [CALLER_HEADER]: encodeValue(caller, "caller") };
  } catch (error) {
    throw new TypeError(`${WRONG_CALLER}; ${error instanceof Error ? error.message : "it cannot be read"}`);
  }
}

/**
 * Adds the trace of the page to the headers that handlers get, so that it goes on. Not its `baggage`, which would let
 * anybody write into all messages of the cluster.
 */
function traced(headers: Record<string, string> | undefined, given: Headers): Record<string, string> | undefined {
  const traceparent = given.get("traceparent");
  if (traceparent === null || !/^[\da-f]{2}-[\x21-\x7e]{1,200}$/.test(traceparent)) return headers;
  const tracestate = given.get("tracestate") ?? "";
  return { ...headers, traceparent, ...(/^[\x20-\x7e]{1,512}$/.test(tracestate) ? { tracestate } : {}) };
}

const WRONG_CALLER =
  "authorize must return a caller that can be sent, undefined for nobody in particular, or deny(401)";

const PREFLIGHT = {
  "access-control-allow-methods": "GET, POST, DELETE",
  "access-control-max-age": "600",
};
/**
 * True if the body of a refused request is read before the answer: `Bun.serve` closes a connection that is not kept
 * with its answer, also while the body arrives, and nginx, which keeps none by default, then gives a 502.
 */
const READS_REFUSED = "Bun" in globalThis;
