/** The lock manager as its parts see it: what they share, and what they ask of each other. */
import type { Clock, Random, Stamp } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { Observer } from "../../contract/observer.ts";
import type { AnswerTimeouts, JumpWatch } from "../store/lease.ts";
import type { LockKeys, SeenWaiter } from "./lock_record.ts";

export interface LockHost {
  readonly node: string;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly keys: LockKeys;
  readonly jumps: JumpWatch;
  readonly answers: AnswerTimeouts;
  /** Whether the manager closes: no retries from then on. */
  readonly closed: boolean;
  /** The bucket of the records, opened at the first call. */
  bucket(): Promise<Bucket>;
  /** Whether this node holds a key by the acquisition `nonce`. */
  holds(key: string, nonce: string): boolean;
  /** The oldest waiter of a key that this node knows of, except `nonce`. */
  next(key: string, nonce: string): SeenWaiter | undefined;
  /** To be called after a handover: the write that made the waiter the holder has this revision, and was sent then. */
  handedOver(waiter: SeenWaiter, revision: number, sent: Stamp): void;
  /** Owns a promise that nobody awaits: `close` waits for it, its failure is observed. */
  background(during: string, work: Promise<unknown>): void;
}

/** How long an answer of the store is awaited, in ms, before the write is read back. */
export const ANSWER_LIMIT = 1_500;
