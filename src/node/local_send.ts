/**
 * The fastest way of a send to an asynchronous handler in this process. Everything that a send needs beside its context
 * and its promise, including three functions, is made once and used again for later sends
 * (docs/internals/measurements.md).
 */
import type { ContractCounts, Timing } from "../dispatch/contract_counts.ts";
import type { HandlerCall } from "../dispatch/handler_call.ts";
import type { MessageContext } from "../dispatch/message_context.ts";
import { type Outcome, Refusal } from "../dispatch/outcome.ts";
import { PendingMessage } from "../dispatch/pending_message.ts";
import type { Result } from "../contract/result.ts";
import type { MaybePromise } from "../contract/schema.ts";

/** The sends of one node to asynchronous handlers by the fastest way. */
export class LocalSends {
  #free: LocalSend | undefined = undefined;
  #left = MAX_FREE_SENDS;

  /**
   * Resolves with the result of the handler's promise, or with a failure when the deadline of the message has passed.
   */
  settled(
    handler: Promise<unknown>,
    ctx: MessageContext,
    call: HandlerCall,
    timing: Timing | undefined,
  ): Promise<Result<unknown>> {
    const send = this.#take(timing);
    send.call = call;
    call.counts.localBegun++;
    const result = new Promise<Result<unknown>>(send.begun);
    ctx.begin(send.settle!, send);
    then.call(handler, send.fulfilled, send.rejected);
    return result;
  }

  /**
   * Like `settled`, resolves with the result or, after the deadline, a failure; for a handler with behaviors or limits
   * around it. `again` repeats a send that was refused.
   */
  ended(
    outcome: Promise<Outcome>,
    ctx: MessageContext,
    timing: Timing | undefined,
    payload: unknown,
    again: RefusedSends,
  ): Promise<Result<unknown>> {
    const send = this.#take(timing);
    send.payload = payload;
    send.path = again;
    again.counts.localBegun++;
    const result = new Promise<Result<unknown>>(send.begun);
    ctx.begin(send.settle!, send);
    then.call(outcome, send.handled);
    return result;
  }

  #take(timing: Timing | undefined): LocalSend {
    let send = this.#free;
    if (send === undefined) send = new LocalSend(this);
    else {
      this.#free = send.next;
      this.#left++;
    }
    send.timing = timing;
    return send;
  }

  /** Keeps the object of a send that has ended, to be used again for another send. */
  free(send: LocalSend): void {
    if (this.#left === 0) return;
    this.#left--;
    send.next = this.#free;
    this.#free = send;
  }
}

/** The original `then` calls back exactly once; the `then` of another thenable might not. */
const { then } = Promise.prototype;

/** One send in progress, or an ended one that is free to be used again. */
class LocalSend extends PendingMessage<MessageContext> {
  /** The handler to call, if no behavior and no limit runs around it. */
  call: HandlerCall | undefined = undefined;
  /** The payload, if a behavior or a limit runs around the handler. */
  payload: unknown = undefined;
  /** Repeats the send if it is refused; only set if a behavior or a limit runs around the handler. */
  path: RefusedSends | undefined = undefined;
  timing: Timing | undefined = undefined;
  /** The next object in the list of free ones. */
  next: LocalSend | undefined = undefined;
  readonly #all: LocalSends;

  constructor(all: LocalSends) {
    super();
    this.#all = all;
  }

  readonly begun = (resolve: (result: Result<unknown>) => void): void => {
    // the cast is safe: a send that did not wait for admission (a place at its handler) is never refused
    this.settle = resolve as (outcome: Outcome) => void;
  };

  readonly fulfilled = (value: unknown): void => {
    const call = this.call!;
    this.#end(call.counts.localEnd(call.success(value, this.ctx!), this.timing));
  };

  readonly rejected = (error: unknown): void => {
    const call = this.call!;
    this.#end(call.counts.localEnd(call.failure(error, this.ctx!), this.timing));
  };

  readonly handled = (outcome: Outcome): void => {
    const { counts } = this.path!;
    if (!(outcome instanceof Refusal)) return this.#end(counts.localEnd(outcome, this.timing));
    counts.localBegun--;
    counts.end(outcome, this.timing);
    this.#end(this.path!.again(this.payload, outcome));
  };

  #end(result: MaybePromise<Result<unknown>>): void {
    this.ctx!.end(result as Outcome); // if `result` is a promise, the send ends as the promise does
    this.ctx = this.settle = this.payload = undefined;
    this.#all.free(this);
  }
}

/** Repeats sends of one contract that the handler in this process has refused. */
export interface RefusedSends {
  readonly counts: ContractCounts;
  /** Repeats a send that the handler in this process has refused. */
  again(payload: unknown, refusal: Refusal): MaybePromise<Result<unknown>>;
}

/** Maximum number of ended sends whose objects are kept for reuse: 80 kB. */
const MAX_FREE_SENDS = 256;
