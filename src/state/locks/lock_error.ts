/** Makes the errors of locks. */
import { CatgaError, unavailable } from "../../error.ts";
import { thrownMessage } from "../../data/cause_text.ts";
import { printable, printableJson } from "../../data/printable.ts";
import type { LockKeys, LockRecord } from "./lock_record.ts";
import type { SeenWaiter } from "./lock_record_watch.ts";
import type { Clock, Random, Stamp } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { Observer } from "../../contract/observer.ts";
import type { AnswerTimeouts } from "../store/answer_timeouts.ts";
import type { JumpWatch } from "../store/jump_watch.ts";

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

/** Makes the error `LOCK_LOST`: another node holds the lock, or may hold it. */
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
  return printableJson(key.length > 80 ? `${key.slice(0, 80)}…` : key)!; // never `undefined`: each string has a JSON text
}

// The lock manager as its parts see it: common dependencies, and calls between the parts.

export interface LockHost {
  /** Id of this node; `endpoint`: its process. */
  readonly node: string;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly random: Random;
  /** Called with failures of work in the background. */
  readonly observer: Observer;
  readonly keys: LockKeys;
  readonly jumps: JumpWatch;
  readonly answers: AnswerTimeouts;
  /** Aborts when the lock manager closes; failed operations are then not repeated. */
  readonly closing: AbortSignal;
  /** Opens the bucket of the lock records at the first call, and returns it. */
  bucket(): Promise<Bucket>;
  /** Returns the holder of a key, if this node knows it. */
  holder(key: string): LockRecord | undefined;
  /** Returns true if this node holds the key, acquired under the given nonce. */
  holds(key: string, nonce: string): boolean;
  /** Returns the oldest waiter for a key that this node knows of, except the waiter `nonce`. */
  next(key: string, nonce: string): SeenWaiter | undefined;
  /**
   * Call after this node has handed a key over to `waiter`: the waiter becomes the holder at once if it is in this
   * node. `revision`, `sent`: revision, and time of sending, of the write that made the waiter the holder.
   */
  handedOver(waiter: SeenWaiter, revision: number, sent: Stamp): void;
  /**
   * Takes charge of a promise that no caller awaits: `close` waits for it, and its failure is reported to the observer.
   * `during`: names the work in the report.
   */
  background(during: string, work: Promise<unknown>): void;
}

/**
 * Time for which a write of a lock record waits for the store's answer, in ms; then the outcome of the write is read.
 */
export const ANSWER_LIMIT = 1_500;
