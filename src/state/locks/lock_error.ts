/** The failures of locks, in words that help. */
import { CatgaError } from "../../error.ts";
import { printable, printableJson } from "../../data/printable.ts";
import type { LockRecord } from "./lock_record.ts";

/** Who waits for which lock, and who holds it: what stands in the `details` of a `DEADLOCK`. */
export interface DeadlockEdge {
  /** The run that waits, and its node. */
  readonly call: string;
  readonly node: string;
  readonly waitsFor: string;
  readonly heldBy: { readonly call: string; readonly node: string };
}

/** It did not come in time. */
export function lockTimeout(key: string, waited: number, now: number, holder: LockRecord | undefined): CatgaError {
  const time = waited === 0 ? "is taken" : `did not come free within ${ms(waited)}`;
  const held = holder === undefined
    ? "others wait for it"
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

/** The caller does not want it any more. */
export function lockCancelled(key: string, waited: number, cause: unknown): CatgaError {
  return new CatgaError("CANCELLED", `the caller gave up waiting for the lock ${quote(key)} after ${ms(waited)}`, {
    details: { key, waited },
    cause,
  });
}

/** It is somebody else's, or may be. */
export function lockLost(key: string, why: string, node: string): CatgaError {
  return new CatgaError(
    "LOCK_LOST",
    `node ${node} has lost the lock ${quote(key)}: ${why}; stop what it protects, and let resources refuse its token`,
    { retryable: true, details: { key } },
  );
}

/** The store does not answer, and so nobody knows whose it is. */
export function lockUnavailable(key: string, waited: number, cause: unknown): CatgaError {
  return new CatgaError("UNAVAILABLE", `the store of locks did not answer within ${ms(waited)} (for ${quote(key)})`, {
    retryable: true,
    details: { key, waited },
    cause,
  });
}

/** This node stops. */
export function locksClosed(key: string): CatgaError {
  return new CatgaError("CLOSED", `the app stops, and waits no longer for the lock ${quote(key)}`, {
    details: { key },
  });
}

/** Waiting would never end: `cycle` says why, the one that fails first. */
export function deadlock(cycle: readonly DeadlockEdge[]): CatgaError {
  const [{ call, node, waitsFor, heldBy }] = cycle;
  const story = cycle.length > 1
    ? cycle.map((edge) => printable(`${edge.call} waits for ${quote(edge.waitsFor)}, held by ${edge.heldBy.call}`))
      .join("; ")
    : call === heldBy.call
    ? `${call} holds it already, and a lock cannot be taken twice by the same run`
    : printable(`${heldBy.call} on node ${heldBy.node} holds it, and waits for ${call} to end`);
  const advice = cycle.length > 1 ? "; take the keys together, or in one order everywhere" : "";
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
  return printableJson(key.length > 80 ? `${key.slice(0, 80)}…` : key)!; // of a string there is one
}
