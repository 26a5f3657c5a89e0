/** The handler of an idempotent command: one recorded result for each message id. */
import type { Clock } from "../ports/clock.ts";
import type { HandlerRun } from "./handler_call.ts";
import { asResult, Refusal } from "./outcome.ts";

/**
 * Runs the handler under a claim of the message id, and records its result. A second message with the id waits for the recorded result, and
 * takes no place of the handler meanwhile. `ttl`: how long the result is kept, in ms.
 */
export function runOnce({ ttl = RESULT_TTL }: { ttl?: number | undefined }, clock: Clock, run: HandlerRun): HandlerRun {
  return async (payload, ctx) => {
    let refusal: Refusal | undefined;
    const { execution } = ctx;
    execution.claiming = true;
    const now = clock.monotonic();
    const left = ctx.remaining(now);
    const result = await ctx.claims.guard({
      contract: ctx.contract.name,
      id: ctx.id,
      payload: execution.payload,
      ttl,
      due: now + left - Math.min(CLAIM_MARGIN, left / 10),
      signal: execution.sender,
      lost: (reason) => execution.loseClaim(reason),
    }, async (fence, check) => {
      execution.claiming = false;
      execution.fence = fence;
      execution.checkClaim = check;
      const outcome = await run(payload, ctx);
      execution.checkClaim = undefined;
      if (outcome instanceof Refusal) refusal = outcome;
      // before the result is recorded: another attempt, whose result would be recorded instead, may wait for these locks
      await execution.releaseLocks();
      return asResult(outcome);
    });
    if (refusal !== undefined) return refusal;
    // the node stops while the claim is acquired: the handler has not run here, and another node may run it
    return execution.claiming && result.error?.code === "CLOSED" ? new Refusal("DRAINING", ctx) : result;
  };
}

/** The time between giving up the claim and the deadline, in ms: the sender still receives that the handler did not run. */
const CLAIM_MARGIN = 50;

/** How long the result of an idempotent command is kept unless its contract says otherwise, in ms: a day. */
const RESULT_TTL = 86_400_000;
