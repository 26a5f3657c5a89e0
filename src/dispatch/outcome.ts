import type { AnyContract } from "../contract/contract.ts";
import { CatgaError } from "../error.ts";
import type { Dropped } from "./admission_queue.ts";
import type { Failure, Result } from "../contract/result.ts";

/** Why a message had no turn: it certainly did not run. */
export type NoTurn = "OVERLOADED" | Dropped;

/** What is said of a message that had no turn. */
interface Refused {
  readonly contract: AnyContract;
  readonly node: string;
}

/**
 * That a message had no turn. No {@link Result}, so that none can be mistaken for it: a handler that hands on what its own
 * send came to has run.
 */
export class Refusal {
  readonly code: NoTurn;
  readonly #ctx: Refused;

  constructor(code: NoTurn, ctx: Refused) {
    this.code = code;
    this.#ctx = ctx;
  }

  /** As a sender in this process is told it. */
  get failure(): Failure {
    const { contract, node } = this.#ctx;
    const code = this.code === "LATE" ? "UNAVAILABLE" : this.code;
    const message = `${contract.kind} ${contract.name} did not run on node ${node}: ${WHY[this.code]}`;
    return { ok: false, error: new CatgaError(code, message, { retryable: code !== "DEADLOCK", node }) };
  }
}

/** What comes of a message at a handler. */
export type Outcome = Result<unknown> | Refusal;

/** An outcome as a sender in this process is told it. */
export function asResult(outcome: Outcome): Result<unknown> {
  return outcome instanceof Refusal ? outcome.failure : outcome;
}

const WHY: Record<NoTurn, string> = {
  OVERLOADED: "it could not have had its turn before its deadline",
  LATE: "it had not begun when it was given up",
  DRAINING: "it had not begun when the node stopped",
  DEADLOCK: "those who have the turn that it waits for wait for it to end",
};
