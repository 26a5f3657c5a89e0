/** What the parts of a lock manager share. */
import type { Clock, Random } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { Observer } from "../../contract/observer.ts";
import type { AnswerTimeouts } from "../store/answer_timeouts.ts";
import type { JumpWatch, Stamp } from "../store/lease.ts";
import type { LockKeys } from "./lock_record.ts";
import type { SeenWaiter } from "./lock_view.ts";

/** The manager, as its parts see it. */
export interface LockHost {
  readonly node: string;
  readonly endpoint: string;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly keys: LockKeys;
  readonly jumps: JumpWatch;
  readonly answers: AnswerTimeouts;
  /** Whether it stops: nothing is tried a second time then. */
  readonly closed: boolean;
  /** The bucket of the records, opened at the first call. */
  bucket(): Promise<Bucket>;
  /** Whether this acquisition is held now, in this node. */
  holds(key: string, nonce: string): boolean;
  /** The oldest who waits for a lock, as far as this node knows, apart from the holder `nonce`. */
  next(key: string, nonce: string): SeenWaiter | undefined;
  /** A lock has been handed over by a write of this revision, sent then. */
  handed(waiter: SeenWaiter, revision: number, sent: Stamp): void;
  /** Sees to work that nobody waits for: it is waited for at the end, and observed when it fails. */
  background(during: string, work: Promise<unknown>): void;
}

/** How long an answer of the store is waited for, in ms, before it is asked what became of the write. */
export const ANSWER_LIMIT = 1_500;
