/** Converts errors to the form that clients of NATS services expect: a message and a number, in headers. */
import type { CatgaError } from "../../error.ts";
import { statusOf } from "../../contract/error_status.ts";
import { printable } from "../../data/printable.ts";

/** Returns the headers that describe an error. Long texts are cut, because the answer's body has them in full. */
export function errorHeaders(error: CatgaError): Record<string, string> {
  return {
    "Nats-Service-Error": line(error.message, MAX_MESSAGE) || error.name,
    "Nats-Service-Error-Code": String(statusOf(error)),
    "Catga-Error-Code": line(error.code, MAX_CODE),
  };
}

/** Returns a text as one line of at most `length` characters that is safe in a header and on a terminal. */
function line(text: string, length: number): string {
  // deno-lint-ignore no-control-regex
  const line = text.slice(0, length).replace(/[\x00-\x1f\x7f]+/g, " ");
  return printable(line).slice(0, length).trim();
}

const MAX_MESSAGE = 512;
const MAX_CODE = 128;
