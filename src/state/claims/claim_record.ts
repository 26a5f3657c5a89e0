/**
 * The record stored for the id of an idempotent command: a claim of a running attempt, or the result of the command.
 */
import type { CatgaError } from "../../error.ts";
import { readError, writeError } from "../../dispatch/error_encoding.ts";
import { decodeText, parsedJson, toText } from "../../data/encoding.ts";
import { isTagged } from "../../data/tags.ts";
import { nodeOf } from "../../contract/nodes/subjects.ts";
import { fail, type Failure, type Result } from "../../contract/calls/result.ts";
import { fnv1a } from "../../data/rendezvous_hash.ts";

/** Members of every record: they describe the attempt that wrote it. */
interface AttemptFields {
  /** Fingerprint of the command's payload, which detects that the id is used again with another payload. */
  readonly fingerprint: string;
  /** Random text that identifies the attempt, so that it recognizes its own record after a lost acknowledgement. */
  readonly nonce: string;
  /** Endpoint of the process that runs the attempt. */
  readonly endpoint: string;
}

/** The claim of a running attempt. Its entry expires unless the attempt renews it. */
export interface RunningClaim extends AttemptFields {
  readonly state: "running";
}

/** The recorded result of a command; without `value` and `error`, the result is the value `undefined`. */
export interface DoneClaim extends AttemptFields {
  readonly state: "done";
  readonly value?: unknown;
  readonly error?: unknown;
}

/** Holds the result in place of `value` or `error` if the result's text has tags (marks of values that JSON lacks). */
interface Tagged {
  readonly tagged?: { readonly value?: unknown; readonly error?: unknown };
}

export type ClaimRecord = RunningClaim | DoneClaim;

/** Parses a stored record; `undefined` if the text is no record. */
export function readClaim(text: string): ClaimRecord | undefined {
  const record = parsedJson(text) as (Partial<ClaimRecord> & Tagged) | null | undefined;
  if (typeof record !== "object" || record === null) return undefined;
  const { state, fingerprint, nonce, endpoint } = record;
  if (state !== "running" && state !== "done") return undefined;
  if (![fingerprint, nonce, endpoint].every((part) => typeof part === "string")) return undefined;
  // cast: the members were checked above
  return record.tagged === undefined ? record as ClaimRecord : readTagged(record as DoneClaim & Tagged);
}

function readTagged({ tagged, ...record }: DoneClaim & Tagged): DoneClaim | undefined {
  const { value, error } = tagged ?? {};
  try {
    if (typeof value === "string") return { ...record, value: decodeText(value) };
    if (typeof error === "string") return { ...record, error: decodeText(error) };
  } catch {
    return undefined; // the text was not written by Catga
  }
  return undefined;
}

/** Decodes the result of a command from its record. */
export function resultOf(record: DoneClaim): Result<unknown> {
  if (record.error === undefined) return { ok: true, value: record.value };
  const { endpoint, error } = record;
  return { ok: false, error: readError(error, nodeOf(endpoint)) };
}

/** The text of a {@link DoneClaim}, and the text of the value in it; `undefined` without a value. */
export interface DoneText {
  readonly text: string;
  readonly value: string | undefined;
}

/**
 * Encodes the record of a command's result. Throws `INVALID_RESPONSE` for a value that cannot be sent. Leaves out the
 * details of an error if they exceed `limit` bytes.
 */
export function writeDone(claim: RunningClaim, result: Result<unknown>, limit: number): DoneText {
  const head = `{"state":"done",${fieldsOf(claim)}`;
  if (!result.ok) {
    const error = writeError(result.error, limit);
    const text = isTagged(error) ? `${head},"tagged":${JSON.stringify({ error })}}` : `${head},"error":${error}}`;
    return { text, value: undefined };
  }
  if (result.value === undefined) return { text: `${head}}`, value: undefined };
  const value = toText(result.value, "INVALID_RESPONSE", "the result");
  const member = isTagged(value) ? `"tagged":${JSON.stringify({ value })}` : `"value":${value}`;
  // `join`, because a text of many parts, which a store in memory keeps, would keep each part (V8)
  return { text: [head, ",", member, "}"].join(""), value };
}

/** Decodes the result of a command from the text of its record. */
export function copyOf({ text, value }: DoneText): Result<unknown> {
  // the cast is safe: the text is that of a DoneClaim
  return value === undefined ? resultOf(readClaim(text) as DoneClaim) : { ok: true, value: decodeText(value) };
}

/** Encodes the record of a claim. */
export function writeRunning(claim: RunningClaim): string {
  return `{"state":"running",${fieldsOf(claim)}}`;
}

/** The {@link AttemptFields} as JSON; their characters (letters, digits, `-`, `_` and `.`) need no escape. */
function fieldsOf({ fingerprint, nonce, endpoint }: AttemptFields): string {
  return `"fingerprint":"${fingerprint}","nonce":"${nonce}","endpoint":"${endpoint}"`;
}

/** Makes the final failure that is recorded in place of a result that cannot be recorded. */
export function unfit({ code, message, details }: CatgaError, what: string): Failure {
  return fail(code, `${what}: ${message}`, { final: true, details });
}

// The key of the claim and the result of an idempotent command: `<contract>-<shard>/<id>`.

/** Returns the store's key for a command's id. The key is the same in every version of Catga that shares the bucket. */
export function claimKey(contract: string, id: string): string {
  return `${contract}-${SHARDS[(fnv1a(id) >>> 16) % SHARDS.length]}/${id}`;
}

/**
 * Names of the 64 parts (shards) into which the ids of a contract are divided, so that a waiting attempt watches one
 * part, not the whole bucket.
 */
const SHARDS = Array.from({ length: 64 }, (_, shard) => shard.toString(16).padStart(2, "0"));
