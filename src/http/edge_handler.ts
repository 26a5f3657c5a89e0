/**
 * The server side of an edge: handles HTTP requests. Checks are made in this order: path, method, origin, media type,
 * caller (`authorize`), rate limit, and only then the body.
 */
import type { AnyContract, Contract } from "../contract/contract.ts";
import { IDLE } from "../contract/defaults.ts";
import type { EventFollower, FollowedEvent } from "../contract/durable_messages.ts";
import type { RunInfo, Signal, WorkflowContract } from "../contract/flow.ts";
import { CALLER_HEADER, MAX_ID } from "../contract/send_options.ts";
import type { Result } from "../contract/result.ts";
import type { Catga } from "../contract/running_node.ts";
import { type MaybePromise, validate } from "../contract/schema.ts";
import { describeContract, shapeOf } from "../contract/shape.ts";
import { logThrown } from "../data/cause_text.ts";
import {
  checkBoolean,
  checkFunction,
  checkInteger,
  checkKnown,
  checkNumber,
  checkObject,
  checkString,
  isRecord,
  isThenable,
  MAX_TIMEOUT,
  show,
} from "../data/checks.ts";
import { encodeValue, toJson } from "../data/encoding.ts";
import { CatgaError, isCatgaError } from "../error.ts";
import { type Clock, valueWithin } from "../ports/clock.ts";
import { answer } from "./edge_answer.ts";
import { eventBytes, eventsResponse } from "./edge_events.ts";
import type { EdgeCall, EdgeResume, EdgeRoute, OpenRun } from "./edge_types.ts";
import { etagOf } from "./etag.ts";
import { type AbortSource, ownAbort, sharedAbort } from "./sse_body.ts";
import { KEEP_ALIVE } from "./events.ts";
import { deny, EdgeRefusal, isEdgeRefusal } from "./refusal.ts";
import { BodyReader, inputOf, refusedMediaType, VALUES, wantsValues } from "./request_input.ts";
import { titleOf } from "./respond.ts";
import { TokenBuckets } from "./token_buckets.ts";

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
  /** Maximum size of a request's body, in bytes, 1 to 2^31 - 1. Default: 1,048,576. */
  maxBody?: number | undefined;
  /** Time within which a request's body has to arrive, in ms, 1 to 2^31 - 1. Default: 10,000. */
  bodyTimeout?: number | undefined;
  /**
   * Maximum time that a client may wait for a result (`Prefer: wait=…`), in ms, 0 to 2^31 - 1. Default: 30,000; in Bun
   * 8,000, because `Bun.serve` ends a connection on which nothing was sent for 10 s.
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

/** Makes the function that handles HTTP requests of an edge. */
export function edgeHandler<Given>(
  app: Catga,
  routes: ReadonlyMap<string, EdgeRoute>,
  options: EdgeHandlerOptions<Given>,
): (request: Request) => Promise<Response> {
  checkOptions(app, options);
  const handler = new EdgeHandler(app, routes, options);
  return (request) => handler.handle(request);
}

/** A call that `authorize` and the rate limit have admitted: the entry, the requested action and the caller. */
interface AdmittedCall {
  readonly request: Request;
  readonly route: EdgeRoute;
  readonly action: EdgeAction;
  readonly run: string | undefined;
  readonly signal: string | undefined;
  /** Headers that carry the caller to handlers; `undefined`: `authorize` has named none. */
  readonly headers: Record<string, string> | undefined;
  readonly identity: string | undefined;
  readonly values: boolean;
}

/** An entry of the edge, with the run and the signal that the path names after the entry's name. */
interface RouteMatch {
  readonly route: EdgeRoute;
  readonly run: string | undefined;
  readonly signal: string | undefined;
}

class EdgeHandler<Given> {
  readonly #app: Catga;
  readonly #routes: ReadonlyMap<string, EdgeRoute>;
  readonly #options: EdgeHandlerOptions<Given>;
  readonly #base: string;
  /** By path: the entry of the edge. */
  readonly #matches: ReadonlyMap<string, RouteMatch>;
  readonly #origins: ReadonlySet<string>;
  readonly #bodies: BodyReader;
  /**
   * Calls back when the app drains (shuts down in an orderly way). One listener serves all open responses of
   * server-sent events.
   */
  readonly #draining: AbortSource;
  readonly #buckets: TokenBuckets | undefined;
  /** How streams that clients have asked for are resumed, by name of the entry. */
  readonly #streamPlaces = new Map<string, StreamPlace | undefined>();
  /** Encoded durable events, which all responses share: as JSON, and as values with tags. */
  readonly #encodedEvents = [new WeakMap<object, Uint8Array>(), new WeakMap<object, Uint8Array>()] as const;

  constructor(app: Catga, routes: ReadonlyMap<string, EdgeRoute>, options: EdgeHandlerOptions<Given>) {
    this.#app = app;
    this.#routes = routes;
    this.#options = options;
    const base = this.#base = options.base ?? "";
    const places = [...routes].map(([name, route]) =>
      [`${base}/${name}`, { route, run: undefined, signal: undefined }] as const
    );
    this.#matches = new Map(places);
    this.#draining = sharedAbort(app.draining);
    this.#origins = new Set(options.origins ?? []);
    const { limit, maxBody = MAX_BODY, bodyTimeout = BODY_TIMEOUT } = options;
    this.#bodies = new BodyReader({ maxSize: maxBody, timeout: bodyTimeout, draining: app.draining });
    if (limit === undefined) return;
    const { rate, burst = Math.max(1, rate), over } = limit;
    const share = over !== "cluster" ? () => 1 : () => {
      const { service } = app.self;
      return Math.max(1, app.nodes().filter((node) => node.service === service).length);
    };
    this.#buckets = new TokenBuckets({
      clock: app.clock,
      rate: () => rate / share(),
      burst: () => Math.max(1, burst / share()),
      most: MAX_CALLERS,
    });
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
    return response;
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
    // the server leaves the body of an answer to HEAD out
    const method = request.method === "HEAD" ? "GET" : request.method;
    const place = this.#match(method, pathOf(request.url));
    const action = actionOf(method, place);
    this.#checkOrigin(method, request);
    const media = method === "POST" ? refusedMediaType(request) : undefined;
    if (media !== undefined) throw media;
    const { route: { name, kind, meta, contract }, run, signal } = place;
    const key = kind === "event" ? queryOf(request).get("key") ?? undefined : undefined;
    const call: EdgeCall = { name, kind, contract: contract.name, meta, run, action, key, signal };
    const given = this.#options.authorize(request, call);
    // the value is awaited only if it is a promise, because each promise costs 0.1 µs
    return isThenable(given)
      ? Promise.resolve(given).then((caller) => this.#admit(request, place, action, caller))
      : this.#admit(request, place, action, given);
  }

  #admit(request: Request, place: RouteMatch, action: EdgeAction, caller: Given | EdgeRefusal): MaybePromise<Response> {
    if (isEdgeRefusal(caller)) throw caller;
    const headers = callerHeaders(caller);
    const identity = this.#options.identify?.(caller, request);
    // equal "texts" of other values would share idempotency keys, and a promise would have a rate limit of its own
    if (this.#options.identify !== undefined && typeof identity !== "string") {
      throw new TypeError(`identify must return a string; got ${show(identity)}`);
    }
    const wait = this.#buckets?.take(identity ?? "") ?? 0;
    if (wait > 0) {
      const seconds = `${Math.max(1, Math.ceil(wait / 1_000))}`;
      throw new EdgeRefusal(429, "RATE_LIMITED", "too many calls: try again later", { "retry-after": seconds });
    }
    const { route, run, signal } = place;
    return this.#perform({ request, route, action, run, signal, headers, identity, values: wantsValues(request) });
  }

  #perform(called: AdmittedCall): MaybePromise<Response> {
    switch (called.action) {
      case "send":
        return this.#send(called);
      case "read":
        return called.route.kind === "stream" ? this.#stream(called) : this.#query(called);
      case "follow":
        return this.#follow(called);
      case "start":
        return this.#start(called);
      case "result":
        return this.#result(called);
      case "tell":
        return this.#tell(called);
      case "cancel":
        return this.#cancel(called);
    }
  }

  /**
   * Returns the entry for a path, with the run and the signal that follow the entry's name. Throws a refusal if there
   * is none. Ids of runs may contain slashes, which proxies that rewrite paths, such as nginx, pass on decoded: so the
   * method decides if the last part is a signal.
   */
  #match(method: string, pathname: string): RouteMatch {
    const listed = this.#matches.get(pathname);
    if (listed !== undefined) return listed;
    const base = this.#base;
    const parts = pathname.startsWith(`${base}/`) ? pathname.slice(base.length + 1).split("/") : [];
    const [name = "", ...more] = parts.map(decodedPart);
    const route = this.#routes.get(name);
    if (route === undefined) throw NOT_FOUND;
    if (more.length === 0) return { route, run: undefined, signal: undefined };
    const signal = method === "POST" && more.length > 1 ? more.pop() : undefined;
    const run = more.join("/");
    if (route.kind !== "workflow" || run === "" || run.length > MAX_ID || signal === "") throw NOT_FOUND;
    return { route, run, signal };
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

  /**
   * Returns the id of the message or run, made from the header `Idempotency-Key` and the caller; `undefined` without
   * this header.
   */
  #idOf({ request, identity }: AdmittedCall): string | undefined {
    const key = request.headers.get("idempotency-key") ?? undefined;
    if (key === undefined) return undefined;
    if (key === "" || key.length > MAX_KEY) {
      throw invalid(`an Idempotency-Key has 1 to ${MAX_KEY} characters`);
    }
    // the caller has no slash of its own there: else `a` with the key `b/c` would be `a/b` with the key `c`
    const id = identity === undefined ? key : `${identity.replace(/[%/]/g, encodeURIComponent)}/${key}`;
    if (id.length <= MAX_ID) return id;
    throw invalid("the Idempotency-Key is too long for this caller: use a shorter one");
  }

  async #send(called: AdmittedCall): Promise<Response> {
    const { route: { contract, options: { failures = {} } }, values, request } = called;
    const of = contract as Contract<"command" | "query", unknown, unknown>;
    const given = this.#idOf(called);
    // the header `Idempotency-Key` is ignored if the contract makes ids: then the contract decides which messages are
    // equal
    const id = of.options.id === undefined ? given : undefined;
    if (given !== undefined && of.kind !== "command") {
      throw invalid("a query takes no Idempotency-Key: leave the header out");
    }
    const input = await this.#bodies.input(request);
    // only a query ends when its client closes the request: the changes of a command are not cut off half-way
    const signal = of.kind === "query" ? request.signal : undefined;
    const { headers } = called;
    const isPlain = id === undefined && headers === undefined && signal === undefined;
    const sending = isPlain ? this.#app.send(of, input) : this.#app.send(of, input, { id, headers, signal });
    return answer(await sending, { values, failures });
  }

  async #query(called: AdmittedCall): Promise<Response> {
    const { route: { contract, options: { failures = {}, cache = "no-cache" } }, values, request } = called;
    const of = contract as Contract<"query", unknown, unknown>;
    const input = inputOf(queryOf(request).get("input") ?? "");
    const result = await this.#app.send(of, input, { headers: called.headers, signal: request.signal });
    if (!result.ok || result.value === undefined) return answer(result, { values, failures });
    const text = values ? encodeValue(result.value, "result") : toJson(result.value, "INVALID_RESPONSE", "the value");
    const headers = { etag: etagOf(text), "cache-control": cache, vary: VARY };
    if (matches(request, headers.etag)) return new Response(null, { status: 304, headers });
    return new Response(text, { headers: { ...headers, "content-type": values ? VALUES : "application/json" } });
  }

  async #stream(called: AdmittedCall): Promise<Response> {
    const { route, request, values } = called;
    const of = route.contract as Contract<"stream", unknown, unknown>;
    const place = this.#placeOf(route, of);
    const last = request.headers.get("last-event-id");
    let input = inputOf(queryOf(request).get("input") ?? "");
    if (last !== null && last !== "") {
      input = place === undefined ? raise(NO_RESUME) : await inputAfter(place, input, last);
    }
    const items = this.#app.stream(of, input, { headers: called.headers, signal: request.signal });
    const event = (item: unknown) => eventBytes(place?.id(item), item, values);
    const { keepAlive = KEEP_ALIVE } = this.#options;
    return eventsResponse(
      { items, event, place: undefined, signals: this.#endsOf(request), finite: true, keepAlive },
      values,
    );
  }

  /** Returns how a stream is resumed after an item; `undefined`: the stream cannot be resumed. */
  #placeOf({ name, options: { resume } }: EdgeRoute, contract: AnyContract): StreamPlace | undefined {
    if (!this.#streamPlaces.has(name)) this.#streamPlaces.set(name, placeOf(contract, resume, this.#app.clock));
    return this.#streamPlaces.get(name);
  }

  /**
   * Returns the signals that end a response of server-sent events: that of the request, which aborts when the client
   * closes it, and that of this node, which aborts when the node drains; the client then reconnects to another node.
   */
  #endsOf(request: Request): readonly AbortSource[] {
    return [ownAbort(request.signal), this.#draining];
  }

  #follow({ route: { contract }, request, values }: AdmittedCall): Response {
    const query = queryOf(request);
    const from = request.headers.get("last-event-id") || query.get("from") || "now";
    const key = query.get("key") ?? undefined;
    const follow = this.#app.follow as (contract: unknown, options: object) => EventFollower<unknown>;
    // `follow` gets no signal: when the client closes the request, the response itself ends the iteration
    const items = follow.call(this.#app, contract, { from: fromOf(from), key });
    const texts = this.#encodedEvents[values ? 1 : 0];
    const bytesOf = (event: FollowedEvent<unknown>) => {
      const made = texts.get(event);
      if (made !== undefined) return made;
      const { position, id, key, payload, stored, due } = event;
      const times = { stored, ...(due && { due }) };
      const bytes = eventBytes(position, { position, id, key, payload, ...times }, values);
      texts.set(event, bytes);
      return bytes;
    };
    const { keepAlive = KEEP_ALIVE } = this.#options;
    const source = {
      ...{ items, event: bytesOf, signals: this.#endsOf(request), finite: false, keepAlive },
      get place() {
        return items.position === undefined ? undefined : `${items.position}`;
      },
    };
    return eventsResponse(source, values);
  }

  async #start(called: AdmittedCall): Promise<Response> {
    const { route: { contract, name, options: { failures = {} } }, values } = called;
    const input = await this.#bodies.input(called.request);
    const id = this.#idOf(called);
    const workflow = contract as WorkflowContract<unknown, unknown>;
    const started = await this.#app.start(workflow, input, { id, headers: called.headers });
    if (!started.ok) return answer(started, { values, failures });
    // relative to the path of the request, which a proxy may have shortened
    const location = `${name}/${encodeURIComponent(started.value)}`;
    return answer({ ok: true, value: { run: started.value } }, {
      values,
      failures,
      status: 202,
      headers: { location },
    });
  }

  async #result(called: AdmittedCall): Promise<Response> {
    const { route: { contract, options: { failures = {} } }, values, request, run = "" } = called;
    const workflow = contract as WorkflowContract<unknown, unknown>;
    const { maxWait = MAX_WAIT } = this.#options;
    const wait = Math.min(maxWait, waitOf(request));
    let info = await this.#run(workflow, run);
    if (info?.status === "unreadable") {
      const { message } = info.pending[0].error!; // a run that cannot be decoded has this error
      return answer({ ok: false, error: new CatgaError("UNAVAILABLE", message) }, { values, failures });
    }
    if (info !== undefined && info.endedAt === undefined && wait > 0) {
      const result = await this.#app.result(workflow, run, { timeout: wait, signal: request.signal });
      if (result.ok) return answer(result, { values, failures });
      info = await this.#run(workflow, run);
      if (result.error.code !== "NOT_ENDED") return this.#answerOf(result, info, called);
    }
    if (info !== undefined && info.endedAt === undefined) {
      return answer({ ok: true, value: openRun(info) }, { values, failures, status: 202 });
    }
    return this.#answerOf(await this.#app.result(workflow, run, { signal: request.signal }), info, called);
  }

  /** Makes the response for the result of a run: a failure may be the end of the run, or of this call. */
  #answerOf(result: Result<unknown>, info: RunInfo | undefined, { route, values }: AdmittedCall): Response {
    const { failures = {} } = route.options;
    const end = info?.endedAt === undefined ? undefined : info.timeline.at(-1)?.value;
    const ended = !result.ok && isRecord(end) && end.code === result.error.code;
    return answer(result, { values, failures, ended });
  }

  async #run({ name }: WorkflowContract<never, unknown>, id: string): Promise<RunInfo | undefined> {
    for await (const info of this.#app.runs({ workflow: name, id })) return info;
    return undefined;
  }

  async #tell(called: AdmittedCall): Promise<Response> {
    const { route: { options: { tell = {}, failures = {} } }, values, run = "", signal = "" } = called;
    const input = await this.#bodies.input(called.request);
    const id = this.#idOf(called);
    return answer(await this.#app.tell(tell[signal] as Signal<unknown>, run, input, { id }), {
      values,
      failures,
      status: 202,
    });
  }

  async #cancel(called: AdmittedCall): Promise<Response> {
    const { route: { contract, options: { failures = {} } }, values, run = "", request } = called;
    const reason = queryOf(request).get("reason") || "cancelled by its caller";
    const cancelled = await this.#app.cancel(contract as WorkflowContract<never, unknown>, run, reason.slice(0, 1_000));
    return answer(cancelled, { values, failures, status: 202 });
  }
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

const WRONG_CALLER =
  "authorize must return a caller that can be sent, undefined for nobody in particular, or deny(401)";

/** Returns what a request with this method on this path does. Throws a refusal if the path does not have the method. */
function actionOf(method: string, { route, run, signal }: RouteMatch): EdgeAction {
  const actions = actionsOf(route, run, signal);
  const action = actions.get(method);
  if (action !== undefined) return action;
  const allow = [...actions.keys()].join(", ").replace("GET", "GET, HEAD");
  throw new EdgeRefusal(405, "METHOD_NOT_ALLOWED", `the method must be ${allow}`, { allow });
}

/** Returns what requests on a path can do, by method. Throws a refusal for a signal that the entry does not list. */
function actionsOf(
  { kind, options }: EdgeRoute,
  run: string | undefined,
  signal: string | undefined,
): ReadonlyMap<string, EdgeAction> {
  if (run === undefined) return ACTIONS[kind];
  if (signal === undefined) return options.cancel ? CANCELLABLE_RUN_ACTIONS : RUN_ACTIONS;
  return Object.hasOwn(options.tell ?? {}, signal) ? SIGNAL_ACTIONS : raise(NOT_FOUND);
}

/**
 * How a stream is resumed after an item: functions that make the text of an item's place, and the input with which to
 * continue after it.
 */
interface StreamPlace {
  id(item: unknown): string;
  from(input: unknown, id: string): MaybePromise<unknown>;
}

/**
 * Returns the input with which a stream continues after an item. Throws a refusal if the program's function throws for
 * the text that the client sent.
 */
async function inputAfter(place: StreamPlace, input: unknown, id: string): Promise<unknown> {
  try {
    return await place.from(input, id);
  } catch (error) {
    if (error instanceof EdgeRefusal) throw error;
    throw invalid("this stream cannot be resumed after that item: begin it anew, without Last-Event-ID");
  }
}

/** Returns how a stream is resumed after an item; `undefined`: the stream cannot be resumed. */
function placeOf(contract: AnyContract, resume: EdgeResume | undefined, clock: Clock): StreamPlace | undefined {
  const { name, options: { resume: contractResume, items, idle } } = contract;
  const withinLimit = (text: string) => {
    if (text.length <= MAX_PLACE) return text;
    throw new CatgaError(
      "TOO_LARGE",
      `the place of an item has more than ${MAX_PLACE} characters: give the entry resume`,
    );
  };
  if (resume !== undefined) {
    return {
      id: (item) => withinLimit(encodeURIComponent(resume.id(item as never))),
      from: (input, id) => resume.from(input as never, decodedPart(id)),
    };
  }
  if (contractResume === undefined) return undefined;
  const textOf = (item: unknown) => withinLimit(encodeURIComponent(encodeValue(item, "item")));
  if (items === undefined) {
    return {
      id: textOf,
      from: (input, id) => contractResume(input as never, inputOf(decodedPart(id)) as never),
    };
  }
  const version = versionOf(contract);
  return {
    id: (item) => `${version}!${textOf(item)}`,
    async from(input, id) {
      const [, by, text = ""] = /^(?:([\w-]*)!)?(.*)$/s.exec(id) ?? [];
      const item = inputOf(decodedPart(text));
      // items of this version are not parsed again, as the schema may transform them
      if (by === version && version !== "") return contractResume(input as never, item as never);
      const validation = Promise.resolve(validate(items, item, "INVALID_MESSAGE", name));
      const parsed = await valueWithin(clock, idle ?? IDLE, validation);
      if (parsed === undefined) throw new EdgeRefusal(504, "TIMEOUT", "the schema of the items took too long");
      const { ok, value } = parsed;
      if (!ok) {
        throw invalid(
          "this stream cannot be resumed after an item of that version: begin it anew, without Last-Event-ID",
        );
      }
      return contractResume(input as never, value as never);
    },
  };
}

/**
 * Returns a name for the version of a contract; empty if it is unknown, because a validator has no JSON Schema and the
 * contract no `version`.
 */
function versionOf(contract: AnyContract): string {
  const { version } = contract.options;
  return shapeOf(describeContract(contract)) ?? (version === undefined ? "" : `v${version}`);
}

/** Parses the place from which a client wants to follow events. Throws a refusal if it is invalid. */
function fromOf(text: string): "now" | "start" | number | Date {
  if (text === "now" || text === "start") return text;
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const date = new Date(text);
  if (/^\d{4}-/.test(text) && !Number.isNaN(date.getTime())) return date;
  throw invalid("from must be now, start, a position or an ISO date");
}

function openRun({ id, status, stage, pending }: RunInfo): OpenRun {
  const shown = pending.map(({ name, next }) => ({
    name,
    ...(next === undefined ? {} : { next: next.toISOString() }),
  }));
  return { run: id, status, ...(stage === undefined ? {} : { stage }), pending: shown };
}

/**
 * Returns how long a client wants to wait for a result, by its header `Prefer: wait=…` (RFC 7240), in ms; 0 without
 * this header.
 */
function waitOf(request: Request): number {
  const [, seconds] = /(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])/.exec(request.headers.get("prefer") ?? "") ?? [];
  return Number(seconds ?? 0) * 1_000;
}

function matches(request: Request, etag: string): boolean {
  const wanted = request.headers.get("if-none-match");
  // weak tags are equal, too (RFC 9110, 13.1.2): proxies that compress an answer make its tag weak
  return wanted !== null && wanted.split(",").some((each) => ["*", etag, `W/${etag}`].includes(each.trim()));
}

/** Decodes a part of a path, or the text of a place. Throws a refusal if its escapes are invalid. */
function decodedPart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid("the path, or the header Last-Event-ID, has an invalid percent-encoding");
  }
}

/** Returns the path of a URL. The class `URL` is slow, and is used only if the path may have to be normalized. */
function pathOf(url: string): string {
  if (!PLAIN_URL.test(url)) return urlOf(url).pathname;
  const query = url.indexOf("?");
  return url.slice(url.indexOf("/", HTTPS.length), query < 0 ? undefined : query);
}

function queryOf({ url }: Request): URLSearchParams {
  return urlOf(url).searchParams;
}

/**
 * Parses the URL of a request. Throws a refusal if the request's `Host` is invalid. Without `Host`, as some proxies
 * send requests of HTTP/1.0, `Bun.serve` gives only the path.
 */
function urlOf(url: string): URL {
  const parsed = URL.parse(url.startsWith("/") ? `http://host.invalid${url}` : url);
  return parsed ?? raise(invalid("the URL of the request is not valid"));
}

function hostOf(origin: string): string | undefined {
  return URL.parse(origin)?.host;
}

/** Makes the refusal of an invalid request. */
function invalid(message: string): EdgeRefusal {
  return new EdgeRefusal(400, "INVALID_MESSAGE", message);
}

function raise(refusal: EdgeRefusal): never {
  throw refusal;
}

function checkOptions<Given>(app: Catga, options: EdgeHandlerOptions<Given>): void {
  if (typeof (app as Partial<Catga> | undefined)?.send !== "function") {
    throw new TypeError(`handler: the first argument must be an app; got ${show(app)}`);
  }
  checkObject("handler", options, "an object with authorize");
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

type EdgeAction = EdgeCall["action"];

/** By kind of entry and by HTTP method: the action of a request on a path without a run. */
const ACTIONS: Readonly<Record<EdgeRoute["kind"], ReadonlyMap<string, EdgeAction>>> = {
  command: new Map([["POST", "send"]]),
  query: new Map([["GET", "read"], ["POST", "send"]]),
  stream: new Map([["GET", "read"]]),
  event: new Map([["GET", "follow"]]),
  workflow: new Map([["POST", "start"]]),
};
const RUN_ACTIONS: ReadonlyMap<string, EdgeAction> = new Map([["GET", "result"]]);
const CANCELLABLE_RUN_ACTIONS: ReadonlyMap<string, EdgeAction> = new Map([["GET", "result"], ["DELETE", "cancel"]]);
const SIGNAL_ACTIONS: ReadonlyMap<string, EdgeAction> = new Map([["POST", "tell"]]);
const HANDLER_OPTIONS: ReadonlySet<string> = new Set<keyof EdgeHandlerOptions>([
  "base",
  "authorize",
  "identify",
  "limit",
  "origins",
  "credentials",
  "maxBody",
  "bodyTimeout",
  "maxWait",
  "keepAlive",
]);
const LIMIT_OPTIONS: ReadonlySet<string> = new Set<keyof EdgeLimit>(["rate", "burst", "over"]);
/**
 * Matches a URL whose path needs no normalization: it has no escapes, dots or other characters that the class `URL`
 * changes.
 */
const PLAIN_URL = /^https?:\/\/[\w.:[\]-]+\/[\w/-]*(?:\?|$)/;
const HTTPS = "https://";
const NOT_FOUND = deny(404);
const NO_RESUME = invalid("this stream cannot be resumed after an item: begin it anew, without Last-Event-ID");
/** Request headers on which answers depend, so that a browser's cache keeps answers for two callers apart. */
const VARY = "accept, authorization, cookie";
const PREFLIGHT = {
  "access-control-allow-methods": "GET, POST, DELETE",
  "access-control-max-age": "600",
};
/** Default of `maxBody`, in bytes. */
const MAX_BODY = 1_048_576;
/** Default of `bodyTimeout`, in ms. */
const BODY_TIMEOUT = 10_000;
/**
 * True if the body of a refused request is read before the answer: `Bun.serve` closes a connection that is not kept
 * with its answer, also while the body arrives, and nginx, which keeps none by default, then gives a 502.
 */
const READS_REFUSED = "Bun" in globalThis;
/** Default of `maxWait`, in ms: `Bun.serve` ends a connection on which nothing was sent for 10 s. */
const MAX_WAIT = "Bun" in globalThis ? 8_000 : 30_000;
/**
 * Maximum length of an `Idempotency-Key`, in characters: together with the text that identifies the caller it has to
 * fit into a message id of 256 characters.
 */
const MAX_KEY = 128;
/** Maximum length of the text of an item's place, in characters; the text is sent in a header. */
const MAX_PLACE = 4_096;
/** Maximum number of callers whose calls are counted for the rate limit. */
const MAX_CALLERS = 100_000;
