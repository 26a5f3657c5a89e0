/**
 * Folds the behaviors around a handler into one function, outermost first: each gets the rest of the chain as its
 * `next`.
 */
import type { AnyBehavior } from "../contract/behavior.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Logger } from "../contract/observer.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Clock, Random } from "../ports/clock.ts";
import type { Context } from "../contract/context.ts";
import type { Result } from "../contract/result.ts";
import { plainFailure } from "./error_encoding.ts";
import { isThenable, show } from "../data/checks.ts";

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
