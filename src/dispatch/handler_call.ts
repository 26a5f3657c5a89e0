/**
 * Wraps one handler in a function that neither throws nor rejects: an error that it throws becomes `HANDLER_FAILED`.
 * Around it are its behaviors, and the recorded result of an idempotent command.
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import { type EntityBody, type Handler, handlerFailure, type Thrower } from "../contract/declaration/handler.ts";
import type { Logger, Observer } from "../contract/nodes/observer.ts";
import type { ContractCounts, Timing } from "./contract_counts.ts";
import type { Settling } from "./context_host.ts";
import type { MessageContext } from "./message_context.ts";
import type { MaybePromise } from "../contract/schemas/schema.ts";
import { asResult, failure, isOfAnotherVersion, type Outcome, Refusal, VersionRefusal } from "./outcome.ts";
import type { Context } from "../contract/calls/context.ts";
import { type Failure, isFailure, type Result } from "../contract/calls/result.ts";
import { CatgaError, isCatgaError, isErrorCode } from "../error.ts";
import { plainError, plainFailure } from "./error_encoding.ts";
import { isThenable, show } from "../data/checks.ts";
import type { AnyBehavior } from "../contract/declaration/behavior.ts";
import type { Clock, Random } from "../ports/clock.ts";
import { RESULT_TTL } from "../contract/declaration/defaults.ts";

/** Runs a handler with behaviors and limits around it, on a parsed payload. Never throws, never rejects. */
export type HandlerRun = (payload: unknown, ctx: MessageContext) => MaybePromise<Outcome>;

/** Calls one handler directly, without behaviors and limits around it. */
export class HandlerCall {
  /** The function that the program gave. */
  readonly fn: (payload: unknown, ctx: Context) => unknown;
  /** Counts of the messages, failures and durations of the handler's contract. */
  readonly counts: ContractCounts;
  /** Handlers of commands of entities only: the entity that handles them, to be called instead of `fn`. */
  readonly entity: EntityBody | undefined;
  readonly #contract: AnyContract;
  readonly #observer: Observer;

  constructor({ contract, "~handler": { fn, entity } }: Handler, observer: Observer, counts: ContractCounts) {
    this.fn = fn;
    this.counts = counts;
    this.entity = entity;
    this.#contract = contract;
    this.#observer = observer;
  }

  /** Calls the handler. Never throws, never rejects. */
  readonly run: RunHandler<MessageContext> = (payload, ctx) => {
    try {
      return this.result(this.fn(payload, ctx), ctx);
    } catch (error) {
      return this.failure(error, ctx);
    }
  };

  /**
   * Lets the entity handle a command that was sent in this process. Resolves with the result; makes only one promise.
   */
  decide(
    entity: EntityBody,
    payload: unknown,
    ctx: MessageContext,
    timing: Timing | undefined,
  ): Promise<Result<unknown>> {
    return new Promise((resolve) => {
      const { counts } = this;
      counts.localBegun++;
      // the cast is safe: the command did not wait for admission (a place at its handler), so it cannot have been
      // refused
      ctx.execution.begin(resolve as (outcome: Outcome) => void);
      this.decideLater(entity, payload, ctx).then((result) => ctx.execution.end(counts.localEnd(result, timing)));
    });
  }

  /** Lets the entity handle a command. Makes no promise, but an object that costs less. */
  decideLater(entity: EntityBody, payload: unknown, ctx: MessageContext): EntityOutcome {
    const decision = new EntityOutcome(this, ctx);
    try {
      ctx.decide(entity, payload, decision);
    } catch (error) {
      decision.reject(error);
    }
    return decision;
  }

  /** Makes a result from the handler's return value. Throws an error that a getter of the value throws. */
  result(returned: unknown, ctx: MessageContext): MaybePromise<Result<unknown>> {
    // `Promise.resolve`, because a thenable may not be a Promise, or be of a class derived from it, like the promises
    // of some database clients
    return isThenable(returned) ? this.#settled(Promise.resolve(returned), ctx) : this.#toResult(returned);
  }

  #settled(returned: Promise<unknown>, ctx: MessageContext): Promise<Result<unknown>> {
    return returned.then((value) => this.success(value, ctx), (error) => this.failure(error, ctx));
  }

  /** Makes a result from the value that the handler's promise resolved with. Never throws. */
  success(value: unknown, ctx: MessageContext): Result<unknown> {
    try {
      return this.#toResult(value);
    } catch (error) { // an error that a getter of the value threw
      return this.failure(error, ctx);
    }
  }

  /** Makes a result from the error that the handler threw. */
  failure(error: unknown, ctx: MessageContext): Failure {
    const failed = this.#checked(this.thrown(error, ctx, "handler"));
    // the entity cannot be read on this node, and nothing was stored for the command: another node may try it
    return this.entity !== undefined && isOfAnotherVersion(error)
      ? new VersionRefusal(failed.error, { ofStored: true })
      : failed;
  }

  #toResult(returned: unknown): Result<unknown> {
    return isFailure(returned) ? this.#checked(plainFailure(returned)) : { ok: true, value: returned };
  }

  /** Returns the failure, or `INVALID_RESPONSE` if the contract has `failures` without its code. */
  #checked(failed: Failure): Failure {
    const { name, options: { failures } } = this.#contract;
    const { code, message, final } = failed.error;
    if (failures === undefined || isErrorCode(code) || failures.includes(code)) return failed;
    const what = `the handler of ${name} failed with ${code}, which is none of its failures (${failures.join(", ")})`;
    return failure("INVALID_RESPONSE", `${what}: ${message}`, { cause: failed.error, final });
  }

  /**
   * Makes a result from the error that the handler, or a behavior around it, threw. A `CatgaError`, or a failure made
   * by `fail`, stays as it is (`error_encoding.ts`); any other error is observed, and becomes `HANDLER_FAILED`.
   */
  thrown(error: unknown, ctx: MessageContext, by: Thrower): Failure {
    try {
      if (isCatgaError(error)) {
        const plain = plainError(error);
        const { kind, options: { durable } } = this.#contract;
        if (durable && OUT_OF_REACH.has(plain.code)) ctx.execution.passedOn = plain;
        // an event's handler does not pass on `final`: a failure that is final for a message that the handler sent need
        // not be final for this event
        return { ok: false, error: durable && kind === "event" && plain.final ? notFinal(plain) : plain };
      }
      if (isFailure(error)) return plainFailure(error);
    } catch {
      // an error that is a proxy, or has getters that throw, is treated like any other error
    }
    const { id, correlationId } = ctx;
    const behavior = by === "behavior" ? { behavior: true } as const : {};
    this.#observer({ type: "handler-failed", contract: this.#contract.name, ...behavior, id, correlationId, error });
    return { ok: false, error: handlerFailure(this.#contract, ctx, error, by) };
  }
}

function notFinal(error: CatgaError): CatgaError {
  const { code, message, retryable, details, node } = error;
  return new CatgaError(code, message, { retryable, details, node, cause: error });
}

/** Codes with which a send fails if something is out of reach. */
const OUT_OF_REACH: ReadonlySet<string> = new Set(["UNAVAILABLE", "NO_HANDLER", "OVERLOADED", "TIMEOUT"]);

/**
 * The outcome of a command that an entity handles: resolved by the entity, and awaited by `then`. It costs less than a
 * promise.
 */
export class EntityOutcome implements Settling {
  readonly #call: HandlerCall;
  readonly #ctx: MessageContext;
  #result: Result<unknown> | undefined = undefined;
  #ended: ((result: Result<unknown>) => void) | undefined = undefined;

  constructor(call: HandlerCall, ctx: MessageContext) {
    this.#call = call;
    this.#ctx = ctx;
  }

  resolve(value: unknown): void {
    this.#end(this.#call.success(value, this.#ctx));
  }

  reject(reason: unknown): void {
    this.#end(this.#call.failure(reason, this.#ctx));
  }

  then(ended: (result: Result<unknown>) => void): void {
    if (this.#result === undefined) this.#ended = ended;
    else ended(this.#result);
  }

  #end(result: Result<unknown>): void {
    this.#result = result;
    this.#ended?.(result);
  }
}

/** Objects of an app that behaviors get with each message: clock, random numbers, logger. */
export interface BehaviorTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger | undefined;
  /** Name of the handler's subscription, if its contract is durable. */
  readonly subscription?: string | undefined;
}

/** A handler as the mediator calls it: never throws, never rejects. */
export type RunHandler<Ctx extends Context> = (payload: unknown, ctx: Ctx) => MaybePromise<Result<unknown>>;

/**
 * Folds behaviors around a handler into one function. `caught`: makes a result of an error that a behavior throws.
 * Without behaviors, returns the handler itself, so that an app without behaviors pays nothing.
 */
export function fold<Ctx extends Context>(
  contract: AnyContract,
  behaviors: readonly AnyBehavior[],
  run: RunHandler<Ctx>,
  caught: (error: unknown, ctx: Ctx) => Result<unknown>,
  { clock, random, logger, subscription }: BehaviorTools,
): RunHandler<Ctx> {
  return behaviors.reduceRight<RunHandler<Ctx>>((inner, behavior) => {
    const checked = (result: Result<unknown>, ctx: Ctx): Result<unknown> => {
      try {
        if (typeof result?.ok === "boolean") return result.ok ? result : plainFailure(result);
        throw new TypeError(
          `a behavior around ${contract.name} must return a result, what next() gives or fail(…); got ${show(result)}`,
        );
      } catch (error) {
        return caught(error, ctx);
      }
    };
    // this function is not async: an async function, whose `next` is async, too, takes as long as everything else
    // around a handler
    return (payload, ctx) => {
      try {
        const message = { contract, payload, ctx, subscription, clock, random, logger };
        let outcome: MaybePromise<Result<unknown>> | undefined;
        let given: Promise<Result<unknown>> | undefined;
        const result = behavior(message, () => {
          outcome = inner(payload, ctx);
          return given = outcome instanceof Promise ? outcome : Promise.resolve(outcome);
        });
        // if the behavior returned the promise of `next` unchanged, its result is returned without a check, because the
        // inner function has checked it
        if (result === given && outcome !== undefined) return outcome;
        if (!isThenable(result)) return checked(result, ctx);
        return Promise.resolve(result).then((result) => checked(result, ctx), (error) => caught(error, ctx));
      } catch (error) {
        return caught(error, ctx);
      }
    };
  }, run);
}

/**
 * Runs the handler of an idempotent command under a claim (record that reserves the message id), and records its
 * result. A second message with the same id waits for the recorded result; while it waits, it takes no place of the
 * handler's `concurrency`. `ttl`: how long the result is kept, in ms.
 */
export function runOnce({ ttl = RESULT_TTL }: { ttl?: number | undefined }, clock: Clock, run: HandlerRun): HandlerRun {
  return async (payload, ctx) => {
    let refusal: Refusal | undefined;
    const { execution } = ctx;
    execution.stage = "claiming";
    const now = clock.monotonic();
    const left = ctx.remaining(now);
    const result = await ctx.claims.guard({
      contract: ctx.contract.name,
      id: ctx.id,
      payload: execution.payload,
      ttl,
      due: now + left - Math.min(CLAIM_MARGIN, left / 10),
      adopt: (attempt) => execution.claim(attempt),
      lost: (reason) => execution.loseClaim(reason),
    }, (fence, check) => {
      execution.stage = "handler";
      execution.fence = fence;
      execution.checkClaim = check;
      const ended = (outcome: Outcome): MaybePromise<Result<unknown>> => {
        execution.checkClaim = undefined;
        if (outcome instanceof Refusal) refusal = outcome;
        // the handler's locks are released before the result is recorded: another attempt, whose result would be
        // recorded instead, may wait for these locks
        const released = execution.releaseLocks();
        return released === undefined ? asResult(outcome) : released.then(() => asResult(outcome));
      };
      const ran = run(payload, ctx);
      return ran instanceof Promise ? ran.then(ended) : ended(ran);
    });
    if (refusal !== undefined) return refusal;
    // the outcome is a refusal if the node stopped while the claim was being acquired: the handler has not run here,
    // and another node may run it
    return execution.stage === "claiming" && result.error?.code === "CLOSED" ? new Refusal("DRAINING", ctx) : result;
  };
}

/**
 * How long before the deadline an attempt to get the claim is given up, in ms, so that the sender can still be told
 * that the handler did not run.
 */
const CLAIM_MARGIN = 50;
