/**
 * A claim that a process holds while it runs the handler of an idempotent command: the claim is renewed during the run,
 * then replaced by the result or removed. The nonce in the entry shows which attempt has the claim, even if
 * acknowledgements are lost; compare-and-set decides every race. Another attempt may have the claim when the run ends,
 * as after a standstill of this process: the first result counts.
 */
import { backoff, between, type Clock, delay, doubled, type Random, type Stamp, stamp } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import { Deadlined, type DeadlineWheel } from "../../ports/deadline_wheel.ts";
import { isCatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { AnswerTimeouts } from "../store/answer_timeouts.ts";
import type { JumpWatch, Leased } from "../store/jump_watch.ts";
import { staleAnswer } from "../store/ambiguous_writes.ts";
import { LeasedEntry } from "../store/leased_entry.ts";
import { type ClaimRecord, readClaim, type RunningClaim, writeRunning } from "./claim_record.ts";

/** Longest pause of a process during which no other attempt runs, in ms; docs/state.md promises it. */
const MAX_PROCESS_PAUSE = 15_000;
/** Interval between renewals of a claim, in ms. A pause of the process may begin right before a renewal. */
const RENEWAL = 3_000;
/** Time that the renewal after the longest pause may take, in ms: until timers run and the store has the renewal. */
const RENEWAL_TIMEOUT = 2_000;
/** Time to live of a claim in the store, in ms: the time for which the claim outlives its process. */
export const LEASE = MAX_PROCESS_PAUSE + RENEWAL + RENEWAL_TIMEOUT;
/**
 * Maximum age of a claim, in ms, at which its handler may begin: the claim then still lives for the longest pause of a
 * process ({@link MAX_PROCESS_PAUSE}), so that no other attempt begins during such a pause.
 */
export const FRESH = LEASE - MAX_PROCESS_PAUSE;
/**
 * Mean pause after a failed renewal, in ms, varied at random by half of it, so that a renewal follows soon after a lost
 * connection is back.
 */
const RETRY_DELAY = 500;
/**
 * Time for which a renewal waits for its answer, in ms; after this time the entry is read. A renewal without a
 * connection fails at once.
 */
const ANSWER_LIMIT = 3_000;
/**
 * Returns the timeout of a claim's write after the given number of failures, in ms. It grows, because a store may be
 * slow; it is short at first, because a leader of the stream that is deposed during the write never answers.
 */
export const answerLimit = (failures: number): number => doubled(failures, 2_000, 8_000);

/**
 * Outcome of the last write of a claim. `done`: it was stored; `lost`: another attempt has the claim; `unknown`: the
 * store does not answer.
 */
export type Ending = "done" | "lost" | "unknown";

/** Dependencies of a {@link HeldClaim}. */
export interface ClaimStore {
  readonly bucket: () => MaybePromise<Bucket>;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  readonly jumps: JumpWatch;
  readonly answers: AnswerTimeouts;
  readonly random: Random;
  readonly observer: Observer;
  /** Aborts when the store closes; claims are then no longer renewed, and writes not repeated. */
  readonly closing: AbortSignal;
}

/** A claim that was acquired: its revision, the time at which its write was sent, and the present time. */
export interface Acquired {
  readonly revision: number;
  readonly sent: Stamp;
  readonly now: Stamp;
}

/**
 * A claim held by this process. It is renewed from its construction until it is kept (replaced by a result) or freed,
 * or until another attempt has it.
 */
export class HeldClaim extends Deadlined implements Leased {
  /** Fencing token: the revision of the claim's first write. Each later acquisition of the id has a greater one. */
  readonly fence: number;
  readonly #store: ClaimStore;
  readonly #claim: RunningClaim;
  readonly #entry: LeasedEntry;
  readonly #onLost: (why: string) => void;
  #lost = false;
  /** True while a result is written, which replaces any attempt's claim. */
  #keeping = false;
  #renewing: Promise<void> | undefined;
  #ended = false;

  /** `onLost` is called, at most once, when another attempt may run; it is not called after `keep` or `free`. */
  constructor(store: ClaimStore, key: string, claim: RunningClaim, acquired: Acquired, onLost: (why: string) => void) {
    super(0);
    this.#store = store;
    this.#claim = claim;
    this.#onLost = onLost;
    this.fence = acquired.revision;
    const isOwn = (text: string) => {
      const record = readClaim(text);
      // a result whose acknowledgement was lost is written again if it may have replaced an expired claim
      // (`leased_entry.ts`)
      if (record?.nonce === claim.nonce) return record.state === "running" || this.#entry.left <= 0;
      return this.#keeping && record?.state === "running";
    };
    this.#entry = new LeasedEntry(store, key, LEASE, { ...acquired, isOwn });
    store.jumps.add(this);
    this.#scheduleRenewal(acquired.now);
  }

  /** True if another attempt has the claim, or may have it. */
  get lost(): boolean {
    return this.#lost;
  }

  /**
   * Gives the claim up if its lease may have ended, by the wall clock or the monotonic clock, whichever has advanced
   * more.
   */
  check(now: Stamp = stamp(this.#store.clock)): void {
    if (this.#entry.leftAt(now) <= 0) this.#lose(this.#entry.overdue);
  }

  /**
   * Stores the command's result, which is kept for `ttl` ms, in place of the claim, of another attempt's claim, or of
   * an expired one: the first result of an id counts, also that of a process that has stood still for longer than its
   * lease. Resolves with `"lost"` if another result was stored before. Rejects with `TOO_LARGE` if the result does not
   * fit; the claim then stays. `now`: a moment before the call, if the caller has just read the clocks.
   */
  keep(text: string, ttl: number, now?: Stamp): Promise<Ending> {
    this.#keeping = true;
    const { key } = this.#entry;
    return this.#end(
      now,
      (bucket, revision) =>
        revision === 0 ? bucket.create(key, text, { ttl }) : bucket.update(key, text, revision, { ttl }),
      // the nonce shows that an earlier try has written the result
      (record) => record?.nonce === this.#claim.nonce ? "done" : "lost",
    );
  }

  /** Removes the claim, so that another attempt can run. Resolves with `"lost"` if another attempt has it already. */
  free(): Promise<Ending> {
    return this.#end(
      undefined,
      (bucket, revision) => bucket.delete(this.#entry.key, { revision }),
      (record) => record === undefined ? "done" : "lost",
    );
  }

  /** Performs the last write of the claim. Repeats it until its outcome is known or the time of a lease has passed. */
  async #end(
    now: Stamp | undefined,
    write: (bucket: Bucket, revision: number) => Promise<number | boolean | undefined>,
    verdict: (found: ClaimRecord | undefined) => Ending,
  ): Promise<Ending> {
    const { clock, random, closing } = this.#store;
    this.#stop();
    // wait for a running renewal, because it changes the revision
    if (this.#renewing !== undefined) await this.#renewing;
    const began = now ?? stamp(clock);
    const end = began.monotonic + LEASE;
    for (let failures = 0;; failures++) {
      try {
        const made = await this.#entry.change(answerLimit(failures), write, failures === 0 ? began : undefined);
        if (made === "written") return "done";
        if (made.found !== undefined || !this.#keeping) return verdict(made.found && readClaim(made.found.value));
        // the claim has expired, and nobody has another; after a refused creation the store is removing it still
        if (this.#entry.revision === 0) throw staleAnswer();
        this.#entry.forget();
      } catch (error) {
        if (!isCatgaError(error) || error.code === "TOO_LARGE") throw error;
        if (error.code !== "UNAVAILABLE" || closing.aborted || clock.monotonic() > end) return "unknown";
        await delay(clock, backoff(random, failures, ...PAUSES.claim), closing).catch(() => {});
      }
    }
  }

  /** Renews the claim when a renewal is due; gives the claim up when its lease ends during a renewal. */
  override expire(): void {
    this.check();
    if (this.#renewing !== undefined) return;
    const { observer } = this.#store;
    this.#renewing = this.#renew().catch((error) => {
      if (!isCatgaError(error) || error.code !== "CLOSED") {
        observer({ type: "fault", during: "renewing a claim", error });
      }
      this.#lose("it cannot be renewed");
      this.#stop();
    }).finally(() => this.#renewing = undefined);
    if (!this.#lost) this.#wakeIn(this.#entry.left);
  }

  override abort(): void {
    this.#stop();
  }

  #stop(): void {
    const { wheel, jumps } = this.#store;
    this.#ended = true;
    wheel.delete(this);
    jumps.delete(this);
  }

  #lose(why: string): void {
    if (this.#lost || this.#ended) return;
    this.#lost = true;
    this.#onLost(why);
  }

  #scheduleRenewal(now: Stamp): void {
    this.#wakeIn(RENEWAL - between(this.#entry.sent, now), now.monotonic);
  }

  #wakeIn(ms: number, now: number = this.#store.clock.monotonic()): void {
    const { wheel, closing } = this.#store;
    if (closing.aborted) this.#stop();
    if (this.#ended) return;
    wheel.delete(this);
    this.due = now + Math.max(0, ms);
    wheel.add(this);
  }

  async #renew(): Promise<void> {
    try {
      if (await this.#entry.renew(ANSWER_LIMIT, () => writeRunning(this.#claim)) === "written") {
        // the answer may have come after the end of the lease, so check the lease
        const now = stamp(this.#store.clock);
        this.check(now);
        return this.#scheduleRenewal(now);
      }
      this.#lose("the store has another attempt's claim, or none");
      this.#stop();
    } catch (error) {
      if (!isCatgaError(error) || error.code !== "UNAVAILABLE") throw error;
      this.check();
      const pause = RETRY_DELAY * (0.5 + this.#store.random());
      this.#wakeIn(this.#lost ? pause : Math.min(pause, this.#entry.left));
    }
  }
}
