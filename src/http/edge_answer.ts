/**
 * HTTP responses of an edge to calls: the result as JSON, or as values with tags (which keep types that JSON lacks) for
 * Catga's client.
 */
import type { Result } from "../contract/calls/result.ts";
import { encodeValue, toJson } from "../data/encoding.ts";
import { problemValue } from "./problem_value.ts";
import { VALUES } from "./request_input.ts";
import { failureStatus, problem, respond, retryAfter } from "./respond.ts";

/** Facts on which a response depends besides the result. */
export interface AnswerOptions {
  /** True if the client accepts values with tags, which keep types that JSON lacks. */
  readonly values: boolean;
  readonly failures: Readonly<Record<string, number>>;
  readonly status?: number;
  readonly headers?: Readonly<Record<string, string>>;
  /** True if a failure is the end of a run: its response says so, because another request would get the same. */
  readonly ended?: boolean;
}

/** Makes the HTTP response for a result. It never shows a cause, a node or a stack. */
export function answer(
  result: Result<unknown>,
  { values, failures, status, headers, ended = false }: AnswerOptions,
): Response {
  if (result.ok && result.value !== undefined && !values) {
    const text = toJson(result.value, "INVALID_RESPONSE", "the value");
    const json = headers === undefined ? JSON_TYPE : { ...headers, ...JSON_TYPE };
    return new Response(text, { status: status ?? 200, headers: json });
  }
  if (result.ok ? result.value === undefined : !values && !ended) {
    return respond(result, { failures, headers: headers ?? {}, ...(status === undefined ? {} : { status }) });
  }
  const made = { ...headers, "content-type": VALUES };
  if (result.ok) return new Response(encodeValue(result.value, "result"), { status: status ?? 200, headers: made });
  const { error } = result;
  const failed = failureStatus(error.code, failures);
  if (!ended) {
    const shown = { ...made, ...retryAfter(error, failed) };
    return new Response(problemValue(error, failed), { status: failed, headers: shown });
  }
  const body = values ? problemValue(error, failed, ENDED) : problem(error, failed, ENDED);
  return new Response(body, { status: failed, headers: values ? made : { ...headers, ...PROBLEM_TYPE } });
}

const ENDED = { ended: true };
const PROBLEM_TYPE = { "content-type": "application/problem+json" };
const JSON_TYPE = { "content-type": "application/json" };
