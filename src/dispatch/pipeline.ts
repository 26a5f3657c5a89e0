/** Behaviors around a handler, as one function: outermost first, each with the next ones as its `next`. */
import type { Behavior } from "../contract/behavior.ts";
import { show } from "../data/checks.ts";
import type { Context } from "../contract/context.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Logger } from "../contract/observer.ts";
import type { Result } from "../contract/result.ts";
import type { MaybePromise } from "../contract/schema.ts";
import { plainFailure } from "./error_encoding.ts";
import type { Clock, Random } from "../ports/clock.ts";

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
 * Folds behaviors around a handler. `caught` makes a result of an error that a behavior throws. Without behaviors it returns
 * the handler itself: an app that has none pays nothing.
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
