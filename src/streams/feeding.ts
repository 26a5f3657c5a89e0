/**
 * The handler's end of a stream: calls its generator for an item while the reader has room for it, and ends the
 * generator when nobody reads any more.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { onAbort } from "../ports/clock.ts";
import { type HandlerFn, windowOf } from "../contract/declaration/definition.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { isFailure } from "../contract/calls/result.ts";
import { validate } from "../contract/schemas/schema.ts";
import { show } from "../data/checks.ts";
import { Machine, type StateTable } from "../data/state_table.ts";
import { exceeds } from "../data/utf8.ts";
import { toText } from "../data/encoding.ts";
import type {
  FeedingContext,
  ItemLine,
  ItemOutlet,
  ItemTarget,
  ItemWriter,
  LineSender,
} from "../dispatch/item_ports.ts";
import { CatgaError } from "../error.ts";
import { ItemSender, SingleWait } from "./flow_control.ts";

/** The states of a handler that feeds a stream. */
export const FEEDING_STATES = {
  /** Its generator gives items. */
  open: ["returned", "failed", "stopped"],
  /** The generator has returned, or given a failure; its last items are on their way. */
  returned: ["stopped"],
  /** The generator has thrown, or an item could not be sent. */
  failed: ["stopped"],
  /** Nobody reads any more, or the node stops: the generator is ended, and what it throws does not count. */
  stopped: [],
} as const satisfies StateTable<"open" | "returned" | "failed" | "stopped">;

/**
 * Runs a stream's handler and sends its items. Resolves with the number of items, or with the handler's failure;
 * rejects with the error that the handler throws. The generator has ended when the promise settles. A repeated call for
 * the same message, as by `retry()`, waits for the earlier run: if the earlier run has sent an item, the handler does
 * not run again, and the call settles like that run.
 */
export async function feed(
  contract: AnyContract,
  fn: HandlerFn,
  payload: unknown,
  ctx: FeedingContext,
): Promise<unknown> {
  const target = ctx.envelope.items;
  if (target === undefined) {
    const why = "its sender reads no items; use app.stream";
    throw new CatgaError("INVALID_MESSAGE", `stream ${contract.name} did not run: ${why}`);
  }
  const before = target.run;
  const run = async () => {
    await before?.catch(() => {}); // if the earlier run had sent an item, its failure is thrown below
    return target.begun ? await before : await feedTo(target, contract, fn, payload, ctx);
  };
  return await (target.run = run());
}

async function feedTo(target: ItemTarget, ...[contract, fn, payload, ctx]: Parameters<typeof feed>): Promise<unknown> {
  const outlet = "here" in target ? target.here : new WireOutlet(contract, target.line, (error) => ctx.abort(error));
  const { signal } = ctx;
  // the payload has the type of the contract, which its schema or its type arguments guarantee
  const given: unknown = await fn(payload as never, ctx as never);
  if (isFailure(given)) return given;
  const iterator = iteratorOf(contract, given);
  let returned: Promise<unknown> | undefined;
  const feeding: Machine<keyof typeof FEEDING_STATES> = new Machine(FEEDING_STATES, "open");
  // the function is async, because an error that is thrown while a signal aborts would end the process
  const end = async () => await iterator.return?.();
  const stop = () => {
    const isOpen = feeding.is("open");
    feeding.to("stopped");
    outlet.close();
    if (!isOpen) return;
    returned = end();
    returned.catch(() => {}); // no unhandled rejection: `returned` is awaited later
  };
  // `stop` is bound, because the generator has to end in its reader's async context, not in the context of the abort
  const off = onAbort(signal, AsyncLocalStorage.bind(stop));
  // while the node drains, the stream ends here, and its reader resumes it on another node
  const offDraining = contract.options.resume === undefined
    ? undefined
    : onAbort(ctx.draining, () => ctx.abort(new CatgaError("CLOSED", `node ${ctx.node} is stopping`)));
  let count = 0;
  let failure: unknown;
  try {
    try {
      const { items } = contract.options;
      while (!feeding.is("stopped")) {
        if (!outlet.room) {
          await outlet.ready();
          continue;
        }
        const next = iterator.next();
        const step = "then" in next ? await next : next;
        if (step.done) {
          if (feeding.is("open")) feeding.to("returned");
          failure = step.value;
          break;
        }
        if (items !== undefined) {
          const valid = await validate(items, step.value, "INVALID_RESPONSE", contract.name);
          const checked = ctx.checkedBy("items", valid);
          if (!checked.ok) throw checked.error;
        }
        if (feeding.is("stopped")) break;
        outlet.send(step.value);
        target.begun = true;
        count++;
      }
    } catch (error) {
      // an item could not be sent, so the generator is ended; if the generator itself threw, it has ended already
      if (feeding.is("open")) {
        returned = end().catch(() => {}); // the first error is thrown, not this one
        feeding.to("failed");
      }
      failure = error;
    }
    await returned;
    if (!feeding.is("stopped") && count > 0) await outlet.end();
    if (feeding.is("stopped")) throw endOf(contract, signal.reason, ctx.node);
    if (feeding.is("failed")) throw failure;
    return isFailure(failure) ? failure : count;
  } finally {
    off();
    offDraining?.();
  }
}

/** Returns the error with which an aborted stream ends. */
function endOf({ name }: AnyContract, reason: CatgaError, node: string): CatgaError {
  if (reason.code !== "CLOSED") return reason;
  return new CatgaError("DRAINING", `stream ${name} broke: node ${node} is stopping`, { retryable: true, node });
}

/** A synchronous or asynchronous iterator. */
interface AnyIterator {
  next(): unknown;
  return?(): unknown;
}

interface FeedStep {
  readonly done?: boolean;
  readonly value: unknown;
}

function iteratorOf(
  { name }: AnyContract,
  given: unknown,
): { next(): FeedStep | PromiseLike<FeedStep>; return?(): unknown } {
  const iterable = given as { [Symbol.asyncIterator]?(): AnyIterator; [Symbol.iterator]?(): AnyIterator } | null;
  const iterator = typeof given === "string"
    ? undefined
    : iterable?.[Symbol.asyncIterator]?.() ?? iterable?.[Symbol.iterator]?.();
  if (iterator === undefined) {
    throw new TypeError(
      `the handler of stream ${name} must be an async function*, or return an iterable or fail(…); got ${show(given)}`,
    );
  }
  return iterator as { next(): FeedStep | PromiseLike<FeedStep>; return?(): unknown };
}

/** Sends a handler's items to a reader in another process. */
class WireOutlet implements ItemOutlet, LineSender {
  readonly #contract: AnyContract;
  readonly #line: ItemLine;
  readonly #sender: ItemSender;
  readonly #abort: (error: CatgaError) => void;
  /** The smallest limit for an item so far, in bytes: all items that may be sent again fit into it. */
  #limit: number;
  readonly #waiting = new SingleWait();
  #closed = false;
  /**
   * Number of items that may still be sent in the present burst (a group of items without a pause). 1 at first, because
   * the stream's first item is sent without waiting for a burst.
   */
  #left = 1;
  #queued = false;

  /** `abort`: ends the stream with an error. */
  constructor(contract: AnyContract, line: ItemLine, abort: (error: CatgaError) => void) {
    this.#contract = contract;
    this.#line = line;
    this.#abort = abort;
    this.#limit = line.limit;
    this.#sender = new ItemSender(windowOf(contract), line);
    line.sender = this;
  }

  onProgress(consumed: number, received: number, again: boolean): void {
    this.#sender.onProgress(consumed, received, again);
    if (this.#sender.delivered) this.#waiting.wake();
    else if (this.#waiting.some && this.#sender.room) this.#burst();
  }

  write(out: ItemWriter): void {
    const { limit } = this.#line;
    if (limit < this.#limit) {
      // the server's limit was lowered: an item that no longer fits would be asked for, and fail, again and again
      this.#limit = limit;
      if (this.#sender.exceeds(limit)) return this.#abort(itemTooLarge(this.#contract, limit));
    }
    this.#sender.write(out);
  }

  get room(): boolean {
    return this.#left > 0 && this.#sender.room;
  }

  ready(): Promise<void> {
    const ready = this.#waiting.wait();
    if (this.#closed) this.#waiting.wake();
    else if (this.#sender.room) this.#burst();
    return ready;
  }

  send(item: unknown): void {
    const { limit } = this.#line;
    this.#left--;
    if (typeof item === "string" && this.#sender.strings && item.length < limit / LONGEST_ESCAPE) {
      return this.#sender.send(item);
    }
    const text = item === undefined ? UNDEFINED_TEXT : toText(item, "INVALID_RESPONSE", "an item", this.#contract.name);
    if (exceeds(text, limit)) throw itemTooLarge(this.#contract, limit);
    this.#sender.text(text);
  }

  async end(): Promise<void> {
    this.#sender.end();
    while (!this.#closed && !this.#sender.delivered) await this.#waiting.wait();
  }

  close(): void {
    this.#closed = true;
    this.#waiting.wake();
  }

  /**
   * Lets the handler continue: at once if the present burst (a group of items without a pause) is not used up,
   * otherwise when this process may begin another burst ({@link ItemLine.bursts}).
   */
  #burst(): void {
    if (this.#left > 0) return this.#waiting.wake();
    if (this.#queued) return;
    const { bursts } = this.#line;
    const begin = () => {
      this.#queued = false;
      this.#left = BURST;
      this.#waiting.wake();
    };
    if (bursts.take()) return begin();
    this.#queued = true;
    bursts.wait(begin);
  }
}

function itemTooLarge({ name }: AnyContract, limit: number): CatgaError {
  return new CatgaError("TOO_LARGE", `an item of ${name} is larger than the server takes, ${limit} bytes`);
}

/**
 * Number of items in a burst: half of the default window, so that the reader has items to work on while others are on
 * their way.
 */
const BURST = 128;
/** Maximum number of bytes that a UTF-16 code unit takes in JSON: the length of an escaped control character. */
const LONGEST_ESCAPE = 6;
/** JSON of `undefined`, as a tagged value. */
const UNDEFINED_TEXT = '~"~undefined"';
