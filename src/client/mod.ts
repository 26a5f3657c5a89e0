/**
 * The client of an edge (contracts on HTTP), for browsers and every other place with `fetch`. It uses only the edge's
 * type: neither the contracts nor the rest of Catga are loaded.
 *
 * @example
 * ```ts ignore
 * import { client } from "@catga/catga/client";
 * import type { api } from "./api.ts"; // const api = edge({ createOrder: CreateOrder, placed: Placed, … })
 *
 * const shop = client<typeof api>("https://shop.example/api");
 * const result = await shop.createOrder.send({ sku: "tea" });
 * console.log(result.ok ? result.value.orderId : result.error.code);
 * for await (const { payload } of shop.placed.follow({ from: "now" })) console.log(payload);
 * ```
 *
 * @decides a call from a browser; again after which failures
 * @decides how long a client waits before it opens a stream again (option `pause`)
 * @decides "not done" or "may have been done", when a connection breaks
 *
 * @module
 */
import type { Contract, DurableContract } from "../contract/declaration/contract.ts";
import type { FollowedEvent } from "../contract/calls/durable_messages.ts";
import type { Askable, Signal, WorkflowContract } from "../contract/calls/flow.ts";
import type { ClientCode, ContractOf, EdgeEntries, EdgeEntry, OpenRun, OptionsOf } from "../http/edge_types.ts";
import { read, write } from "./values.ts";

export type { ClientCode, ContractOf, EdgeEntries, EdgeEntry, OpenRun, OptionsOf };

/** An edge (contracts on HTTP), as a client sees it: only its type. */
export interface ClientEdge<E extends EdgeEntries> {
  /** Compile time only, never has a value: carries the types of the entries. */
  readonly "~entries"?: E;
}

/** Options of {@link client}, which calls the contracts of an edge. */
export interface ClientOptions {
  /** Headers of each request, or a function that returns them, for instance with a token. Default: none. */
  headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined;
  /** The function that sends requests. Default: the global `fetch`. */
  fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined;
  /**
   * The option `credentials` of `fetch`, which decides whether cookies are sent to another origin. Default:
   * `same-origin`.
   */
  credentials?: RequestCredentials | undefined;
  /**
   * First and longest pause before a broken stream, or a broken connection that follows events, is opened again, in ms.
   * Default: `[250, 10_000]`.
   */
  pause?: readonly [first: number, longest: number] | undefined;
}

/** Options of one call. */
export interface CallOptions {
  /**
   * Aborting this signal ends a call with the code `CANCELLED`, and an iteration without an error. Default: none.
   */
  signal?: AbortSignal | undefined;
}

/** Options of a call that sends a command, starts a run, or sends a signal to a run. */
export interface ClientSendOptions extends CallOptions {
  /**
   * The `Idempotency-Key`: all sends of an idempotent command with one key get the same result, so that a program may
   * repeat a send to which no answer came. Without effect where the contract makes its ids. Default: a random key for
   * each call, because a browser may repeat a request by itself.
   */
  id?: string | undefined;
}

/**
 * The error of a call, from the handler, Catga, the edge, or the network between.
 *
 * @example
 * ```ts
 * import { query } from "@catga/catga";
 * import { client, ClientError } from "@catga/catga/client";
 * import { edge } from "@catga/catga/http";
 *
 * const api = edge({ orders: query<void, number>("CountOrders") });
 * const shop = client<typeof api>("http://localhost", { fetch: () => Promise.reject(new Error("offline")) });
 * const { error } = await shop.orders.query();
 * if (error instanceof ClientError) console.log(error.code, error.status, error.retryable); // UNAVAILABLE 0 true
 * ```
 */
export class ClientError<Code extends string = string> extends Error {
  /** Distinguishes this error from other errors. */
  override readonly name = "ClientError";
  /**
   * Code of the error: the code that the handler, Catga or the edge gave, or a code of this client. No answer, or a
   * status from 500 on without a code, as a proxy sends it, is `UNAVAILABLE` for what only reads, and `OUTCOME_UNKNOWN`
   * for anything else: it may have been carried out.
   */
  readonly code: Code;
  /** HTTP status of the response; 0: there was no response. */
  readonly status: number;
  /** Details of the failure that the handler returned. */
  readonly details: unknown;
  /** True if another try may help. */
  readonly retryable: boolean;
  /** Time after which the call may be repeated, in ms; `undefined`: the server gave none. */
  readonly retryAfter: number | undefined;

  /** Makes an error. Only the client calls this. */
  constructor(
    code: Code,
    message: string,
    { status = 0, details, retryable = false, retryAfter, cause }: Partial<
      Pick<ClientError, "status" | "details" | "retryable" | "retryAfter" | "cause">
    > = {},
  ) {
    super(message, { cause });
    this.code = code;
    this.status = status;
    this.details = details;
    this.retryable = retryable;
    this.retryAfter = retryAfter;
  }
}

/** Result of a call: a value or an error, which may be destructured before `ok` is checked. */
export type ClientResult<T, F extends string> =
  | { readonly ok: true; readonly value: T; readonly error?: undefined }
  | { readonly ok: false; readonly value?: undefined; readonly error: ClientError<ClientCode<F>> };

/** Arguments of a call: input and options; an input that may be `undefined` may be left out. */
export type CallArgs<In, Options> = undefined extends In ? [input?: In, options?: Options]
  : [input: In, options?: Options];

/** A command of an edge, as its client calls it. */
export interface ClientCommand<In, Out, F extends string> {
  /** Sends the command, and resolves with its result. */
  send(...args: CallArgs<In, ClientSendOptions>): Promise<ClientResult<Out, F>>;
}

/** A query of an edge, as its client calls it. */
export interface ClientQuery<In, Out, F extends string> {
  /**
   * Sends the query as GET, so that the browser's cache applies, and resolves with its result. A query whose URL would
   * have more than 4,000 characters is sent as POST, because servers and proxies refuse long URLs.
   */
  query(...args: CallArgs<In, CallOptions>): Promise<ClientResult<Out, F>>;
}

/** A stream of an edge, as its client reads it. */
export interface ClientStream<In, Item> {
  /**
   * Reads the items of the stream, in order. After a lost connection, a stream with `resume` is opened again, and
   * continues after the last item; a stream without `resume`, or whose gateway has a version that does not read that
   * item, ends with `STREAM_BROKEN`. A failure is thrown as a {@link ClientError}.
   */
  stream(...args: CallArgs<In, CallOptions>): AsyncIterableIterator<Item>;
}

/** Options for following a durable event: from where, and which events. */
export interface TailOptions extends CallOptions {
  /**
   * The first event. `"now"`: new events only; `"start"`: all stored events; a number: events after this position; a
   * date: events stored since that time. Default: `"now"`.
   */
  from?: "now" | "start" | number | Date | undefined;
  /** Only events with this key. Default: all events. */
  key?: string | undefined;
}

/** A durable event, as a client that follows it gets it. */
export type TailEvent<T> = Omit<FollowedEvent<T>, "headers">;

/** A durable event of an edge, as its client follows it. */
export interface ClientEvent<T> {
  /** Follows the event: returns its events in the order of their positions, each once, also across lost connections. */
  follow(options?: TailOptions): AsyncIterableIterator<TailEvent<T>>;
}

/** A run of a workflow, as a client sees it. */
export interface ClientRun<Out, F extends string, Told, Cancels, View = unknown, Asked = Record<never, never>> {
  /** Id of the run. */
  readonly id: string;
  /** Waits until the run has ended, and resolves with its result. */
  result(options?: CallOptions): Promise<ClientResult<Out, F>>;
  /** Resolves with the state of the open run; with `undefined` if the run has ended. */
  open(options?: CallOptions): Promise<ClientResult<OpenRun<View> | undefined, F>>;
  /**
   * Returns what the run shows now, each change of it, and, as the last item, its end, also across lost connections. A
   * view that comes late, after a newer one, is left out. A failure of the edge is thrown as a {@link ClientError}.
   */
  watch(options?: CallOptions): AsyncIterableIterator<ClientChange<View, Out, F>>;
  /** Sends a signal to the run; the edge has to list the signal. */
  tell<N extends keyof Told & string>(
    signal: N,
    ...args: CallArgs<Told[N], ClientSendOptions>
  ): Promise<ClientResult<void, never>>;
  /**
   * Asks the run a question, and resolves with its answer, or with a failure that the run has chosen; the edge has to
   * list the question. Waits as long as the run takes, also across lost connections: it asks again under the same id.
   */
  ask<N extends keyof Asked & string>(
    question: N,
    ...args: AskArgs<Asked[N]>
  ): Promise<AnswerOf<Asked[N]>>;
  /** Cancels the run; only if the edge allows that. */
  readonly cancel: Cancels extends true ? (reason?: string, options?: CallOptions) => Promise<ClientResult<void, never>>
    : never;
}

/** A change of what a run shows, or its end, which is the last change; `number` grows from view to view. */
export type ClientChange<View, Out, F extends string> =
  & { readonly number: number }
  & (
    | { readonly view: View; readonly result?: undefined }
    | { readonly view?: View | undefined; readonly result: ClientResult<Out, F> }
  );

/** A workflow of an edge, as its client calls it. */
export interface ClientWorkflow<
  In,
  Out,
  F extends string,
  Told,
  Cancels,
  View = unknown,
  Asked = Record<never, never>,
> {
  /** Starts a run, and resolves with an object for the run, which waits for its result and sends it signals. */
  start(
    ...args: CallArgs<In, ClientSendOptions>
  ): Promise<ClientResult<ClientRun<Out, F, Told, Cancels, View, Asked>, never>>;
  /** Returns an object for the run with this id, without a request: the run need not exist. */
  run(id: string): ClientRun<Out, F, Told, Cancels, View, Asked>;
}

/** Types of the payloads of the signals that an entry lists, by their names. */
export type ToldBy<O> = O extends { readonly tell: infer S }
  ? { [N in keyof S]: S[N] extends Signal<infer T, unknown> ? T : never }
  : Record<never, never>;

/** The questions that an entry lists, by their names. */
export type AskedBy<O> = O extends { readonly ask: infer Questions } ? Questions : Record<never, never>;

/** Arguments of a question: its input, and options. */
export type AskArgs<Question> = Question extends Askable<infer In, unknown, string> ? CallArgs<In, ClientSendOptions>
  : never;

/** The answer to a question, as a client gets it. */
export type AnswerOf<Question> = Question extends Askable<never, infer Out, infer F> ? ClientResult<Out, F> : never;

/** An entry of an edge, as its client calls it. */
export type ClientEntry<E extends EdgeEntry> = ContractOf<E> extends
  WorkflowContract<infer In, infer Out, infer F, infer View> ? ClientWorkflow<
    In,
    Out,
    F,
    ToldBy<OptionsOf<E>>,
    OptionsOf<E> extends { readonly cancel: true } ? true : false,
    View,
    AskedBy<OptionsOf<E>>
  >
  : ContractOf<E> extends Contract<"command", infer In, infer Out, infer F> ? ClientCommand<In, Out, F>
  : ContractOf<E> extends Contract<"query", infer In, infer Out, infer F> ? ClientQuery<In, Out, F>
  : ContractOf<E> extends Contract<"stream", infer In, infer Out> ? ClientStream<In, Out>
  : ContractOf<E> extends DurableContract<"event", infer In> ? ClientEvent<In>
  : never;

/** The client of an edge: by name of the entry, the methods to call it. */
export type Client<T> = T extends ClientEdge<infer E> ? { readonly [N in keyof E]: ClientEntry<E[N]> } : never;

/**
 * Makes the client of an edge, whose handler is at `url`. `T` is the type of the edge: `client<typeof api>(…)`.
 * `url`: absolute, or in a page relative to it, such as `/api`; `""` is the root of the page's origin. Unlike in the
 * rest of Catga, options are checked by the compiler alone, so that the client stays small: an unknown one has no
 * effect. Failures of calls are returned as results; misuse throws a `TypeError`.
 *
 * @example
 * ```ts
 * import { catga, query } from "@catga/catga";
 * import { client } from "@catga/catga/client";
 * import { edge } from "@catga/catga/http";
 *
 * const CountOrders = query<void, number>("CountOrders");
 * const api = edge({ orders: CountOrders });
 * await using app = await catga({ handlers: CountOrders.handle(() => 3) });
 * const handler = api.handler(app, { authorize: () => undefined });
 *
 * // in a page without `fetch`, and with `import type { api }`; here there is no HTTP between the two
 * const shop = client<typeof api>("http://localhost", { fetch: (url, init) => handler(new Request(url, init)) });
 * console.log((await shop.orders.query()).value); // 3
 * ```
 */
export function client<T>(url: string, options: ClientOptions = {}): Client<T> {
  const entries = new Map<string, unknown>();
  const base = url.replace(/\/$/, "");
  return new Proxy({}, {
    get(_, name) {
      // `await` looks for `then`, but a client is not a promise
      if (typeof name !== "string" || name === "then") return undefined;
      if (!entries.has(name)) entries.set(name, entry(`${base}/${encodeURIComponent(name)}`, options));
      return entries.get(name);
    },
  }) as Client<T>;
}

const VALUES = "application/vnd.catga+json";
/**
 * The page; `undefined` outside of one. A page that is left or frozen gives its feeds up, and opens them again when it
 * is back: each holds one of its browser's connections, and the edge sends to nobody; in Chromium the body of a fetch
 * that was open while its page was frozen may never go on. A call that was open then is given up when the page goes on.
 */
const PAGE =
  (globalThis as unknown as { readonly document?: EventTarget & { readonly defaultView?: EventTarget } }).document;

interface HttpCall extends CallOptions {
  readonly input?: unknown;
  readonly headers?: Record<string, string>;
  /** True if the call changes nothing. Default: a call with GET does not. */
  readonly reads?: boolean;
  /** Time for which the edge waits before it answers, in s. An answer that takes twice as long is given up. */
  readonly wait?: number | undefined;
}

function entry(url: string, options: ClientOptions): object {
  const send = (input?: unknown, of: ClientSendOptions = {}) =>
    call(options, "POST", url, { input, ...of, headers: idHeader(of) });
  const run = (id: string) => runOf(`${url}/${encodeURIComponent(id)}`, id, options);
  return {
    send,
    query: (input?: unknown, of: CallOptions = {}) => {
      const get = withParams(url, { input: write(input) || undefined });
      return get.length > MAX_URL
        ? call(options, "POST", url, { input, ...of, reads: true })
        : call(options, "GET", get, of);
    },
    stream: (input?: unknown, of: CallOptions = {}) =>
      events(options, withParams(url, { input: write(input) || undefined }), of),
    follow: ({ from = "now", key, signal }: TailOptions = {}) => {
      const place = from instanceof Date ? from.toISOString() : `${from}`;
      return events(options, withParams(url, { from: place, key }), { signal });
    },
    start: async (input?: unknown, of?: ClientSendOptions) => {
      const started = await send(input, of);
      return started.ok ? { ok: true, value: run((started.value as { run: string }).run) } : started;
    },
    run,
  };
}

function runOf(url: string, id: string, options: ClientOptions): object {
  const get = (of: HttpCall) => call(options, "GET", url, of);
  return {
    id,
    result: ({ signal }: CallOptions = {}) =>
      untilAnswered(options, url, signal, () => get({ signal, wait: WAIT }), (answer) => answer.status === 202),
    async open(of: CallOptions = {}) {
      const answer = await get(of);
      if (answer.ok) return { ok: true, value: answer.status === 202 ? answer.value : undefined };
      return answer.ended ? { ok: true, value: undefined } : answer;
    },
    watch: (of: CallOptions = {}) => events(options, url, of, change),
    tell: (signal: string, input?: unknown, of: ClientSendOptions = {}) =>
      call(options, "POST", `${url}/${encodeURIComponent(signal)}`, { input, ...of, headers: idHeader(of) }),
    ask: (question: string, input?: unknown, of: ClientSendOptions = {}) => {
      const headers = idHeader(of); // the same in each request: the run is asked once
      const ask = { input, ...of, headers, wait: WAIT, reads: true };
      const post = () => call(options, "POST", `${url}/${encodeURIComponent(question)}`, ask);
      const isOpen = ({ ended, error }: AnsweredResult) => !ended && error?.code === "NOT_ENDED";
      return untilAnswered(options, url, of.signal, post, isOpen);
    },
    cancel: (reason?: string, of: CallOptions = {}) => call(options, "DELETE", withParams(url, { reason }), of),
  };
}

/** Repeats a request while `isWaiting` says that its answer is still to come, or while a failure may pass. */
async function untilAnswered(
  options: ClientOptions,
  url: string,
  signal: AbortSignal | undefined,
  request: () => Promise<AnsweredResult>,
  isWaiting: (answer: AnsweredResult) => boolean,
): Promise<AnsweredResult> {
  for (let failures = 0;;) {
    const begun = performance.now();
    const answer = await request();
    const isOpen = isWaiting(answer);
    if (!(isOpen || (!answer.ended && answer.error && isTransient(answer.error)))) return answer;
    if (signal?.aborted) return { ok: false, error: new ClientError("CANCELLED", `${url} has no answer`) };
    // an edge that has waited is asked again at once; one whose `maxWait` is short is not asked all the time
    if (isOpen && performance.now() - begun > 1_000) failures = 0;
    else await pause(options, failures++, answer.error?.retryAfter, signal);
  }
}

/** Maximum time that one request waits for the end of a run, or an answer, in s. */
const WAIT = 20;
/**
 * Maximum length of the URL of a query, in characters: nginx refuses a request line of 8,192, and `Bun.serve` a line
 * with headers of 16,384 together.
 */
const MAX_URL = 4_000;

/** `ended`: the failure is the end of the run that was asked for, or its answer. */
type AnsweredResult = ClientResult<unknown, string> & {
  readonly status?: number;
  readonly ended?: boolean | undefined;
};

async function call(
  options: ClientOptions,
  method: string,
  url: string,
  { input, headers, signal, wait, reads = method === "GET" }: HttpCall,
): Promise<AnsweredResult> {
  // the body is a Blob, never a text: Deno's fetch sends a text again when a kept connection breaks, even if the
  // request may have been handled
  const body = method === "POST" ? new Blob([write(input)]) : null;
  // an edge refuses a body without a type, and an empty Blob is sent by Deno as a body of unknown length
  const own = new Headers({
    accept: VALUES,
    ...headers,
    ...(body && { "content-type": VALUES }),
    ...(wait && { prefer: `wait=${wait}` }),
  });
  let code = "UNAVAILABLE";
  const over = new AbortController();
  const abort = abortWith(over, signal);
  // an answer that is long overdue was lost with its connection
  const timer = wait && setTimeout(abort, 2_000 * wait);
  try {
    const all = await headersOf(options, own);
    code = unanswered(reads); // the request may arrive from here on
    const response = await request(options, method, url, all, over.signal, !!wait, body);
    PAGE?.addEventListener("resume", abort, over);
    const text = await response.text();
    if (!response.ok) return failure(url, response, text, code);
    if (text && !/\bjson/.test(typeOf(response))) return { ok: false, error: foreign(url, response) };
    return { ...decoded(url, response, text), status: response.status };
  } catch (cause) {
    if (signal?.aborted) code = "CANCELLED";
    return {
      ok: false,
      error: new ClientError(code, `${method} ${url} has no answer: ${cause}`, { retryable: !signal?.aborted, cause }),
    };
  } finally {
    clearTimeout(timer);
    abort();
  }
}

/** Aborts `over` when `signal` aborts. Returns a function that aborts it; an abort removes the listeners, too. */
function abortWith(over: AbortController, signal: AbortSignal | undefined): () => void {
  const abort = () => over.abort(signal?.reason);
  if (signal?.aborted) abort();
  signal?.addEventListener("abort", abort, over);
  return abort;
}

/** Returns the headers of a request: those that the program gives, and `headers`. */
async function headersOf({ headers: own = {} }: ClientOptions, headers: Headers): Promise<Headers> {
  const all = new Headers(typeof own === "function" ? await own() : own);
  headers.forEach((value, name) => all.set(name, value));
  return all;
}

function request(
  { fetch: send = fetch, credentials = "same-origin" }: ClientOptions,
  method: string,
  url: string,
  headers: Headers,
  signal: AbortSignal,
  staysOpen: boolean,
  body: Blob | null = null,
): Promise<Response> {
  // Firefox holds back a GET that it might cache until another one of its URL, in any tab, has its whole answer
  return send(url, { method, headers, credentials, signal, body, cache: staysOpen ? "no-store" : "default" });
}

/** Returns a change of a run as programs get it, with the error of a run that has failed. */
function change(value: { readonly result?: ClientResult<unknown, string> }): unknown {
  const { result } = value;
  return !result || result.ok ? value : { ...value, result: { ok: false, error: problem(result.error, 0, "") } };
}

/**
 * Returns the server-sent events of a response, across lost connections. `shown`: makes the item of an event's value.
 */
function events(
  options: ClientOptions,
  url: string,
  { signal }: CallOptions,
  shown: (value: never) => unknown = (value) => value,
): AsyncGenerator<unknown, void, undefined> {
  const over = new AbortController();
  const items = eventsUntil(options, url, over, signal, shown);
  const end = items.return.bind(items);
  // a generator ends only when what it waits for has come, and the next event may never come
  items.return = (value) => (over.abort(), end(value));
  items.throw = async (error) => {
    await items.return();
    throw error;
  };
  return items;
}

async function* eventsUntil(
  options: ClientOptions,
  url: string,
  over: AbortController,
  given: AbortSignal | undefined,
  shown: (value: never) => unknown,
): AsyncGenerator<unknown, void, undefined> {
  let last = "";
  let failures = 0;
  let received = 0;
  let attempt: AbortController | undefined;
  let away: Promise<void> | undefined;
  let comeBack = () => {};
  const { signal } = over;
  const abort = abortWith(over, given);
  const decoder = new TextDecoder();
  const leave = () => {
    away ??= new Promise((resolve) => comeBack = resolve);
    attempt?.abort();
  };
  const back = () => (comeBack(), away = undefined);
  signal.addEventListener("abort", back);
  // `capture`, because a document is told that it is frozen, and a window that it is left
  const listen = (name: string, listener: () => void) =>
    PAGE?.defaultView?.addEventListener(name, listener, { signal, capture: true });
  listen("pagehide", leave);
  listen("freeze", leave);
  listen("pageshow", back);
  listen("resume", back);
  try {
    while (!signal.aborted) {
      let error: ClientError | undefined;
      attempt = new AbortController();
      const end = abortWith(attempt, signal);
      try {
        const headers = { accept: `text/event-stream, ${VALUES}`, ...(last && { "last-event-id": last }) };
        const all = await headersOf(options, new Headers(headers));
        const response = await request(options, "GET", url, all, attempt.signal, true);
        if (!response.ok) error = failure(url, response, await response.text(), unanswered(true)).error;
        else if (!typeOf(response).startsWith("text/event-stream")) throw foreign(url, response);
        else if (!response.body?.getReader) throw foreign(url, response, "fetch gives no stream");
        else {
          const begun = performance.now();
          for await (const { event, id, data } of sse(response.body, decoder)) {
            // events that have come together with the last one are not given after an abort
            if (signal.aborted || (event === "end" && !data)) return;
            if (id !== undefined) last = id;
            const { ok, value, error } = decoded(url, response, data);
            if (!ok) throw error;
            if (event === "failure") throw problem(value, 200, unanswered(true));
            // a connection that lived for a while did not fail, also if it had comments alone
            if (data || performance.now() - begun > 1_000) failures = 0;
            if (!data) continue;
            received++;
            yield shown(value as never);
            if (event === "end") return; // the end of a run comes with its result
          }
        }
      } catch (cause) {
        if (cause instanceof ClientError && !signal.aborted) throw cause;
        error = new ClientError("UNAVAILABLE", `the connection to ${url} is lost`, { retryable: true, cause });
      } finally {
        end();
      }
      if (signal.aborted) return;
      // what was read before is no item of this version of the stream
      if (error?.status === 400 && last) throw broken(url, received, error);
      if (error !== undefined && !isTransient(error)) throw error;
      // a stream whose events have no ids is not opened again: the server would send it from its start
      if (!last && received > 0) throw broken(url, received, error);
      if (!away) await pause(options, failures++, error?.retryAfter, signal);
      await away;
    }
  } finally {
    abort(); // ends the HTTP request when the program stops reading the events
  }
}

function broken(url: string, received: number, cause: unknown): ClientError {
  return new ClientError("STREAM_BROKEN", `${url} broke`, { details: { received }, cause });
}

/** A server-sent event: the text of each of its fields. */
interface Sse {
  readonly event?: string;
  readonly id?: string;
  readonly data: string;
}

async function* sse(body: ReadableStream<Uint8Array>, decoder: TextDecoder): AsyncGenerator<Sse> {
  const reader = body.getReader();
  const cancel = () => reader.cancel().catch(() => {}); // errors do not matter, because the reader is done
  decoder.decode(); // drops the rest of a character at which an earlier connection broke
  let rest = "";
  let keepAlive = 0;
  let timer: ReturnType<typeof setInterval> | undefined;
  let waits = false;
  let silent = 0;
  // a connection that died without a word is given up when nothing, not even a comment, comes for long. The limit is
  // counted in turns of a timer, because after a standstill of this process only one turn is due
  const watch = () => {
    if (!waits) timer = void clearInterval(timer);
    else if (++silent > SILENT) cancel();
  };
  try {
    for (;;) {
      silent = 0;
      waits = true;
      if (keepAlive > 0) timer ??= setInterval(watch, Math.max(keepAlive, 2_500));
      const { done, value } = await reader.read();
      waits = false;
      if (done) return;
      const blocks = (rest + decoder.decode(value, { stream: true })).split(/\r?\n\r?\n/);
      rest = blocks.pop()!;
      for (const block of blocks) {
        const fields: Sse & Record<string, string> = { data: "" };
        let isEvent = false;
        for (const line of block.split(/\r?\n/)) {
          const [, field, text] = /^(\w*): ?(.*)$/s.exec(line) ?? [];
          if (field === undefined) continue;
          // the first comment says at which interval comments come
          if (field === "" && +text) {
            keepAlive = +text;
            continue;
          }
          isEvent = true;
          fields[field] = text;
        }
        if (isEvent) yield fields;
      }
    }
  } finally {
    clearInterval(timer);
    cancel();
  }
}

/** Number of intervals of comments after which a silent connection is given up. */
const SILENT = 4;

/** Returns the code of a call that got no answer of the edge: a call that changes something may have done so. */
function unanswered(reads: boolean): string {
  return reads ? "UNAVAILABLE" : "OUTCOME_UNKNOWN";
}

function typeOf({ headers }: Response): string {
  return headers.get("content-type") ?? "";
}

/**
 * Returns the error of a success that no edge has sent, such as the page with which a proxy asks for a login, or whose
 * value cannot be decoded here, for the reason `cause`.
 */
function foreign(url: string, response: Response, cause?: unknown): ClientError {
  const message = cause ? `the answer of ${url} cannot be read: ${cause}` : notByEdge(url, response);
  return new ClientError("INVALID_RESPONSE", message, { status: response.status, cause });
}

function decoded(url: string, response: Response, text: string): ClientResult<unknown, string> {
  try {
    return { ok: true, value: read(text) };
  } catch (cause) {
    return { ok: false, error: foreign(url, response, cause) };
  }
}

function notByEdge(url: string, response: Response): string {
  return `${url} was answered with ${response.status} ${typeOf(response)}, not by an edge`;
}

/** Returns the failure that a response is. `other`: the code of a response from 500 on that has none. */
function failure(
  url: string,
  response: Response,
  text: string,
  other: string,
): AnsweredResult & { readonly error: ClientError } {
  let value: { readonly code?: unknown; readonly ended?: boolean } | undefined;
  try {
    value = read(text) as typeof value;
  } catch { /* the response comes from a proxy, not from the edge */ }
  const { status, headers } = response;
  const shown = value?.code ? value : { detail: notByEdge(url, response) };
  return { ok: false, error: problem(shown, status, other, headers.get("retry-after")), ended: value?.ended };
}

function problem(value: unknown, status: number, other: string, after: string | null = null): ClientError {
  const { code = status >= 500 ? other : "INVALID_RESPONSE", detail, title, details, retryable, status: own } =
    value as Record<string, unknown>;
  const seconds = Number(after ?? -1);
  const retryAfter = seconds >= 0 ? seconds * 1_000 : undefined;
  return new ClientError(`${code}`, `${detail ?? title ?? code}`, {
    status: typeof own === "number" ? own : status,
    details,
    retryable: retryable === true || retryAfter !== undefined,
    retryAfter,
  });
}

function isTransient({ status }: ClientError): boolean {
  return status === 0 || status === 429 || status >= 502;
}

function pause(
  { pause: [first, longest] = [250, 10_000] }: ClientOptions,
  failures: number,
  wanted: number | undefined,
  signal: AbortSignal | undefined,
): Promise<void> {
  const ms = Math.max(
    Math.min(wanted ?? 0, 2 ** 31 - 1),
    Math.min(longest, first * 2 ** failures) * (0.5 + Math.random() / 2),
  );
  return new Promise((resolve) => {
    const end = () => (clearTimeout(timer), signal?.removeEventListener("abort", end), resolve());
    const timer = setTimeout(end, ms);
    signal?.addEventListener("abort", end);
  });
}

function idHeader({ id = randomId() }: ClientSendOptions): Record<string, string> {
  return { "idempotency-key": id };
}

/** Makes a random id. Not by `crypto.randomUUID`, which exists only on pages of HTTPS and of localhost. */
function randomId(): string {
  return crypto.getRandomValues(new Uint32Array(4)).join("-");
}

function withParams(url: string, params: Record<string, string | undefined>): string {
  const given = Object.entries(params).flatMap(([name, value]) => value === undefined ? [] : [[name, value]]);
  return given.length ? `${url}?${new URLSearchParams(given)}` : url;
}
