/**
 * One attempt of a step that sends a command or a query, and the step's outcome, which follows from the result of the
 * send.
 * @decides a step that sends: after which result it is sent again, becomes stuck, or has its outcome, also after
 * `OUTCOME_UNKNOWN`
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { MessageHeaders } from "../../contract/declaration/behavior.ts";
import { isErrorCode } from "../../error.ts";
import type { DriveState } from "./drive_state.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { decided, DecidedFailure, recorded, TRANSIENT, TransientError } from "../stored/recorded_error.ts";
import { copyOf } from "../stored/recorded_value.ts";
import type { AttemptWork, StepAttempt } from "./step_attempt.ts";

/**
 * Returns the work of an attempt, which sends the message once, with this `timeout` in ms. It resolves with the outcome
 * of the step: a value, or a failure that the handler chose. It rejects with {@link TransientError} if another attempt
 * may help, with {@link DecidedFailure} if no other attempt can help, and with the error of a handler that threw.
 */
export function sending(state: DriveState, contract: AnyContract, payload: unknown, timeout: number): AttemptWork {
  return (attempt, headers) => send(state, contract, payload, attempt, { timeout, headers });
}

async function send(
  { host, journal, leaving }: DriveState,
  contract: AnyContract,
  payload: unknown,
  { id, signal, fresh, mayHaveRun }: StepAttempt,
  { timeout, headers }: { readonly timeout: number; readonly headers: MessageHeaders | undefined },
): Promise<RecordedOutcome> {
  const { app, log } = host;
  // with `firstSent`, an entity checks whether an earlier send of the command was applied already, and a node whose
  // version of the command is not idempotent does not run it
  const isAgain = app.ofEntity(contract) ? !fresh : contract.options.idempotent && mayHaveRun;
  const again = isAgain ? { firstSent: firstSentOf(host, journal) } : {};
  const result = await app.send(contract, payload, { id, signal, timeout, headers, ...again });
  if (result.ok) return { ok: true, value: copyOf(result.value, `the answer of ${contract.name}`, log.mostBytes) };
  const { error } = result;
  if (!isErrorCode(error.code) || contract.options.failures?.includes(error.code)) {
    return { ok: false, error: decided(error, contract.name, log.mostBytes) };
  }
  if (error.code === "CLOSED" && (error.node === undefined || leaving)) throw error;
  if (TRANSIENT.has(error.code) || signal.aborted) throw new TransientError(error);
  if (error.code === "OUTCOME_UNKNOWN" || error.code === "CANCELLED") {
    const { kind, options: { idempotent } } = contract;
    if (kind === "query" || idempotent || app.ofEntity(contract)) throw new TransientError(error);
    throw new DecidedFailure(recorded(error));
  }
  if (error.code === "HANDLER_FAILED") throw error;
  throw new DecidedFailure(recorded(error));
}

/**
 * Returns the start of the run by this node's wall clock, from which the send computes how long ago that was. The
 * journal has it by the NATS server's clock, from which the node's may differ by any time.
 */
function firstSentOf({ app, clock }: DriveState["host"], { startedAt }: DriveState["journal"]): Date {
  return new Date(app.clock.now() - (clock.now() - startedAt) - INACCURACY);
}

/** Maximum error of this node's measurement of the NATS server's clock, in ms. */
const INACCURACY = 2_000;
