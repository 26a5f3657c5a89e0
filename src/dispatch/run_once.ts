/** Runs the handler of an idempotent command, with one recorded result for each message id. */
import { RESULT_TTL } from "../contract/defaults.ts";
import type { MaybePromise } from "../contract/schema.ts";
import type { Clock } from "../ports/clock.ts";
import { asResult, type Outcome, Refusal } from "./outcome.ts";
import type { Result } from "../contract/result.ts";
import type { HandlerRun } from "./handler_call.ts";

/**
 * Runs the handler under a claim (record that reserves the message id), and records its result. A second message with
 * the same id waits for the recorded result; while it waits, it takes no place of the handler's `concurrency`. `ttl`:
 * how long the result is kept, in ms.
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
