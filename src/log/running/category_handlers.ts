/** The handlers of one contract (category) in one subscription, which run together for each message. */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { BatchSettings } from "../../contract/declaration/handler.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import type { DurableHandler } from "../../dispatch/mediator.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { withParsedPayload } from "../../dispatch/message_schema.ts";
import { asResult, type Outcome, Refusal, VersionRefusal } from "../../dispatch/outcome.ts";
import { orderKeyOf } from "../../dispatch/routing_key.ts";
import { CatgaError } from "../../error.ts";
import { type BatchRun, runBatch } from "./batch_run.ts";
import { refusedOver } from "./run_answer.ts";

/** The handlers of one contract in one subscription, combined to one handler. */
export interface CategoryHandlers {
  readonly contract: AnyContract;
  /** Timeout of a run of the handlers, in ms. */
  readonly timeout: number;
  /** Maximum number of attempts of a message. */
  readonly attempts: number;
  /** True if the number of runs at once is limited: a run is answered when it has ended, also after its timeout. */
  readonly isLimited: boolean;
  /** Time for which a service that the handlers call may be unavailable before failed attempts count, in ms. */
  readonly outage: number;
  /**
   * Runs the handlers with a message. `payload`: the published payload, a copy for this run alone. `again`: makes
   * another copy for the next handler, because a handler may change its copy. Never throws.
   */
  run(payload: unknown, again: () => unknown, ctx: MessageContext): MaybePromise<Outcome>;
  /** Handles several messages at once; `undefined` if a handler takes single messages. */
  readonly batch: BatchHandler | undefined;
}

/** A handler that takes batches of messages, and its settings. */
export interface BatchHandler extends BatchSettings {
  run(run: BatchRun, ctx: MessageContext): MaybePromise<Outcome>;
}

/**
 * Combines the handlers of one contract in one subscription: one handler or more. `timeout`: the app's default, in ms.
 */
export function categoryHandlers(given: readonly DurableHandler[], timeout: number): CategoryHandlers {
  const handlers = given.map((handler) => handler.settings.batch === undefined ? handler : ofOne(handler));
  const [first] = handlers;
  const { contract, settings: { batch: settings } } = first;
  return {
    contract,
    timeout: Math.max(...handlers.map(({ settings }) => settings.timeout ?? timeout)),
    attempts: Math.max(...handlers.map(({ settings }) => settings.attempts)),
    isLimited: handlers.some(({ settings: { limits = [] } }) => limits.some(({ running }) => running !== Infinity)),
    batch: settings === undefined || handlers.length > 1
      ? undefined
      : { ...settings, run: (run, ctx) => run.handle(given[0], ctx) },
    outage: Math.max(...handlers.map(({ settings }) => settings.outage)),
    run: handlers.length === 1
      ? (payload, _, ctx) => parsedRun(first, payload, ctx)
      : (payload, again, ctx) => runTogether(handlers, handlers.map((_, i) => i === 0 ? payload : again()), ctx),
  };
}

/** Runs all handlers with a message. The outcome is the first failure; it is a refusal only if no handler ran. */
async function runTogether(
  handlers: readonly DurableHandler[],
  payloads: readonly unknown[],
  ctx: MessageContext,
): Promise<Outcome> {
  const passedOn = new Set<CatgaError | undefined>();
  const outcomes = await Promise.all(handlers.map((handler, i) =>
    ctx.withOwnContext(async (own) => {
      const outcome = refusedOver(await parsedRun(handler, payloads[i], own), own);
      passedOn.add(own.execution.passedOn);
      return outcome;
    })
  ));
  if (outcomes.every((outcome) => outcome instanceof Refusal)) return outcomes[0];
  if (outcomes.every((outcome) => outcome instanceof VersionRefusal)) return outcomes[0];
  const failed = outcomes.map(asResult).find(({ ok }) => !ok);
  if (failed !== undefined && passedOn.has(failed.error)) ctx.execution.passedOn = failed.error;
  return failed ?? { ok: true, value: undefined };
}

/** Wraps a handler of batches so that it takes single messages: it receives a batch of one message. */
function ofOne(handler: DurableHandler): DurableHandler {
  return {
    ...handler,
    run: (payload, ctx) => {
      const { id, key, position = 0, attempt, headers, stored = new Date(0), due } = ctx;
      const member = { payload, id, key, position, stored, due, attempt, headers };
      const { outcome, failures } = runBatch(handler, [member], ctx);
      const ended = (outcome: Outcome): Outcome => {
        const [error] = failures.values();
        return outcome instanceof Refusal || !outcome.ok || error === undefined ? outcome : { ok: false, error };
      };
      return outcome instanceof Promise ? outcome.then(ended) : ended(outcome);
    },
  };
}

/**
 * Runs a handler with the payload parsed by the handler's contract. If the contract refuses the payload, the outcome is
 * a {@link VersionRefusal} whose error is final.
 */
function parsedRun(
  { contract, run, entity }: DurableHandler,
  payload: unknown,
  ctx: MessageContext,
): MaybePromise<Outcome> {
  const { input, idempotent, ordered } = contract.options;
  // the run needs the parsed payload: an idempotency claim compares it, and an entity is found by it
  if (idempotent || entity) ctx.execution.payload = payload;
  if (ordered) {
    const key = orderKeyOf(ctx, payload);
    if (typeof key === "object") return asFinal(key);
    ctx.execution.key = key;
  }
  if (input === undefined) return run(payload, ctx);
  let begun = false;
  const outcome = withParsedPayload(contract, payload, ctx, (parsed) => {
    begun = true;
    return run(parsed, ctx);
  });
  if (outcome instanceof Promise) return outcome.then((later) => begun ? later : asFinal(later));
  return begun ? outcome : asFinal(outcome);
}

function asFinal(outcome: Outcome): Outcome {
  // a timeout is not final: a schema that did not end in time may do so in the next attempt
  if (outcome instanceof Refusal || outcome.ok || outcome.error.code === "TIMEOUT") return outcome;
  const { code, message, details, node } = outcome.error;
  const error = new CatgaError(code, message, { details, node, final: true, cause: outcome.error });
  return outcome instanceof VersionRefusal ? new VersionRefusal(error) : { ok: false, error };
}
