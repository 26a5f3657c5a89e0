/** The outcome of a message at a handler: the handler's result, or a refusal, which promises that the handler did not run. */
import type { AnyContract } from "../contract/contract.ts";
import type { Failure, Result } from "../contract/result.ts";
import { CatgaError } from "../error.ts";
import type { Dropped } from "./admission_queue.ts";

/** The outcome of a message at a handler. */
export type Outcome = Result<unknown> | Refusal;

/** The outcome as a `Result`: a refusal becomes an error. */
export function asResult(outcome: Outcome): Result<unknown> {
  return outcome instanceof Refusal ? outcome.failure : outcome;
}

/** Why a message was refused: it certainly did not run. */
export type RefusalCode = "OVERLOADED" | Dropped;

/**
 * The outcome of a message whose handler did not run. It is no {@link Result}, so that no result can be taken for it: a
 * handler that returns the failure of a send of its own has run.
 */
export class Refusal {
  readonly code: RefusalCode;
  readonly #ctx: Refused;

  constructor(code: RefusalCode, ctx: Refused) {
    this.code = code;
    this.#ctx = ctx;
  }

  /** The failure that a sender in this process receives. */
  get failure(): Failure {
    const { contract, node } = this.#ctx;
    const code = this.code === "LATE" ? "UNAVAILABLE" : this.code;
    const message = `${contract.kind} ${contract.name} did not run on node ${node}: ${WHY[this.code]}`;
    return { ok: false, error: new CatgaError(code, message, { retryable: code !== "DEADLOCK", node }) };
  }
}

/** What a refusal is about. */
interface Refused {
  readonly contract: AnyContract;
  readonly node: string;
}

const WHY: Record<RefusalCode, string> = {
  OVERLOADED: "it could not have had its turn before its deadline",
  LATE: "it had not begun when it was given up",
  DRAINING: "it had not begun when the node stopped",
  DEADLOCK: "those who have the turn that it waits for wait for it to end",
};
