/** Makes the errors of locks. */
import { CatgaError, unavailable } from "../../error.ts";
import { thrownMessage } from "../../data/cause_text.ts";
import { printable, printableJson } from "../../data/printable.ts";
import type { LockRecord } from "./lock_record.ts";

/** A wait in a cycle, in the `details.cycle` of a `DEADLOCK` error: the waiter, and the holder that it waits for. */
export interface DeadlockEdge {
  /** The run that waits; `node`: the node on which it runs. */
  readonly call: string;
  readonly node: string;
  readonly waitsFor: string;
  readonly heldBy: { readonly call: string; readonly node: string };
}

/** Makes the error `LOCK_TIMEOUT`: the lock was not free in time. */
export function lockTimeout(key: string, waited: number, now: number, holder: LockRecord | undefined): CatgaError {
  const time = waited === 0 ? "is taken" : `did not come free within ${ms(waited)}`;
  const held = holder === undefined
    ? "others wait for it, or the store had not answered yet"
    : `node ${printable(holder.node)} has held it for ${ms(Math.max(0, now - holder.since))}`;
  return new CatgaError(
    "LOCK_TIMEOUT",
    `the lock ${quote(key)} ${time}: ${held}; give it a longer timeout, or try again`,
    {
      retryable: true,
      details: { key, waited, holder: holder && { node: holder.node, endpoint: holder.endpoint, call: holder.call } },
    },
  );
}

/** Makes the error `CANCELLED`: the caller's signal aborted while it waited for the lock. */
export function lockCancelled(key: string, waited: number, cause: unknown): CatgaError {
  return new CatgaError("CANCELLED", `the caller gave up waiting for the lock ${quote(key)} after ${ms(waited)}`, {
    details: { key, waited },
    cause,
  });
}

/**
 * Makes the error `LOCK_LOST`: another node holds the lock, or may hold it.
 * @decides texts of the errors of locks: `LOCK_LOST`, `DEADLOCK`, timeouts
 */
export function lockLost(key: string, why: string, node: string): CatgaError {
  return new CatgaError(
    "LOCK_LOST",
    `node ${node} has lost the lock ${quote(key)}: ${why}; stop what it protects, and let resources refuse its token`,
    { retryable: true, details: { key } },
  );
}

/** Makes the error `UNAVAILABLE`: the store did not answer, or refused, so the holder of the lock is not known. */
export function lockUnavailable(key: string, waited: number, cause: unknown): CatgaError {
  const message = `the lock ${quote(key)} could not be taken within ${ms(waited)}: ${thrownMessage(cause)}`;
  return unavailable(message, { details: { key, waited }, cause });
}

/** Makes the error `CLOSED`: this node stops. */
export function locksClosed(key: string): CatgaError {
  return new CatgaError("CLOSED", `the app stops, and waits no longer for the lock ${quote(key)}`, {
    details: { key },
  });
}

/** Makes the error `DEADLOCK`: waiting for the lock would never end. `cycle` begins with the waiter that fails. */
export function deadlock(cycle: readonly DeadlockEdge[]): CatgaError {
  const [{ call, node, waitsFor, heldBy }] = cycle;
  const story = cycle.length > 1
    ? cycle.map((edge) => printable(`${edge.call} waits for ${quote(edge.waitsFor)}, held by ${edge.heldBy.call}`))
      .join("; ")
    : call === heldBy.call
    ? `${call} holds it already, and a lock cannot be taken twice by the same run`
    : printable(`${heldBy.call} on node ${heldBy.node} holds it, and waits for ${call} to end`);
  const advice = cycle.length > 1
    ? "; take the keys together, or in one order everywhere"
    : call === heldBy.call
    ? "; use the lock that it has"
    : "; release the lock before the send, or do not await the send";
  return new CatgaError("DEADLOCK", `waiting for the lock ${quote(waitsFor)} would never end: ${story}${advice}`, {
    retryable: cycle.length > 1,
    details: { key: waitsFor, cycle },
    node,
  });
}

function ms(duration: number): string {
  return `${Math.round(duration).toLocaleString("en")} ms`;
}

function quote(key: string): string {
  // never `undefined`: each string has a JSON text
  return printableJson(key.length > 80 ? `${key.slice(0, 80)}…` : key)!;
}
