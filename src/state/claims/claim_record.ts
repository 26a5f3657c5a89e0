/** What stands in the store under the id of an idempotent command: that it runs, or what came of it. */
import type { CatgaError } from "../../error.ts";
import { readError, writeError } from "../../dispatch/error_text.ts";
import { toJson } from "../../data/json.ts";
import { fail, type Failure, type Result } from "../../contract/result.ts";

/** What all records say of the attempt that wrote them. */
interface Attempt {
  /** Of the payload: another one under the same id is refused. */
  readonly fingerprint: string;
  /** Tells this attempt from all others, when its acknowledgement got lost. */
  readonly nonce: string;
  /** The process that made it. */
  readonly endpoint: string;
}

/** An attempt that runs, as long as its entry lives. */
export interface RunningClaim extends Attempt {
  readonly state: "running";
}

/** A recorded result; without a value and an error the value is `undefined`. */
export interface DoneClaim extends Attempt {
  readonly state: "done";
  readonly value?: unknown;
  readonly error?: unknown;
}

export type ClaimRecord = RunningClaim | DoneClaim;

/** A record that was read; `undefined` for a text that is none. */
export function readClaim(text: string): ClaimRecord | undefined {
  let record: Partial<ClaimRecord> | null;
  try {
    record = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof record !== "object" || record === null) return undefined;
  const { state, fingerprint, nonce, endpoint } = record;
  if (state !== "running" && state !== "done") return undefined;
  if (![fingerprint, nonce, endpoint].every((part) => typeof part === "string")) return undefined;
  // checked right above
  return record as ClaimRecord;
}

/** The recorded result, as everybody gets it who asks. */
export function resultOf(record: DoneClaim): Result<unknown> {
  if (record.error === undefined) return { ok: true, value: record.value };
  const { endpoint, error } = record;
  return { ok: false, error: readError(error, endpoint.slice(0, endpoint.indexOf("."))) };
}

/**
 * A record with a result. Throws a `CatgaError` `INVALID_RESPONSE` for a value that JSON cannot encode. What an error's
 * details have above `limit` bytes is left out.
 */
export function writeDone(claim: RunningClaim, result: Result<unknown>, limit: number): string {
  const { fingerprint, nonce, endpoint } = claim;
  const done: DoneClaim = { state: "done", fingerprint, nonce, endpoint };
  const head = JSON.stringify(done).slice(0, -1);
  if (!result.ok) return `${head},"error":${writeError(result.error, limit)}}`;
  if (result.value === undefined) return `${head}}`;
  return `${head},"value":${toJson(result.value, "INVALID_RESPONSE", "the result")}}`;
}

/** The failure that is kept in place of a result that cannot be. */
export function unfit({ code, message, details }: CatgaError, what: string): Failure {
  return fail(code, `${what}: ${message}`, { final: true, details });
}
