/**
 * The shortest way of a send to an asynchronous handler: what a send needs beside its context and its promise, three
 * functions among it, is made once and used again (docs/internals/measurements.md).
 */
import type { Timing } from "../dispatch/contract_counts.ts";
import type { HandlerCall } from "../dispatch/handler_call.ts";
import type { MessageContext } from "../dispatch/message_context.ts";
import type { Outcome } from "../dispatch/outcome.ts";
import { PendingMessage } from "../dispatch/pending_message.ts";
import type { Result } from "../contract/result.ts";

/** The sends of one node by the shortest way. */
export class LocalSends {
  #free: LocalSend | undefined = undefined;
  #left = MOST_KEPT;

  /** The result of what a handler returned, its promise; a failure at the deadline of its message. */
  settled(
    handler: Promise<unknown>,
    ctx: MessageContext,
    call: HandlerCall,
    timing: Timing | undefined,
  ): Promise<Result<unknown>> {
    let send = this.#free;
    if (send === undefined) send = new LocalSend(this);
    else {
      this.#free = send.next;
      this.#left++;
    }
    send.call = call;
    send.timing = timing;
    call.counts.localBegun++;
    const result = new Promise<Result<unknown>>(send.begun);
    ctx.begin(send.settle!, send);
    then.call(handler, send.fulfilled, send.rejected);
    return result;
  }

  /** Keeps a send that has ended for another one. */
  free(send: LocalSend): void {
    if (this.#left === 0) return;
    this.#left--;
    send.next = this.#free;
    this.#free = send;
  }
}

/** Calls back once; a promise may have a `then` of its own, which need not. */
const { then } = Promise.prototype;

/** A send that is under way, or free. */
class LocalSend extends PendingMessage<MessageContext> {
  /** Its handler. */
  call: HandlerCall | undefined = undefined;
  timing: Timing | undefined = undefined;
  /** The next one that is free. */
  next: LocalSend | undefined = undefined;
  readonly #all: LocalSends;

  constructor(all: LocalSends) {
    super();
    this.#all = all;
  }

  readonly begun = (resolve: (result: Result<unknown>) => void): void => {
    // no turn was waited for, so that the outcome is no refusal
    this.settle = resolve as (outcome: Outcome) => void;
  };

  readonly fulfilled = (value: unknown): void => {
    const call = this.call!;
    const ctx = this.ctx!;
    this.#end(call, ctx, call.success(value, ctx));
  };

  readonly rejected = (error: unknown): void => {
    const call = this.call!;
    const ctx = this.ctx!;
    this.#end(call, ctx, call.failure(error, ctx));
  };

  #end(call: HandlerCall, ctx: MessageContext, result: Result<unknown>): void {
    ctx.end(call.counts.localEnd(result, this.timing));
    this.ctx = this.settle = undefined;
    this.#all.free(this);
  }
}

/** So many that have ended are kept: 80 kB. */
const MOST_KEPT = 256;
