/**
 * The reader's end of a stream: an iterator over the stream's items. It sends the stream's request when an item is
 * first requested, and sends another request after the stream broke, if the contract has `resume`.
 * @decides a reader that gets no item for too long ends with `TIMEOUT`
 */
import type { Result } from "../contract/calls/result.ts";
import { type Schema, validate } from "../contract/schemas/schema.ts";
import { IDLE } from "../contract/declaration/defaults.ts";
import { windowOf } from "../contract/declaration/definition.ts";
import { disown } from "../data/checks.ts";
import type { ItemOutlet, ItemSink, ItemSource, StreamEngine, StreamOpening } from "../dispatch/item_ports.ts";
import { CatgaError } from "../error.ts";
import { delay, doubled, onAbort, type Timer } from "../ports/clock.ts";
import { feed } from "./feeding.ts";
import { ItemReceiver, SingleWait } from "./flow_control.ts";

/** The part of Catga that reads streams and sends their items. */
export const streams: StreamEngine = Object.freeze({
  feed,
  read: (opening: StreamOpening) => new StreamReading(opening),
});

/**
 * One iteration over a stream.
 * @decides a stream that broke is opened again
 */
export class StreamReading implements AsyncIterableIterator<unknown> {
  readonly #opening: StreamOpening;
  /** The attempt from which items are read now. */
  #attempt: ReadAttempt | undefined;
  #input: unknown;
  /** Number of items that were returned to the program, over all attempts. */
  #count = 0;
  /** The last item that was returned. */
  #last: unknown;
  #over = false;
  /** The call of `next` or `return` in progress; later calls wait for it. */
  #turn: Promise<unknown> | undefined;
  /** True if a received item can be returned as it is, because there is no schema to parse it, and no signal. */
  #plain: boolean;
  readonly #idle: number;
  #timer: Timer | undefined;
  /** Time since which the reader waits for an item, by the monotonic clock; -1: the reader does not wait. */
  #waitingSince = -1;
  readonly #stop = new AbortController();
  readonly #offAbort: () => void;

  constructor(opening: StreamOpening) {
    const { contract: { options }, input, options: { idle, signal } } = opening;
    this.#opening = opening;
    this.#input = input;
    this.#plain = options.items === undefined;
    this.#idle = idle ?? options.idle ?? IDLE;
    this.#offAbort = onAbort(signal, () => {
      this.#plain = false;
      this.#stop.abort();
      this.#attempt?.wake();
    });
  }

  /**
   * Throws a `TypeError` if the iteration has ended, because a second iteration would look like a stream without items.
   */
  [Symbol.asyncIterator](): this {
    if (!this.#over) return this;
    throw new TypeError(`stream ${this.#opening.contract.name} has been read; call stream(…) again to read it anew`);
  }

  /** Returns the next item. Not async, because most items were received already. */
  next(): Promise<IteratorResult<unknown>> {
    const attempt = this.#attempt;
    if (this.#plain && this.#turn === undefined && attempt !== undefined && attempt.size > 0 && !this.#over) {
      this.#count++;
      return Promise.resolve({ done: false, value: this.#last = attempt.next() });
    }
    return this.#inTurn(() => this.#next());
  }

  return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#close();
    return Promise.resolve({ done: true, value });
  }

  #inTurn(work: () => Promise<IteratorResult<unknown>>): Promise<IteratorResult<unknown>> {
    const turn = this.#turn === undefined ? work() : this.#turn.then(work, work);
    this.#turn = turn;
    const over = () => {
      if (this.#turn === turn) this.#turn = undefined;
    };
    turn.then(over, over);
    return turn;
  }

  async #next(): Promise<IteratorResult<unknown>> {
    try {
      while (!this.#over) {
        const { contract } = this.#opening;
        this.#checkEnd();
        const attempt = this.#attempt ??= this.#open();
        if (attempt.size > 0) {
          const item = attempt.next();
          const { items } = contract.options;
          const parsed = items === undefined
            ? { ok: true, value: item } as const
            : await this.#parsed(items, item, attempt);
          if (parsed === undefined) continue;
          if (!parsed.ok) throw parsed.error;
          const { value } = parsed;
          this.#count++;
          this.#last = value;
          return { done: false, value };
        }
        if (attempt.result === undefined) {
          await this.#waited(attempt.news());
          continue;
        }
        const error = attempt.failure();
        if (error === undefined) this.#close();
        else await this.#failed(attempt, error);
      }
      return { done: true, value: undefined };
    } catch (error) {
      this.#close();
      throw error;
    }
  }

  #open(): ReadAttempt {
    const { contract, clock, open, options: { timeout = contract.options.timeout } } = this.#opening;
    const attempt = new ReadAttempt(windowOf(contract).items, (then) => clock.soon(then));
    const now = clock.monotonic();
    if (timeout !== undefined) this.#due = Math.min(this.#due, now + timeout);
    const left = timeout && Math.max(1, this.#due - now);
    open(this.#input, attempt, this.#stop.signal, left).then(
      (result) => attempt.ended(result),
      (error) => attempt.threw(error),
    );
    return attempt;
  }

  /** Error with which the reader ends if no item has come for the idle time; `undefined` until then. */
  #late: CatgaError | undefined;

  /** Sets a timer that serves many waits: when it fires, it checks how long the present wait has lasted. */
  #watch(ms: number): void {
    if (this.#timer !== undefined) return;
    const { clock, contract } = this.#opening;
    const due = clock.monotonic() + ms;
    this.#timer = clock.after(ms, () => {
      this.#timer = undefined;
      if (this.#over) return;
      const now = clock.monotonic();
      // the wait begins anew after a standstill of the process: in Deno, timers run before messages that were received
      // during the standstill are read
      if (now - due > STANDSTILL && this.#waitingSince >= 0) this.#waitingSince = now;
      const waited = this.#waitingSince < 0 ? 0 : now - this.#waitingSince;
      if (waited < this.#idle) return this.#watch(this.#idle - waited);
      this.#late = new CatgaError("TIMEOUT", `stream ${contract.name}: no item came for ${this.#idle} ms`);
      this.#attempt?.wake();
    }, { background: true });
  }

  /**
   * Parses an item by the schema. Resolves with `undefined` if the iteration ends before the schema settles: a schema
   * that never settles is ended by the idle time, or by the reader's signal.
   */
  async #parsed(
    schema: Schema<never, unknown>,
    item: unknown,
    attempt: ReadAttempt,
  ): Promise<Result<unknown> | undefined> {
    const validated = validate(schema, item, "INVALID_RESPONSE", this.#opening.contract.name);
    if (!(validated instanceof Promise)) return validated;
    while (!this.#over) {
      this.#checkEnd();
      const parsed = await this.#waited(Promise.race([validated, attempt.news()]));
      if (parsed !== undefined) return parsed;
    }
    return undefined;
  }

  /** Waits for a promise, but no longer than the idle time (the longest time that a reader waits for an item). */
  async #waited<T>(what: Promise<T>): Promise<T> {
    this.#waitingSince = this.#opening.clock.monotonic();
    this.#watch(this.#idle);
    try {
      return await what;
    } finally {
      this.#waitingSince = -1;
    }
  }

  /** Throws if no item has come for the idle time since the reader began to wait, or if its signal has aborted. */
  #checkEnd(): void {
    const { contract, options: { signal } } = this.#opening;
    if (this.#late !== undefined) throw this.#late;
    if (signal?.aborted) throw new CatgaError("CANCELLED", `the reader of stream ${contract.name} gave up`);
  }

  /** Prepares to resume a broken stream, if its contract has `resume`; otherwise throws the error of the stream. */
  async #failed(attempt: ReadAttempt, error: CatgaError): Promise<void> {
    const { contract, clock, input } = this.#opening;
    const { resume } = contract.options;
    const broken = error.code === "STREAM_BROKEN" || error.code === "DRAINING" ||
      (this.#retries > 0 && AWAY.has(error.code));
    if (resume === undefined || !broken) throw withCount(error, this.#count);
    const now = clock.monotonic();
    if (now >= this.#due) {
      throw new CatgaError("TIMEOUT", `stream ${contract.name} was not resumed before its deadline`, { cause: error });
    }
    if (attempt.received > 0) this.#retries = 0;
    if (this.#retries === 0) this.#brokenSince = now;
    if (now - this.#brokenSince > this.#idle) throw withCount(error, this.#count);
    if (this.#retries > 0) {
      const pause = Math.min(doubled(this.#retries, FIRST_PAUSE, LONGEST_PAUSE), this.#due - now);
      await delay(clock, pause, this.#stop.signal).catch(() => {});
    }
    this.#retries++;
    // the contract's types say that `resume` takes the stream's input and its items
    if (this.#count > 0) this.#input = (resume as (input: unknown, last: unknown) => unknown)(input, this.#last);
    disown(this.#input); // a promise is refused later, as a payload that cannot be sent
    this.#attempt = undefined;
  }

  #retries = 0;
  #brokenSince = 0;
  /**
   * Time at which the option `timeout` ends the stream, by the monotonic clock; the stream is not resumed after this
   * time. `Infinity`: no option.
   */
  #due = Infinity;

  #close(): void {
    if (this.#over) return;
    this.#over = true;
    this.#timer?.cancel();
    this.#offAbort();
    if (this.#attempt?.result === undefined || this.#retries > 0) this.#stop.abort(); // the attempt may be pausing
    this.#attempt?.wake();
  }
}

/** Codes of errors that say that no node is available now. The stream is then opened again after a pause. */
const AWAY: ReadonlySet<string> = new Set(["UNAVAILABLE", "NO_HANDLER", "OVERLOADED"]);
const FIRST_PAUSE = 100; // ms before a broken stream is opened again for the first time
const STANDSTILL = 1_000; // ms that the timer may be late before the process is said to have stood still
const LONGEST_PAUSE = 1_000; // ms, the longest pause before a broken stream is opened again

/** Returns the error that the reader of a broken stream gets, with the number of items received before. */
function withCount(error: CatgaError, received: number): CatgaError {
  if (error.code !== "STREAM_BROKEN" && error.code !== "DRAINING") return error;
  const { code, message, retryable, node, cause } = error;
  return new CatgaError(code, message, { retryable, node, cause, details: { received } });
}

/** One attempt to read a stream, at one node. */
class ReadAttempt extends ItemReceiver implements ItemSink {
  /** Result with which the attempt ended; `undefined`: it has not ended. */
  result: Result<unknown> | undefined;
  readonly here: LocalOutlet;
  readonly #news = new SingleWait();
  #source: ItemSource | undefined;
  #threw: { readonly error: unknown } | undefined;

  constructor(window: number, soon: (then: () => void) => void) {
    super(window);
    this.here = new LocalOutlet(this, window, soon);
  }

  /** Returns the oldest received item. There must be such an item. */
  next(): unknown {
    const item = this.take(this.#source);
    if (this.#source === undefined) this.here.took();
    return item;
  }

  override items(source: ItemSource, n: number, list: readonly unknown[], first: number): void {
    this.#source = source;
    super.items(source, n, list, first);
    this.wake();
  }

  override push(item: unknown): void {
    super.push(item);
    this.wake();
  }

  ended(result: Result<unknown>): void {
    this.result = result;
    this.wake();
  }

  /**
   * Ends the attempt with the error that a strategy or key function of the program threw while the stream was opened.
   */
  threw(error: unknown): void {
    this.#threw = { error };
    this.ended({ ok: false, error: new CatgaError("CANCELLED", "it was not opened") });
  }

  /**
   * Returns the error of an attempt that broke; `undefined`: all items of the stream were received. Throws the error
   * that a strategy or key function of the program threw.
   */
  failure(): CatgaError | undefined {
    if (this.#threw !== undefined) throw this.#threw.error;
    if (this.result?.ok === false) return this.result.error;
    return this.complete(Number(this.result?.value))
      ? undefined
      : new CatgaError("STREAM_BROKEN", "the stream broke: items are missing", { retryable: true });
  }

  /** Resolves when an item, or the result, has been received. */
  news(): Promise<void> {
    return this.#news.wait();
  }

  wake(): void {
    this.#news.wake();
  }
}

/**
 * Passes the items of a handler in this process to its reader, unchanged. After a window of items, the handler
 * continues in a later turn of the event loop: otherwise a handler and a reader that never wait would block the event
 * loop.
 */
class LocalOutlet implements ItemOutlet {
  readonly #receiver: ItemReceiver;
  readonly #window: number;
  readonly #soon: (then: () => void) => void;
  readonly #waiting = new SingleWait();
  /** Number of items that may still be passed on in this turn of the event loop. */
  #left: number;
  #closed = false;

  constructor(receiver: ItemReceiver, window: number, soon: (then: () => void) => void) {
    this.#receiver = receiver;
    this.#window = this.#left = window;
    this.#soon = soon;
  }

  get room(): boolean {
    return this.#left > 0 && this.#receiver.size < this.#window;
  }

  ready(): Promise<void> {
    const ready = this.#waiting.wait();
    if (this.#closed) this.#waiting.wake();
    else this.took();
    return ready;
  }

  send(item: unknown): void {
    this.#left--;
    this.#receiver.push(item);
  }

  end(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {
    this.#closed = true;
    this.#waiting.wake();
  }

  /**
   * Called when the reader has taken an item. Lets the handler continue, in a later turn of the event loop, if it waits
   * and the reader has at most half a window of items still to take.
   */
  took(): void {
    if (!this.#waiting.some || this.#left < 0 || 2 * this.#receiver.size > this.#window) return;
    this.#left = -1; // further calls do nothing until the sender continues
    this.#soon(() => {
      this.#left = this.#window;
      this.#waiting.wake();
    });
  }
}
