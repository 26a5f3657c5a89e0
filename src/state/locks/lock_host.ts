/** The lock manager as its parts see it: their common dependencies, and the calls between them. */
import type { Observer } from "../../contract/nodes/observer.ts";
import type { Clock, Random, Stamp } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { AnswerTimeouts } from "../store/answer_timeouts.ts";
import type { JumpWatch } from "../store/jump_watch.ts";
import type { LockKeys, LockRecord } from "./lock_record.ts";
import type { SeenWaiter } from "./lock_record_watch.ts";

/** Dependencies of the parts of a lock manager, and what each may ask of the others. */
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
   * node.
   */
  handedOver(waiter: SeenWaiter, granted: GrantedKey): void;
  /**
   * Takes charge of a promise that no caller awaits: `close` waits for it, and its failure is reported to the observer.
   * `during`: names the work in the report.
   */
  background(during: string, work: Promise<unknown>): void;
}

/** The write that made a waiter the holder of a key. */
export interface GrantedKey {
  readonly revision: number;
  /** Time at which the write was sent, if this node has sent it. */
  readonly sent?: Stamp;
  /** True if the record that the write has replaced may have expired: the store may then remove the new one with it. */
  readonly overdue: boolean;
}

/**
 * Time for which a write of a lock record waits for the store's answer, in ms; then the outcome of the write is read.
 */
export const ANSWER_LIMIT = 1_500;
