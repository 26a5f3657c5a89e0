/** One handler as a function that neither throws nor rejects: what it throws becomes `HANDLER_FAILED`. */
import type { Context } from "../contract/context.ts";
import type { AnyContract } from "../contract/contract.ts";
import { type EntityBody, type Handler, handlerFailure } from "../contract/handler.ts";
import type { Logger, Observer } from "../contract/observer.ts";
import { type Failure, isFailure, type Result } from "../contract/result.ts";
import { isThenable, type MaybePromise } from "../contract/schema.ts";
import { CatgaError, isCatgaError, isErrorCode } from "../error.ts";
import type { ContractCounts } from "./contract_counts.ts";
import type { MessageContext } from "./message_context.ts";
import type { Outcome } from "./outcome.ts";
import { plainError, plainFailure } from "./error_encoding.ts";
import type { Behavior } from "../contract/behavior.ts";
import { show } from "../data/checks.ts";
import type { Clock, Random } from "../ports/clock.ts";

/** A handler with all that runs around it: takes a parsed payload, never throws, never rejects. */
export type HandlerRun = (payload: unknown, ctx: MessageContext) => MaybePromise<Outcome>;

/** The call of one handler, with nothing around it. */
export class HandlerCall {
  /** The user's function. */
  readonly fn: (payload: unknown, ctx: Context) => unknown;
  /** Those of its contract. */
  readonly counts: ContractCounts;
  /** If it decides commands of an entity, which it does without the user's function: with this. */
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

  /** Calls it. Never throws, never rejects. */
  readonly run: Run<MessageContext> = (payload, ctx) => {
    try {
      return this.result(this.fn(payload, ctx), ctx);
    } catch (error) {
      return this.failure(error, ctx);
    }
  };

  /** The result of what it returned. Throws what a getter of that throws. */
  result(returned: unknown, ctx: MessageContext): MaybePromise<Result<unknown>> {
    // a thenable may be no Promise, or a class derived from it, as those of some database clients are
    return isThenable(returned) ? this.#settled(Promise.resolve(returned), ctx) : this.#toResult(returned);
  }

  #settled(returned: Promise<unknown>, ctx: MessageContext): Promise<Result<unknown>> {
    return returned.then((value) => this.success(value, ctx), (error) => this.failure(error, ctx));
  }

  /** The result of what its promise was resolved with. Never throws. */
  success(value: unknown, ctx: MessageContext): Result<unknown> {
    try {
      return this.#toResult(value);
    } catch (error) { // thrown by a getter of the value
      return this.failure(error, ctx);
    }
  }

  /** The result of what it threw. */
  failure(error: unknown, ctx: MessageContext): Failure {
    return this.#checked(this.thrown(error, ctx));
  }

  #toResult(returned: unknown): Result<unknown> {
    return isFailure(returned) ? this.#checked(plainFailure(returned)) : { ok: true, value: returned };
  }

  /** Its failure, or `INVALID_RESPONSE` if the contract has `failures` and this is none of them. */
  #checked(failed: Failure): Failure {
    const { name, options: { failures } } = this.#contract;
    const { code, message, final } = failed.error;
    if (failures === undefined || isErrorCode(code) || failures.includes(code)) return failed;
    const what = `the handler of ${name} failed with ${code}, which is none of its failures (${failures.join(", ")})`;
    return {
      ok: false,
      error: new CatgaError("INVALID_RESPONSE", `${what}: ${message}`, { cause: failed.error, final }),
    };
  }

  /**
   * The result of what the handler, or a behavior around it, threw: a `CatgaError`, or what `fail` made, as it is
   * (`error_encoding.ts`); anything else is observed, and becomes `HANDLER_FAILED`.
   */
  thrown(error: unknown, ctx: MessageContext): Failure {
    try {
      if (isCatgaError(error)) return { ok: false, error: plainError(error) };
      if (isFailure(error)) return plainFailure(error);
    } catch {
      // a proxy, or an error with getters, that cannot even be looked at: it is anything else
    }
    const { id, correlationId } = ctx;
    this.#observer({ type: "handler-failed", contract: this.#contract.name, id, correlationId, error });
    return { ok: false, error: handlerFailure(this.#contract, ctx, error) };
  }
}

// Behaviors around a handler, as one function: outermost first, each with the next ones as its `next`.

/** What an app gives to its behaviors. */
export interface BehaviorTools {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger?: Logger | undefined;
  /** Of the handler, if its contract is durable. */
  readonly subscription?: string | undefined;
}

/** A handler as the mediator calls it: never throws, never rejects. */
export type Run<Ctx extends Context> = (payload: unknown, ctx: Ctx) => MaybePromise<Result<unknown>>;

/**
 * Folds behaviors around a handler. `caught` makes a result of an error that a behavior throws. Without behaviors it
 * returns the handler itself: an app that has none pays nothing.
 */
export function fold<Ctx extends Context>(
  contract: AnyContract,
  behaviors: readonly Behavior[],
  run: Run<Ctx>,
  caught: (error: unknown, ctx: Ctx) => Result<unknown>,
  { clock, random, logger, subscription }: BehaviorTools,
): Run<Ctx> {
  return behaviors.reduceRight<Run<Ctx>>((inner, behavior) => async (payload, ctx) => {
    try {
      const message = { contract, payload, ctx, subscription, clock, random, logger };
      const result = await behavior(message, async () => await inner(payload, ctx));
      if (typeof result?.ok === "boolean") return result.ok ? result : plainFailure(result);
      throw new TypeError(
        `a behavior around ${contract.name} must return a result, what next() gives or fail(…); got ${show(result)}`,
      );
    } catch (error) {
      return caught(error, ctx);
    }
  }, run);
}
