/** The record in the store under the id of an idempotent command: a running attempt, or the recorded result. */
import type { CatgaError } from "../../error.ts";
import { readError, writeError } from "../../dispatch/error_encoding.ts";
import { decodeText, parsedJson, toText } from "../../data/encoding.ts";
import { isTagged } from "../../data/tags.ts";
import { fail, type Failure, type Result } from "../../contract/result.ts";
import { fnv1a } from "../../data/rendezvous_hash.ts";

/** Members of every record about the attempt that wrote it. */
interface AttemptFields {
  /** Fingerprint of the payload: detects reuse of the id with another one. */
  readonly fingerprint: string;
  /** Identifies the attempt, which thus recognizes its claim after a lost acknowledgement. */
  readonly nonce: string;
  /** The process of the attempt. */
  readonly endpoint: string;
}

/** A running attempt; its entry expires unless it is renewed. */
export interface RunningClaim extends AttemptFields {
  readonly state: "running";
}

/** A recorded result; without `value` and `error`: the value `undefined`. */
export interface DoneClaim extends AttemptFields {
  readonly state: "done";
  readonly value?: unknown;
  readonly error?: unknown;
}

/** Used instead of `value` or `error` if the text has tags. */
interface Tagged {
  readonly tagged?: { readonly value?: unknown; readonly error?: unknown };
}

export type ClaimRecord = RunningClaim | DoneClaim;

/** Parses a record; `undefined` if the text is not one. */
export function readClaim(text: string): ClaimRecord | undefined {
  const record = parsedJson(text) as (Partial<ClaimRecord> & Tagged) | null | undefined;
  if (typeof record !== "object" || record === null) return undefined;
  const { state, fingerprint, nonce, endpoint } = record;
  if (state !== "running" && state !== "done") return undefined;
  if (![fingerprint, nonce, endpoint].every((part) => typeof part === "string")) return undefined;
  // its members were checked above
  return record.tagged === undefined ? record as ClaimRecord : readTagged(record as DoneClaim & Tagged);
}

function readTagged({ tagged, ...record }: DoneClaim & Tagged): DoneClaim | undefined {
  const { value, error } = tagged ?? {};
  try {
    if (typeof value === "string") return { ...record, value: decodeText(value) };
    if (typeof error === "string") return { ...record, error: decodeText(error) };
  } catch {
    return undefined; // not written by Catga
  }
  return undefined;
}

/** Decodes the result in a record. */
export function resultOf(record: DoneClaim): Result<unknown> {
  if (record.error === undefined) return { ok: true, value: record.value };
  const { endpoint, error } = record;
  return { ok: false, error: readError(error, endpoint.slice(0, endpoint.indexOf("."))) };
}

/**
 * Encodes a record with a result. Throws `INVALID_RESPONSE` for a value that cannot be sent; leaves out the details of
 * an error if they exceed `limit` bytes.
 */
export function writeDone(claim: RunningClaim, result: Result<unknown>, limit: number): string {
  const { fingerprint, nonce, endpoint } = claim;
  const done: DoneClaim = { state: "done", fingerprint, nonce, endpoint };
  const head = JSON.stringify(done).slice(0, -1);
  if (!result.ok) {
    const error = writeError(result.error, limit);
    return isTagged(error) ? `${head},"tagged":${JSON.stringify({ error })}}` : `${head},"error":${error}}`;
  }
  if (result.value === undefined) return `${head}}`;
  const value = toText(result.value, "INVALID_RESPONSE", "the result");
  return isTagged(value) ? `${head},"tagged":${JSON.stringify({ value })}}` : `${head},"value":${value}}`;
}

/** Makes the final failure that is recorded instead of a result that cannot be recorded. */
export function unfit({ code, message, details }: CatgaError, what: string): Failure {
  return fail(code, `${what}: ${message}`, { final: true, details });
}

// The key of the claim and the result of an idempotent command: `<contract>-<shard>/<id>`.

/** Returns the key of an id, which is the same in every version of Catga that shares the bucket. */
export function claimKey(contract: string, id: string): string {
  const shard = (fnv1a(id) >>> 16) % SHARDS;
  return `${contract}-${shard.toString(16).padStart(2, "0")}/${id}`;
}

/**
 * Number of parts into which the ids of a contract are divided: a waiting attempt watches one part, not the whole
 * bucket.
 */
const SHARDS = 64;
