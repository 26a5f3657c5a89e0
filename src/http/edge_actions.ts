/** The actions of an edge: each carries out an admitted call with the app, and makes the response. */
import type { AnyContract, Contract } from "../contract/declaration/contract.ts";
import type { EventFollower, FollowedEvent } from "../contract/calls/durable_messages.ts";
import type { Question, RunInfo, Signal, ViewChange, WorkflowContract } from "../contract/calls/flow.ts";
import { isAnswer } from "../contract/calls/given_answers.ts";
import { fail, type Failure, type Result } from "../contract/calls/result.ts";
import type { Catga } from "../contract/nodes/running_node.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import { MAX_ID } from "../contract/calls/send_options.ts";
import type { Workflow } from "../contract/declaration/workflow.ts";
import { isRecord } from "../data/checks.ts";
import { decodeText, encodeValue, toJson } from "../data/encoding.ts";
import { CatgaError } from "../error.ts";
import { answer, type AnswerOptions } from "./edge_answer.ts";
import { eventBytes, eventsResponse } from "./edge_events.ts";
import type { EdgeAction } from "./edge_paths.ts";
import { problemValue } from "./problem_value.ts";
import { failureStatus, problem } from "./respond.ts";
import type { EdgeRoute, OpenRun } from "./edge_types.ts";
import { etagOf } from "./etag.ts";
import { deny, invalidRequest } from "./refusal.ts";
import { type BodyReader, inputOf, VALUES, wantsValues } from "./request_input.ts";
import { checkParameters, type KnownParameters, queryOf } from "./request_url.ts";
import { type AbortSource, ownAbort, sharedAbort } from "./sse_body.ts";
import { inputAfter, placeOf, type StreamPlace } from "./stream_place.ts";

/** A call that `authorize` and the rate limit have admitted: the entry, the requested action and the caller. */
export interface AdmittedCall {
  readonly request: Request;
  readonly route: EdgeRoute;
  readonly action: EdgeAction;
  readonly run: string | undefined;
  /** The name of a signal or a question. */
  readonly signal: string | undefined;
  /** Headers that carry the caller and the page's trace to handlers; `undefined`: there is neither. */
  readonly headers: Record<string, string> | undefined;
  readonly identity: string | undefined;
  /** Key that the entry makes of the caller; `undefined`: the entry makes none. */
  readonly key: string | undefined;
  readonly values: boolean;
}

/** Parts with which an {@link EdgeActions} works. */
interface EdgeActionsOptions {
  readonly bodies: BodyReader;
  /** Maximum time that a client may wait for a result, in ms. */
  readonly maxWait: number;
  /** Interval of the comments that keep a response of server-sent events alive, in ms. */
  readonly keepAlive: number;
  /** Names of parameters of URLs that the program reads itself. */
  readonly parameters: readonly string[];
}

/**
 * The actions of an edge.
 * @decides what each kind of call does: send, query, stream, follow, start, result, watch, tell, ask, cancel
 */
export class EdgeActions {
  readonly #app: Catga;
  readonly #bodies: BodyReader;
  readonly #maxWait: number;
  readonly #keepAlive: number;
  readonly #parameters: ReadonlySet<string>;
  /**
   * Calls back when the app drains (shuts down in an orderly way). One listener serves all open responses of
   * server-sent events.
   */
  readonly #draining: AbortSource;
  /** How streams that clients have asked for are resumed, by name of the entry. */
  readonly #streamPlaces = new Map<string, StreamPlace | undefined>();
  /** Encoded durable events, which all responses share: as JSON, and as values with tags. */
  readonly #encodedEvents = [new WeakMap<object, Uint8Array>(), new WeakMap<object, Uint8Array>()] as const;

  constructor(app: Catga, { bodies, maxWait, keepAlive, parameters }: EdgeActionsOptions) {
    this.#app = app;
    this.#bodies = bodies;
    this.#maxWait = maxWait;
    this.#keepAlive = keepAlive;
    this.#parameters = new Set(parameters);
    this.#draining = sharedAbort(app.draining);
  }

  /** Carries out a call, and returns its response. Throws a refusal if the request is invalid. */
  perform(called: AdmittedCall): MaybePromise<Response> {
    const { action, request } = called;
    if (request.url.includes("?")) checkParameters(request, PARAMETERS[action], this.#parameters);
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
      case "watch":
        return this.#watch(called);
      case "tell":
        return this.#tell(called);
      case "ask":
        return this.#ask(called);
      case "cancel":
        return this.#cancel(called);
    }
  }

  /**
   * Returns the id of the message or run, made from the header `Idempotency-Key` and the caller. `undefined` without
   * this header, and if the contract makes ids (`ofContract`, its option `id`): it then decides which messages and
   * starts are equal.
   */
  #idOf({ request, identity }: AdmittedCall, ofContract?: unknown): string | undefined {
    const key = request.headers.get("idempotency-key") ?? undefined;
    if (key === undefined) return undefined;
    if (key === "" || key.length > MAX_KEY) {
      throw invalidRequest(`an Idempotency-Key has 1 to ${MAX_KEY} characters`);
    }
    // the caller has no slash of its own there: else `a` with the key `b/c` would be `a/b` with the key `c`
    const id = identity === undefined ? key : `${identity.replace(/[%/]/g, encodeURIComponent)}/${key}`;
    if (id.length > MAX_ID) {
      throw invalidRequest("the Idempotency-Key is too long for this caller: use a shorter one");
    }
    return ofContract === undefined ? id : undefined;
  }

  async #send(called: AdmittedCall): Promise<Response> {
    const { route: { contract, options: { failures = {} } }, values, request } = called;
    const of = contract as Contract<"command" | "query", unknown, unknown>;
    const id = this.#idOf(called, of.options.id);
    if (request.headers.has("idempotency-key") && of.kind !== "command") {
      throw invalidRequest("a query takes no Idempotency-Key: leave the header out");
    }
    const input = await this.#bodies.input(request);
    // only a query ends when its client closes the request: the changes of a command are not cut off half-way
    const signal = of.kind === "query" ? request.signal : undefined;
    const { headers, key } = called;
    const isPlain = id === undefined && headers === undefined && signal === undefined && key === undefined;
    const sending = isPlain ? this.#app.send(of, input) : this.#app.send(of, input, { id, headers, signal, key });
    return answer(await sending, { values, failures });
  }

  async #query(called: AdmittedCall): Promise<Response> {
    const { route: { contract, options: { failures = {}, cache = "no-cache" } }, values, request } = called;
    const of = contract as Contract<"query", unknown, unknown>;
    const input = inputOf(queryOf(request).get("input") ?? "");
    const { headers: own, key } = called;
    const result = await this.#app.send(of, input, { headers: own, signal: request.signal, key });
    return tagged(request, result, { values, failures, cache });
  }

  async #stream(called: AdmittedCall): Promise<Response> {
    const { route, request, values } = called;
    const of = route.contract as Contract<"stream", unknown, unknown>;
    const place = this.#placeOf(route, of);
    const last = request.headers.get("last-event-id");
    let input = inputOf(queryOf(request).get("input") ?? "");
    if (last !== null && last !== "") {
      input = await inputAfter(place, input, last);
    }
    const items = this.#app.stream(of, input, { headers: called.headers, signal: request.signal, key: called.key });
    const event = (item: unknown) => eventBytes(place?.id(item), item, values);
    return eventsResponse(
      { items, event, place: undefined, signals: this.#endsOf(request), finite: true, keepAlive: this.#keepAlive },
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

  #follow({ route: { contract }, request, values, key: own }: AdmittedCall): Response {
    const query = queryOf(request);
    const from = request.headers.get("last-event-id") || query.get("from") || "now";
    const key = query.get("key") ?? own;
    if (own !== undefined && key !== own) throw deny(403, "the key is that of the caller: leave the parameter key out");
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
    const source = {
      ...{ items, event: bytesOf, signals: this.#endsOf(request), finite: false, keepAlive: this.#keepAlive },
      get place() {
        return items.position === undefined ? undefined : `${items.position}`;
      },
    };
    return eventsResponse(source, values);
  }

  async #start(called: AdmittedCall): Promise<Response> {
    const { route: { contract, name, options: { failures = {} } }, values } = called;
    const input = await this.#bodies.input(called.request);
    const workflow = contract as Workflow<unknown, unknown>;
    const id = this.#idOf(called, workflow["~workflow"].id);
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
    const wait = Math.min(this.#maxWait, waitOf(request));
    let info = await this.#run(workflow, run);
    if (info?.status === "unreadable") {
      const { message } = info.pending[0].error!; // a run that cannot be decoded has this error
      return answer({ ok: false, error: new CatgaError("UNAVAILABLE", message) }, { values, failures });
    }
    if (info !== undefined && info.endedAt === undefined && wait > 0) {
      const result = await this.#app.result(workflow, run, { timeout: wait, signal: request.signal });
      if (result.ok) return tagged(request, result, { values, failures });
      info = await this.#run(workflow, run);
      if (result.error.code !== "NOT_ENDED") return this.#answerOf(result, info, called);
    }
    if (info !== undefined && info.endedAt === undefined) {
      return tagged(request, { ok: true, value: openRun(info) }, { values, failures, status: 202 });
    }
    return this.#answerOf(await this.#app.result(workflow, run, { signal: request.signal }), info, called);
  }

  /** Makes the response for the result of a run: a failure may be the end of the run, or of this call. */
  #answerOf(result: Result<unknown>, info: RunInfo | undefined, { route, values, request }: AdmittedCall): Response {
    const { failures = {} } = route.options;
    if (result.ok) return tagged(request, result, { values, failures });
    const end = info?.endedAt === undefined ? undefined : info.timeline.at(-1)?.value;
    const ended = isRecord(end) && end.code === result.error.code;
    return answer(result, { values, failures, ended });
  }

  async #run({ name }: WorkflowContract<never, unknown>, id: string): Promise<RunInfo | undefined> {
    for await (const info of this.#app.runs({ workflow: name, id })) return info;
    return undefined;
  }

  /** Returns what a run shows, each change of it, and its end, as server-sent events. */
  #watch({ route, request, values, run = "" }: AdmittedCall): Response {
    const { contract, options: { failures = {} } } = route;
    const last = request.headers.get("last-event-id") ?? "";
    const after = /^\d{1,15}$/.test(last) ? Number(last) : undefined;
    const items = this.#app.watch(contract as WorkflowContract<unknown, unknown>, run, { after });
    const event = ({ view, number, result }: ViewChange<unknown, unknown, string>) => {
      const ended = result &&
        { result: result.ok ? result : { ok: false, error: problemOf(result, failures, values) } };
      return eventBytes(number < 0 ? undefined : number, { view, number, ...ended }, values, result && "end");
    };
    return eventsResponse(
      { items, event, place: undefined, signals: this.#endsOf(request), finite: false, keepAlive: this.#keepAlive },
      values,
    );
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

  async #ask(called: AdmittedCall): Promise<Response> {
    const { route: { options: { ask = {}, failures = {} } }, values, request, run = "", signal: name = "" } = called;
    const input = await this.#bodies.input(request);
    const question = ask[name] as Question<unknown, unknown>;
    const id = this.#idOf(called);
    // without `Prefer` as long as the edge waits at most: whoever asks waits for the answer
    const wait = Math.max(1, Math.min(this.#maxWait, waitOf(request, this.#maxWait)));
    const result = await this.#app.ask(question, run, input, { id, timeout: wait, signal: request.signal });
    const isGiven = !result.ok && isAnswer(result.error);
    if (isGiven || result.error?.code !== "NOT_ENDED") return answer(result, { values, failures, ended: isGiven });
    // the id that the node has made would let nobody ask again: ids of callers come from Idempotency-Key
    const advice = "not answered yet: ask again with the same Idempotency-Key";
    return answer({ ok: false, error: new CatgaError("NOT_ENDED", advice) }, { values, failures });
  }

  /** Completes the callback with this token: with the request's body, or with the failure that it names. */
  async complete(request: Request, token: string, isFailed: boolean): Promise<Response> {
    const input = await this.#bodies.input(request);
    const result = await this.#app.complete(token, isFailed ? failureIn(input) : input);
    return answer(result, { values: wantsValues(request), failures: {} });
  }

  async #cancel(called: AdmittedCall): Promise<Response> {
    const { route: { contract, options: { failures = {} } }, values, run = "", request } = called;
    const reason = queryOf(request).get("reason") || "cancelled by its caller";
    const cancelled = await this.#app.cancel(contract as WorkflowContract<never, unknown>, run, reason.slice(0, 1_000));
    return answer(cancelled, { values, failures, status: 202 });
  }
}

/** Makes the failure that a caller completes a callback with. Throws a refusal if the body names none. */
function failureIn(body: unknown): Failure {
  const { code, message = "" } = isRecord(body) ? body : {};
  const isCode = typeof code === "string" && code !== "" && code.length <= MAX_CODE;
  if (isCode && typeof message === "string" && message.length <= MAX_MESSAGE) return fail(code, message);
  const lengths = `a code of at most ${MAX_CODE} characters, a message of at most ${MAX_MESSAGE}`;
  throw invalidRequest(`the body must be { "code": "…", "message": "…" }: ${lengths}`);
}

/** Parses the place from which a client wants to follow events. Throws a refusal if it is invalid. */
function fromOf(text: string): "now" | "start" | number | Date {
  if (text === "now" || text === "start") return text;
  if (/^\d{1,16}$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  const date = new Date(text);
  if (/^\d{4}-/.test(text) && !Number.isNaN(date.getTime())) return date;
  throw invalidRequest("from must be now, start, a position or an ISO date");
}

/** Makes the response for a result, with its `ETag`; 304 if the client has it already. `cache`: `Cache-Control`. */
function tagged(
  request: Request,
  result: Result<unknown>,
  { cache = "no-cache", ...how }: AnswerOptions & { readonly cache?: string | undefined },
): Response {
  if (!result.ok || result.value === undefined) return answer(result, how);
  const { values, status = 200 } = how;
  const text = values ? encodeValue(result.value, "result") : toJson(result.value, "INVALID_RESPONSE", "the value");
  const headers = { etag: etagOf(text), "cache-control": cache, vary: VARY };
  if (matches(request, headers.etag)) return new Response(null, { status: 304, headers });
  return new Response(text, { status, headers: { ...headers, "content-type": values ? VALUES : "application/json" } });
}

/** Returns the problem details of the failure with which a run has ended. */
function problemOf({ error }: Failure, failures: Readonly<Record<string, number>>, values: boolean): unknown {
  const status = failureStatus(error.code, failures);
  return values ? decodeText(problemValue(error, status)) : JSON.parse(problem(error, status));
}

function openRun({ id, status, view, stage, pending }: RunInfo): OpenRun {
  const shown = pending.map(({ name, next, progress }) => ({
    name,
    ...(progress === undefined ? {} : { progress }),
    ...(next === undefined ? {} : { next: next.toISOString() }),
  }));
  return {
    run: id,
    status,
    ...(stage === undefined ? {} : { stage }),
    ...(view === undefined ? {} : { view }),
    pending: shown,
  };
}

/**
 * Returns how long a client wants to wait for a result, by its header `Prefer: wait=…` (RFC 7240), in ms; `otherwise`
 * without this header.
 */
function waitOf(request: Request, otherwise = 0): number {
  const [, seconds] = /(?:^|[,;\s])wait=(\d{1,6})(?:$|[,;\s])/.exec(request.headers.get("prefer") ?? "") ?? [];
  return seconds === undefined ? otherwise : Number(seconds) * 1_000;
}

function matches(request: Request, etag: string): boolean {
  const wanted = request.headers.get("if-none-match");
  // weak tags are equal, too (RFC 9110, 13.1.2): proxies that compress an answer make its tag weak
  return wanted !== null && wanted.split(",").some((each) => ["*", etag, `W/${etag}`].includes(each.trim()));
}

const OF_BODY = { names: [], hint: "none: its input is the body" };
/** Parameters of a URL that each action reads, and a text about them for the refusal of others. */
const PARAMETERS: Readonly<Record<EdgeAction, KnownParameters>> = {
  send: OF_BODY,
  read: { names: ["input"], hint: "input, as JSON: ?input=…" },
  follow: { names: ["from", "key"], hint: "from, key" },
  start: OF_BODY,
  result: { names: [], hint: "none" },
  watch: { names: [], hint: "none" },
  tell: OF_BODY,
  ask: OF_BODY,
  cancel: { names: ["reason"], hint: "reason" },
};
/** Request headers on which answers depend, so that a browser's cache keeps answers for two callers apart. */
const VARY = "accept, authorization, cookie";
/**
 * Maximum length of an `Idempotency-Key`, in characters: together with the text that identifies the caller it has to
 * fit into a message id of 256 characters.
 */
const MAX_KEY = 128;
/** Maximum lengths of the code and message of a failure with which a caller completes a callback, in characters. */
const MAX_CODE = 128;
const MAX_MESSAGE = 1_000;
