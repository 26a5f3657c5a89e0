/**
 * The fastest way of a send: it calls a handler in this process directly. Only for a send without options, of a
 * contract that needs no preparation and that no other node handles. `request_builder.ts` prepares every other send.
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Result } from "../contract/calls/result.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import type { ContextHost } from "../dispatch/context_host.ts";
import type { ContractCounts, Timing } from "../dispatch/contract_counts.ts";
import type { HandlerCall, HandlerRun } from "../dispatch/handler_call.ts";
import type { Dispatch, Mediator } from "../dispatch/mediator.ts";
import { MessageContext } from "../dispatch/message_context.ts";
import { asResult, type Outcome, Refusal } from "../dispatch/outcome.ts";
import { keyOf } from "../dispatch/routing_key.ts";
import type { RequestBuilder } from "./request_builder.ts";
import { PendingMessage } from "../dispatch/execution.ts";

/**
 * Makes the fast paths of a node, by contract object; a send with another contract object of the same name takes the
 * normal way. The fast paths must be made again when the membership has changed. `alone`: the names of the contracts
 * that only this node handles.
 */
export function fastPaths(
  host: ContextHost,
  { mediator, builder, alone, refused }: {
    mediator: Mediator;
    builder: RequestBuilder;
    alone: ReadonlySet<string>;
    refused: TryAgain;
  },
): ReadonlyMap<AnyContract, LocalFastPath> {
  const paths = new Map<AnyContract, LocalFastPath>();
  const ways = { refused, sends: new LocalSends() };
  for (const { name } of mediator.requests) {
    const dispatch = mediator.find(name)!;
    if (!builder.needsNoPreparation(dispatch.contract) || !alone.has(name)) continue;
    paths.set(dispatch.contract, new LocalFastPath(host, dispatch, builder.timeoutOf(dispatch.contract), ways));
  }
  return paths;
}

/** Repeats, by the normal way, a send that its handler in this process has refused. */
export type TryAgain = (contract: AnyContract, payload: unknown, refusal: Refusal) => MaybePromise<Result<unknown>>;

/**
 * Sends messages of one contract to its handler in this process. The code is shaped so that the compilers of both
 * runtimes inline all of it into the loop that sends: the promise of a plain value is then made and awaited in half of
 * the time (31 ns instead of 61 in Deno). An async function, or a result that another function made, would lose that
 * (measured).
 */
export class LocalFastPath implements RefusedSends {
  readonly #host: ContextHost;
  readonly #contract: AnyContract;
  readonly #timeout: number;
  readonly #run: HandlerRun;
  readonly #call: HandlerCall | undefined;
  readonly counts: ContractCounts;
  /** True for a command of an entity; its key is made from the payload before the schema parses it. */
  readonly #entity: boolean;

  readonly #refused: TryAgain;
  readonly #sends: LocalSends;
  /**
   * True if the fast path makes the routing key; false for a contract without a key, and for a command of an entity,
   * whose key is made later, when the entity handles it.
   */
  readonly #keyed: boolean;

  /** `timeout`: timeout of a send, in ms. */
  constructor(
    host: ContextHost,
    { contract, runs: [run], call, counts, entity }: Dispatch,
    timeout: number,
    { refused, sends }: { refused: TryAgain; sends: LocalSends },
  ) {
    this.#refused = refused;
    this.#sends = sends;
    this.#host = host;
    this.#contract = contract;
    this.#timeout = timeout;
    this.#run = run;
    this.#call = call;
    this.counts = counts;
    this.#entity = entity;
    this.#keyed = !entity && contract.options.key !== undefined;
  }

  send(payload: unknown): Promise<Result<unknown>> {
    if (this.#keyed) {
      // this way needs no key, but a send whose key cannot be made fails in every way
      const key = keyOf(this.#contract, payload);
      if (typeof key === "object") return Promise.resolve(key);
    }
    const timing = this.counts.timing(this.#host.clock);
    const ctx = new MessageContext(this.#host, this.#contract, this.#timeout, undefined);
    const call = this.#call;
    if (this.#entity) {
      ctx.execution.payload = payload;
      if (call?.entity !== undefined) return call.decide(call.entity, payload, ctx, timing);
    }
    if (call === undefined) return this.#ended(this.#run(payload, ctx), payload, ctx, timing);
    try {
      const value = call.fn(payload, ctx);
      if (isPlain(value)) {
        call.counts.local++;
        timing?.end();
        return Promise.resolve({ ok: true, value });
      }
      // `Promise.resolve` because the `then` of a class derived from Promise may call back twice, or throw
      if (value instanceof Promise) return this.#sends.settled(Promise.resolve(value), ctx, call, timing);
      return this.#ended(call.result(value, ctx), payload, ctx, timing);
    } catch (error) {
      timing?.end();
      return Promise.resolve(call.counts.localResult(call.failure(error, ctx)));
    }
  }

  /**
   * Completes a send whose outcome is not a plain value: a behavior or a limit runs around the handler (and may refuse
   * the message), or the handler returned a promise or a failure.
   */
  #ended(
    outcome: MaybePromise<Outcome>,
    payload: unknown,
    ctx: MessageContext,
    timing: Timing | undefined,
  ): Promise<Result<unknown>> {
    if (!(outcome instanceof Promise)) {
      timing?.end();
      return Promise.resolve(this.counts.localResult(asResult(outcome)));
    }
    return this.#sends.ended(outcome, ctx, timing, payload, this);
  }

  /** Repeats, by the normal way, a send that the handler in this process has refused. */
  again(payload: unknown, refusal: Refusal): MaybePromise<Result<unknown>> {
    return this.#refused(this.#contract, payload, refusal);
  }
}

/** Returns true if a handler's return value is certainly neither a promise nor a failure. */
function isPlain(returned: unknown): boolean {
  if (typeof returned !== "object" || returned === null) return true;
  const { then, ok } = returned as { then?: unknown; ok?: unknown };
  return then === undefined && ok !== false;
}

/**
 * The sends of one node to asynchronous handlers by the fastest way. All that a send needs besides its context and its
 * promise, three functions among it, is in an object that later sends use again (docs/internals/measurements.md).
 */
class LocalSends {
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
interface RefusedSends {
  readonly counts: ContractCounts;
  /** Repeats a send that the handler in this process has refused. */
  again(payload: unknown, refusal: Refusal): MaybePromise<Result<unknown>>;
}

/** Maximum number of ended sends whose objects are kept for reuse: 80 kB. */
const MAX_FREE_SENDS = 256;
