/**
 * Refusals that an edge (contracts on HTTP) itself makes: a status, a code, and a text that says no more than the
 * caller may know.
 * @decides the status, code and headers of a response when `authorize` denies, by status
 */
import { checkInteger, checkString } from "../data/checks.ts";
import type { EdgeCode } from "./edge_types.ts";

/**
 * A refusal of an HTTP request by an edge, such as `authorize` returns, made by {@link deny}.
 *
 * @example
 * ```ts
 * import { deny, EdgeRefusal } from "@catga/catga/http";
 *
 * const authorize = ({ headers }: Request) => headers.has("authorization") ? "ann" : deny(401);
 * const caller = authorize(new Request("http://localhost/"));
 * console.log(caller instanceof EdgeRefusal && caller.status); // 401
 * ```
 */
export class EdgeRefusal {
  /** Distinguishes a refusal from a caller, also if another copy of Catga made it. */
  readonly "~refusal": true = true;
  /** The HTTP status. */
  readonly status: number;
  /** The code in the problem details (the error as JSON). */
  readonly code: string;
  /** The text in the problem details (the error as JSON). */
  readonly detail: string;
  /** Headers of the HTTP response. */
  readonly headers: Readonly<Record<string, string>>;

  /** Makes the refusal of a request. */
  constructor(status: number, code: string, detail: string, headers: Readonly<Record<string, string>> = {}) {
    this.status = status;
    this.code = code;
    this.detail = detail;
    this.headers = headers;
  }

  /** Makes the HTTP response for the refusal, with problem details (RFC 9457). */
  response(title: string): Response {
    const { status, code, detail } = this;
    const headers = new Headers(this.headers);
    headers.set("content-type", "application/problem+json");
    return new Response(JSON.stringify({ type: "about:blank", title, status, detail, code }), { status, headers });
  }
}

/** Returns true for a refusal, also of another copy of this class. */
export function isEdgeRefusal(value: unknown): value is EdgeRefusal {
  try {
    if (value instanceof EdgeRefusal) return true;
    const { "~refusal": mark, response } = (value ?? {}) as Partial<EdgeRefusal>;
    return mark === true && typeof response === "function";
  } catch {
    return false; // the value is a proxy, or has a getter, that threw
  }
}

/** Makes the refusal of a request that is invalid. */
export function invalidRequest(message: string): EdgeRefusal {
  return new EdgeRefusal(400, "INVALID_MESSAGE", message);
}

/**
 * Makes a refusal for `authorize` to return: 401 (who are you?), 403 (you may not) or 404 (there is nothing).
 *
 * @example
 * ```ts
 * import { deny } from "@catga/catga/http";
 *
 * const authorize = (request: Request) =>
 *   request.headers.get("authorization") === "Bearer secret" ? { id: "ann" } : deny(401);
 * const caller = authorize(new Request("http://localhost/"));
 * console.log("status" in caller && caller.status); // 401
 * ```
 */
export function deny(status: 401 | 403 | 404 = 403, detail?: string): EdgeRefusal {
  checkInteger("deny: status", status, 400, 499);
  const [code, text] = DENIALS[status] ?? ["FORBIDDEN", "this is not allowed"];
  if (detail !== undefined) checkString("deny: detail", detail);
  return new EdgeRefusal(status, code, detail ?? text, status === 401 ? { "www-authenticate": "Bearer" } : {});
}

const DENIALS: Readonly<Record<number, readonly [EdgeCode, string]>> = {
  401: ["UNAUTHORIZED", "the request does not say who sends it"],
  403: ["FORBIDDEN", "this is not allowed"],
  404: ["NOT_FOUND", "there is nothing here"],
};
