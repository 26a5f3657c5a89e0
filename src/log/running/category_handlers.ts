/**
 * The handlers of one contract (category) in one subscription, which run together for each message; and the message's
 * envelope, which their context reads.
 */
import type { AnyContract } from "../../contract/contract.ts";
import type { BatchSettings } from "../../contract/handler.ts";
import type { MaybePromise } from "../../contract/schema.ts";
import type { Envelope } from "../../dispatch/context_host.ts";
import type { DurableHandler } from "../../dispatch/mediator.ts";
import type { MessageContext } from "../../dispatch/message_context.ts";
import { withParsedPayload } from "../../dispatch/message_schema.ts";
import { asResult, type Outcome, Refusal, SchemaRefusal } from "../../dispatch/outcome.ts";
import { orderKeyOf } from "../../dispatch/routing_key.ts";
import { CatgaError } from "../../error.ts";
import { headersOf, type LoggedMeta } from "../format/logged_message.ts";
import { type BatchRun, runBatch } from "./batch_run.ts";

/** The handlers of one contract in one subscription, as one. */
export interface CategoryHandlers {
  readonly contract: AnyContract;
  /** Timeout of a run of the handlers, in ms. */
  readonly timeout: number;
  /** Maximum number of attempts of a message. */
  readonly attempts: number;
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

/** Combines the handlers of one contract in one subscription, at least one. `timeout`: the app's default, in ms. */
export function categoryHandlers(given: readonly DurableHandler[], timeout: number): CategoryHandlers {
  const handlers = given.map((handler) => handler.settings.batch === undefined ? handler : ofOne(handler));
  const [first] = handlers;
  const { contract, settings: { batch: settings } } = first;
  return {
    contract,
    timeout: Math.max(...handlers.map(({ settings }) => settings.timeout ?? timeout)),
    attempts: Math.max(...handlers.map(({ settings }) => settings.attempts)),
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
    ctx.apart(async (own) => {
      const outcome = refusedOver(await parsedRun(handler, payloads[i], own), own);
      passedOn.add(own.execution.passedOn);
      return outcome;
    })
  ));
  if (outcomes.every((outcome) => outcome instanceof Refusal)) return outcomes[0];
  if (outcomes.every((outcome) => outcome instanceof SchemaRefusal)) return outcomes[0];
  const failed = outcomes.map(asResult).find(({ ok }) => !ok);
  if (failed !== undefined && passedOn.has(failed.error)) ctx.execution.passedOn = failed.error;
  return failed ?? { ok: true, value: undefined };
}

/**
 * Returns the outcome of a run, or a refusal if a rate limit refused the message before its handler began, because
 * that does not count as an attempt.
 */
export function refusedOver(outcome: Outcome, ctx: MessageContext): Outcome {
  if (outcome instanceof Refusal || outcome.ok || outcome.error.code !== "RATE_LIMITED") return outcome;
  return ctx.execution.stage === "preparing" ? new Refusal("OVERLOADED", ctx) : outcome;
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
 * Runs a handler with the payload parsed by the handler's contract. A payload that the contract refuses is a final
 * failure.
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
  return outcome instanceof SchemaRefusal ? new SchemaRefusal(error) : { ok: false, error };
}

/** The message, or the batch, for which a {@link RunEnvelope} is made. */
export interface Logged {
  readonly id: string;
  readonly attempt: number;
  /** Position of the message in the log; `undefined` for a batch. */
  readonly position: number | undefined;
  readonly key: string | undefined;
  readonly meta: LoggedMeta | null | undefined;
  /** Token of the leader that has sent the message; `undefined` for read models, which have no leader. */
  readonly fence: number | undefined;
  /** Time at which the message was stored; see `Envelope.storedAt`. */
  readonly storedAt?: number;
}

/**
 * Identifies a run. `call` is read only when needed. For a request of a leader, it also gives the deadline until
 * which the leader waits.
 */
export interface RunOf {
  readonly envelope: { readonly call: string };
  dueAt?(now: number): number;
}

/**
 * The envelope of a message from the log, for the context of its handler. The object is kept small: one is made for
 * each run.
 */
export class RunEnvelope implements Envelope {
  readonly id: string;
  readonly attempt: number;
  readonly position: number | undefined;
  readonly key: string | undefined;
  readonly fence: number | undefined;
  readonly storedAt: number | undefined;
  readonly #meta: LoggedMeta | null | undefined;
  readonly #run: RunOf;
  #headers: Readonly<Record<string, string>> | undefined = undefined;

  constructor({ id, attempt, position, key, meta, fence, storedAt }: Logged, run: RunOf) {
    this.id = id;
    this.attempt = attempt;
    this.position = position;
    this.key = key;
    this.fence = fence;
    this.storedAt = storedAt;
    this.#meta = meta;
    this.#run = run;
  }

  get call(): string {
    return this.#run.envelope.call;
  }

  senderWaits(now: number): number | undefined {
    return this.#run.dueAt?.(now);
  }

  get due(): number | undefined {
    return this.#meta?.d;
  }

  get correlation(): string | undefined {
    return this.#meta?.c;
  }

  get causation(): string | undefined {
    return this.#meta?.a;
  }

  get ancestry(): readonly string[] {
    return NO_ANCESTRY;
  }

  get headers(): Readonly<Record<string, string>> {
    return this.#headers ??= headersOf(this.#meta);
  }
}

const NO_ANCESTRY: readonly string[] = Object.freeze([]);
