/**
 * Tells the failure that a run has given as its answer to a question from a failure to ask it: another call with the
 * question's id gets the former again, whatever its code, and may help after the latter.
 */
import type { CatgaError } from "../../error.ts";
import type { Result } from "./result.ts";

/** Marks the failure of a result of a question as the answer that the run has recorded. Returns the result. */
export function asAnswer(result: Result<unknown>): Result<unknown> {
  if (!result.ok) ANSWERS.add(result.error);
  return result;
}

/** Returns true if a run has recorded this failure as its answer to a question. */
export function isAnswer(error: CatgaError): boolean {
  return ANSWERS.has(error);
}

/** Failures that are answers of runs. */
const ANSWERS = new WeakSet<CatgaError>();
