/** Makes HTTP responses of results. */
import { type AnyCode, type CatgaError, isErrorCode, statusOf } from "../error.ts";
import { isFailure, type Result } from "../contract/calls/result.ts";
import { checkInteger, checkKnown, isPlain, isRecord, isThenable, show } from "../data/checks.ts";
import { toJson } from "../data/encoding.ts";

/** Options of {@link respond}, which makes an HTTP response of a result. */
export interface RespondOptions<F extends string = AnyCode> extends ResponseInit {
  /** HTTP statuses of the handler's own failure codes, 400 to 599. Default: 422. */
  failures?: { readonly [Code in F]?: number } | undefined;
}

/**
 * Makes the HTTP response for a result. For a success: the value as JSON, with the given `status` (default: 200; 204
 * for `undefined`) and `headers`. For a failure: problem details (RFC 9457) with the status of the error's code, and
 * `status`, `title`, `detail`, `code` and `details`; for one of Catga's own codes with a status from 500 on, `detail`
 * and `details` are left out. If another try may help, the header `Retry-After` says after how many s: 1; for an error
 * of the behavior `rateLimit`, the time in its details. Throws a `CatgaError` `INVALID_RESPONSE` for a value of this
 * process that JSON cannot hold.
 *
 * @example
 * ```ts
 * import { fail } from "@catga/catga";
 * import { respond } from "@catga/catga/http";
 *
 * const response = respond(fail("SOLD_OUT", "no tea left"), { failures: { SOLD_OUT: 409 } });
 * console.log(response.status, (await response.json()).code); // 409 SOLD_OUT
 * ```
 */
export function respond<T, F extends string>(result: Result<T, F>, options: RespondOptions<NoInfer<F>> = {}): Response {
  if (!(result?.ok === true ? Object.hasOwn(result, "value") : isFailure(result))) {
    const hint = isThenable(result) ? ": await it" : "";
    throw new TypeError(`respond takes a result; got ${show(result)}${hint}`);
  }
  checkKnown("respond", options, RESPOND_OPTIONS);
  const { failures = {}, status = result.ok && result.value === undefined ? 204 : 200, ...init } = options;
  checkInteger("respond: status", status, 200, 599);
  if (result.ok && result.value !== undefined && [204, 205, 304].includes(status)) {
    throw new RangeError(`respond: status must be a status with a body; got ${status}`);
  }
  checkFailures("respond", failures);
  const headers = new Headers(init.headers);
  if (result.ok) {
    if (result.value === undefined) return new Response(null, { ...init, status });
    if (!headers.has("content-type")) headers.set("content-type", "application/json");
    return new Response(toJson(result.value, "INVALID_RESPONSE", "the value"), { ...init, status, headers });
  }
  const { error } = result;
  const failed = failureStatus(error.code, failures);
  headers.set("content-type", "application/problem+json");
  for (const [name, value] of Object.entries(retryAfter(error, failed))) {
    if (!headers.has(name)) headers.set(name, value);
  }
  return new Response(problem(error, failed), { ...init, status: failed, statusText: "", headers });
}

/**
 * Returns the header `retry-after`, in s: 1, or for an error of the behavior `rateLimit` its `details.retryAfter`.
 * Returns no header if another try would not help.
 */
export function retryAfter({ code, details, retryable }: CatgaError, status: number): Readonly<Record<string, string>> {
  if (status !== 503 && !retryable) return {};
  const limited = code === "RATE_LIMITED" && isRecord(details) ? details.retryAfter : undefined;
  return { "retry-after": `${Number.isSafeInteger(limited) ? Math.max(1, Math.ceil(limited as number / 1_000)) : 1}` };
}

/**
 * Throws if the option `failures` is not an object that maps codes to HTTP statuses of errors. `at`: text at the
 * beginning of the error.
 */
export function checkFailures(at: string, failures: Readonly<Record<string, number | undefined>>): void {
  if (!isPlain(failures)) {
    throw new TypeError(`${at}: failures must be an object like { SOLD_OUT: 409 }; got ${show(failures)}`);
  }
  for (const [code, status = 422] of Object.entries(failures)) {
    checkInteger(`${at}: failures.${code}`, status, 400, 599);
  }
}

/**
 * Returns problem details (RFC 9457) of an error as JSON. For one of Catga's own codes with a status from 500 on, the
 * message and the details of the error are left out: they are only in the log of the node where it happened. `more`:
 * members besides those of the error.
 */
export function problem(error: CatgaError, status: number, more: object = {}): string {
  const { code, message, details } = error;
  const title = titleOf(status);
  const isShown = status < 500 || !isErrorCode(code);
  const text = (shown: object) =>
    toJson({ type: "about:blank", title, status, ...shown, code, ...more }, "INVALID_RESPONSE", "the failure");
  try {
    return text(isShown ? { detail: message, details } : {});
  } catch {
    return text({ detail: message }); // without the details, which cannot be sent
  }
}

/**
 * Returns the HTTP status of an error with this code. `failures`: the program's statuses of failure codes, which have
 * precedence.
 */
export function failureStatus(code: string, failures: Readonly<Record<string, number | undefined>> = {}): number {
  const own = Object.hasOwn(failures, code) ? failures[code] : undefined;
  if (own !== undefined) return own;
  return code === "NO_HANDLER" ? 503 : statusOf({ code }); // 503, not 404: the address is right, the service is missing
}

const RESPOND_OPTIONS = new Set(["status", "statusText", "headers", "failures"]);

/** Returns the title (reason phrase) of an HTTP status. */
export function titleOf(status: number): string {
  return TITLES[status] ?? (status < 500 ? "Request Failed" : "Server Error");
}

const TITLES: Readonly<Record<number, string>> = {
  400: "Bad Request",
  401: "Unauthorized",
  402: "Payment Required",
  403: "Forbidden",
  404: "Not Found",
  405: "Method Not Allowed",
  408: "Request Timeout",
  409: "Conflict",
  410: "Gone",
  413: "Content Too Large",
  415: "Unsupported Media Type",
  422: "Unprocessable Content",
  429: "Too Many Requests",
  499: "Client Closed Request",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
  504: "Gateway Timeout",
};
