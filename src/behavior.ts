/** What stands around a handler, folded like the skins of an onion. */
import type { AnyContract } from "./contract.ts";
import type { Context } from "./context.ts";
import { show } from "./options.ts";
import type { Result } from "./result.ts";
import type { MaybePromise } from "./schema.ts";

/**
 * Wraps a handler: may change the result, call `next` again, or not call it. The app's behaviors come first, outermost
 * first, then the handler's own. `next` never rejects: what the handler throws comes back as `HANDLER_FAILED`, and so does
 * what the behavior itself throws. A behavior runs on the node that handles the message, once for each attempt there.
 *
 * @example
 * ```ts
 * import { type Behavior, catga, query } from "@catga/catga";
 *
 * const timed: Behavior = async ({ contract }, next) => {
 *   const start = performance.now();
 *   const result = await next();
 *   console.log(contract.name, result.ok, `${(performance.now() - start).toFixed(1)} ms`);
 *   return result;
 * };
 * const Answer = query<void, number>("Answer");
 * await using app = await catga({ handlers: Answer.handle(() => 42), behaviors: [timed] });
 * await app.send(Answer);
 * ```
 */
export type Behavior = (
  message: BehaviorMessage,
  next: () => Promise<Result<unknown>>,
) => MaybePromise<Result<unknown>>;

/** What a {@link Behavior} is told. */
export interface BehaviorMessage {
  /** The contract whose handler is called. */
  readonly contract: AnyContract;
  /** As the handler will see it: parsed, when the contract has a schema. */
  readonly payload: unknown;
  /** The context that the handler will get: the same object. */
  readonly ctx: Context;
}

/** A handler as the mediator calls it: never throws, never rejects. */
export type Run<Ctx extends Context> = (payload: unknown, ctx: Ctx) => MaybePromise<Result<unknown>>;

/**
 * Folds behaviors around a handler. `caught` makes a result of what a behavior throws. With no behaviors the handler
 * itself comes back, so that none cost nothing.
 */
export function fold<Ctx extends Context>(
  contract: AnyContract,
  behaviors: readonly Behavior[],
  run: Run<Ctx>,
  caught: (error: unknown, ctx: Ctx) => Result<unknown>,
): Run<Ctx> {
  return behaviors.reduceRight<Run<Ctx>>((inner, behavior) => async (payload, ctx) => {
    try {
      const result = await behavior({ contract, payload, ctx }, async () => await inner(payload, ctx));
      if (typeof result?.ok === "boolean") return result;
      throw new TypeError(
        `a behavior around ${contract.name} must return a result, what next() gives or fail(…); got ${show(result)}`,
      );
    } catch (error) {
      return caught(error, ctx);
    }
  }, run);
}
