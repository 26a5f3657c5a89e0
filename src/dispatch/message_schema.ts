/** Runs the schemas of a contract: on the payload before the handler is called, on the answer after it has returned. */
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { Failure, Result } from "../contract/calls/result.ts";
import { andThen, type MaybePromise, schemaThrew, validate } from "../contract/schemas/schema.ts";
import { abandoned, failure, NOT_PREPARED, notBegun, type Outcome, Refusal, VersionRefusal } from "./outcome.ts";
import type { MessageContext } from "./message_context.ts";
import type { CatgaError } from "../error.ts";

/**
 * Returns the payload as the handler receives it, or the failure `INVALID_MESSAGE`.
 * @decides the input and output of a handler pass the contract's schemas
 */
export function parsePayload(contract: AnyContract, payload: unknown): MaybePromise<Result<unknown>> {
  const { input } = contract.options;
  return input === undefined
    ? { ok: true, value: payload }
    : validate(input, payload, "INVALID_MESSAGE", contract.name);
}

/**
 * Returns the answer as the sender receives it, or the failure `INVALID_RESPONSE`; a failure of the handler stays as it
 * is.
 */
export function parseAnswer(contract: AnyContract, result: Result<unknown>): MaybePromise<Result<unknown>> {
  const { output } = contract.options;
  return output === undefined || !result.ok
    ? result
    : validate(output, result.value, "INVALID_RESPONSE", contract.name);
}

/**
 * Calls a handler with the parsed payload, at once if the schema is synchronous. If the message is aborted while the
 * schema runs, the handler is not called. `id`: the message's id, if it is part of a batch.
 */
export function withParsedPayload(
  contract: AnyContract,
  payload: unknown,
  ctx: MessageContext,
  run: (parsed: unknown) => MaybePromise<Outcome>,
  id?: string,
): MaybePromise<Outcome> {
  const parsed = parsePayload(contract, payload);
  if (!(parsed instanceof Promise)) return parsed.ok ? run(parsed.value) : refusedBySchema(ctx, parsed, id);
  ctx.execution.stage = "preparing";
  return orRefusal(ctx, parsed).then((checked) => {
    if (checked instanceof Refusal) return checked;
    if (!checked.ok) return refusedBySchema(ctx, checked, id);
    if (ctx.aborted !== undefined) return refusalOf(ctx, ctx.aborted);
    ctx.execution.stage = "handler";
    return run(checked.value);
  });
}

/**
 * Returns the outcome of a message whose payload the schema did not accept: a refusal, which lets another node try; a
 * failure if the schema threw.
 */
function refusedBySchema(ctx: MessageContext, { error }: Failure, id: string | undefined): Failure {
  const isRefusal = error.code === "INVALID_MESSAGE" && !schemaThrew(error);
  return isRefusal ? new VersionRefusal(error) : ctx.checkedBy("input", { ok: false, error } as const, id);
}

/** Returns the outcome for a sender in this process: with the answer parsed by the contract's schema. */
export function withParsedAnswer(
  contract: AnyContract,
  handled: MaybePromise<Outcome>,
  ctx: MessageContext,
): MaybePromise<Outcome> {
  return andThen(handled, (outcome) => parseOutcome(contract, outcome, ctx));
}

/**
 * Returns the outcome for a sender in another process, which parses the answer itself: the unchanged outcome, or
 * `INVALID_RESPONSE` if the schema refuses the answer.
 */
export function withCheckedAnswer(
  contract: AnyContract,
  handled: MaybePromise<Outcome>,
  ctx: MessageContext,
): MaybePromise<Outcome> {
  return andThen(handled, (outcome) =>
    outcome instanceof Refusal || !outcome.ok ? outcome : andThen(
      parseOutcome(contract, outcome, ctx),
      (checked) => checked instanceof Refusal || checked.ok ? outcome : ctx.checkedBy("output", checked),
    ));
}

/**
 * Parses the answer of a handler by the contract's schema. If the message is aborted while the schema runs, the outcome
 * of a command is unknown.
 */
function parseOutcome(contract: AnyContract, outcome: Outcome, ctx: MessageContext): MaybePromise<Outcome> {
  if (outcome instanceof Refusal) return outcome;
  const answer = parseAnswer(contract, outcome);
  return answer instanceof Promise
    ? ctx.execution.until<Outcome>(answer, (reason) => abandoned(contract, reason))
    : answer;
}

// Schemas and behaviors that run before a handler: if the message is aborted while they run, its handler is not called.

/**
 * Resolves with the outcome of `work`, a schema or behavior that runs before the handler. If the message is aborted
 * before its handler has begun, resolves at once, with {@link refusalOf}, because then the handler will not begin.
 */
export function orRefusal(ctx: MessageContext, work: Promise<Outcome>): Promise<Outcome> {
  const { execution } = ctx;
  if (execution.aborted !== undefined && execution.stage === "preparing") {
    return Promise.resolve(refusalOf(ctx, execution.aborted));
  }
  return new Promise((resolve) => {
    // `Execution.until()` is not used, because it makes an object that takes twice as long, and every message with a
    // behavior comes here
    execution.drop = (reason) => resolve(refusalOf(ctx, reason));
    work.then(resolve);
  });
}

/**
 * The outcome of a message that was aborted before its handler began: a refusal (the handler did not run), with two
 * exceptions that are failures. First, a message of the log that timed out: after a refusal it would be tried without
 * end, and would probably time out each time. Second, a message whose own deadline has not passed, because the behavior
 * `timeout()` gave it less time.
 */
export function refusalOf(ctx: MessageContext, reason: CatgaError): Outcome {
  const { contract, node, position, clock } = ctx;
  if (reason.code === "TIMEOUT" && position !== undefined) {
    const { kind, name } = contract;
    const message =
      `${kind} ${name} did not run on node ${node}: a schema or behavior before its handler did not end within its timeout`;
    return failure("TIMEOUT", message, { node });
  }
  if (reason.code === "TIMEOUT" && ctx.remaining(clock.monotonic()) > 0) {
    return notBegun(contract, reason, NOT_PREPARED);
  }
  return new Refusal(reason.code === "CLOSED" ? "DRAINING" : "LATE", ctx);
}
