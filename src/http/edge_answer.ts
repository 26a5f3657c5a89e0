/** Responses of an edge: results as JSON, or as values with tags for Catga's client. */
import { isErrorCode } from "../error.ts";
import type { CatgaError } from "../error.ts";
import type { Result } from "../contract/result.ts";
import { encodeValue } from "../data/encoding.ts";
import { VALUES } from "./request_input.ts";
import { httpStatus, problem, respond, retryAfter } from "./respond.ts";

/** What an answer depends on besides the result. */
export interface AnswerOptions {
  /** The client takes values with tags. */
  readonly values: boolean;
  readonly failures: Readonly<Record<string, number>>;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
}

/** The response to a result. A client never sees a cause, a node or a stack. */
export function answer(result: Result<unknown>, { values, failures, status, headers }: AnswerOptions): Response {
  if (!values || (result.ok && result.value === undefined)) {
    return respond(result, { failures, headers: headers ?? {}, ...(status === undefined ? {} : { status }) });
  }
  const made = { ...headers, "content-type": VALUES };
  if (result.ok) return new Response(encodeValue(result.value, "result"), { status: status ?? 200, headers: made });
  const { error } = result;
  const failed = failures[error.code] ?? httpStatus(error);
  return new Response(problemValue(error, failed), {
    status: failed,
    headers: { ...made, ...retryAfter(error, failed) },
  });
}

/** Problem details as a value with tags, so that details arrive as what they were. */
export function problemValue(error: CatgaError, status: number): string {
  const { code, message, details, retryable } = error;
  const isShown = status < 500 || !isErrorCode(code);
  try {
    return encodeValue({ status, code, retryable, ...(isShown ? { detail: message, details } : {}) }, "problem");
  } catch {
    return problem(error, status); // details that cannot be sent
  }
}
