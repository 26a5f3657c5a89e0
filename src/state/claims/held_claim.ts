/**
 * A claim held by the process that runs its handler: renewed during the run, then replaced by the result or removed.
 * The nonce in the entry shows whose claim it is, whichever acknowledgements are lost; compare-and-set decides every
 * race.
 */
import {
  backoff,
  type Clock,
  Deadlined,
  type DeadlineWheel,
  delay,
  elapsed,
  type Random,
  type Stamp,
  stamp,
} from "../../ports/clock.ts";
import { isCatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { Observer } from "../../contract/observer.ts";
import { type AnswerTimeouts, type JumpWatch, type Leased, left, staleAnswer } from "../store/lease.ts";
import { type ClaimRecord, readClaim, type RunningClaim } from "./claim_record.ts";

/** The longest pause of a process, in ms, during which no other attempt runs: what docs/state.md promises. */
const PAUSE = 15_000;
/** How often a claim is renewed, in ms. A pause may begin right before a renewal. */
const RENEWAL = 3_000;
/** How long the renewal after the longest pause may take, in ms: until timers run, and until the store has it. */
const MARGIN = 2_000;
/** The ttl of a claim, in ms: how long it outlives its holder. */
export const LEASE = PAUSE + RENEWAL + MARGIN;
/** The greatest age of a claim, in ms, at which its handler may begin: it still outlives the longest pause. */
export const FRESH = LEASE - PAUSE;
/** Mean delay after a failed renewal, in ms, spread by half: a renewal follows soon after a lost connection is back. */
const RETRY_DELAY = 500;
/**
 * How long an answer to a renewal is awaited, in ms, before the entry is read back. A lost connection fails at once.
 */
const ANSWER_LIMIT = 3_000;

/** How the last write of a claim ended: it was made, another attempt has the claim, or the store does not answer. */
export type Ending = "done" | "lost" | "unknown";

/** What a {@link HeldClaim} works with. */
export interface ClaimStore {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  readonly jumps: JumpWatch;
  readonly answers: AnswerTimeouts;
  readonly random: Random;
  readonly observer: Observer;
  /** Aborts when the store closes: no renewals and retries from then on. */
  readonly closing: AbortSignal;
}

/** An acquired claim: its revision, and when its write was sent. */
export interface Acquired {
  readonly revision: number;
  readonly sent: Stamp;
}

/** One claim. It renews itself from its construction until it is kept, freed, or another attempt's in the store. */
export class HeldClaim extends Deadlined implements Leased {
  /** The revision of the acquisition: grows with every acquisition of the id. */
  readonly fence: number;
  readonly #store: ClaimStore;
  readonly #key: string;
  readonly #claim: RunningClaim;
  readonly #text: string;
  readonly #onLost: (why: string) => void;
  #revision: number;
  /** When its last acknowledged write was sent. */
  #sent: Stamp;
  #lost = false;
  #renewing: Promise<void> | undefined;
  #ended = false;

  /** `onLost` is called at most once, and not after `keep` or `free`: another attempt may run from then on. */
  constructor(
    store: ClaimStore,
    key: string,
    claim: RunningClaim,
    { revision, sent }: Acquired,
    onLost: (why: string) => void,
  ) {
    super(0);
    this.#store = store;
    this.#key = key;
    this.#claim = claim;
    this.#text = JSON.stringify(claim);
    this.#onLost = onLost;
    this.fence = this.#revision = revision;
    this.#sent = sent;
    store.jumps.add(this);
    this.#scheduleRenewal();
  }

  /** Whether another attempt has it, or may have had it. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Loses the claim if its lease may have ended, by whichever clock is further on. */
  check(): void {
    if (left(this.#store.clock, this.#sent, LEASE) > 0) return;
    const since = Math.round(elapsed(this.#store.clock, this.#sent)).toLocaleString("en");
    this.#lose(`it could not be renewed for ${since} ms, of a lease of ${LEASE.toLocaleString("en")} ms`);
  }

  /**
   * Replaces the claim by its result, for `ttl` ms. Rejects with `TOO_LARGE` if that does not fit; the claim stays
   * then.
   */
  keep(text: string, ttl: number): Promise<Ending> {
    return this.#end(
      async (bucket, revision) => await bucket.update(this.#key, text, revision, { ttl }) !== undefined,
      (record) => record?.nonce !== this.#claim.nonce ? "lost" : record.state === "done" ? "done" : undefined,
    );
  }

  /** Removes the claim, so that another attempt can run. `"lost"`: another attempt has it already. */
  free(): Promise<Ending> {
    return this.#end(
      (bucket, revision) => bucket.delete(this.#key, { revision }),
      (record) => record === undefined ? "done" : record.nonce !== this.#claim.nonce ? "lost" : undefined,
    );
  }

  /** Makes the last write, and repeats it until its outcome is known or a lease has passed. */
  async #end(
    write: (bucket: Bucket, revision: number) => Promise<boolean>,
    verdict: (found: ClaimRecord | undefined) => Ending | undefined,
  ): Promise<Ending> {
    const { bucket, clock, random, closing } = this.#store;
    this.#stop();
    // a renewal under way changes the revision
    await this.#renewing;
    const end = clock.monotonic() + LEASE;
    for (let failures = 0;; failures++) {
      try {
        if (await write(bucket, this.#revision)) return "done";
        const ending = verdict(await this.#readBack());
        if (ending !== undefined) return ending;
      } catch (error) {
        if (!isCatgaError(error) || error.code === "TOO_LARGE") throw error;
        if (error.code !== "UNAVAILABLE" || closing.aborted || clock.monotonic() > end) return "unknown";
        await delay(clock, backoff(random, failures, 50, 1_000), closing).catch(() => {});
      }
    }
  }

  /** Called when a renewal is due, and when the lease ends while a renewal is under way. */
  override expire(): void {
    this.check();
    if (this.#renewing !== undefined) return;
    const { observer, clock } = this.#store;
    this.#renewing = this.#renew().catch((error) => {
      if (!isCatgaError(error) || error.code !== "CLOSED") {
        observer({ type: "fault", during: "renewing a claim", error });
      }
      this.#lose("it cannot be renewed");
      this.#stop();
    }).finally(() => this.#renewing = undefined);
    if (!this.#lost) this.#wakeIn(left(clock, this.#sent, LEASE));
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

  #scheduleRenewal(): void {
    this.#wakeIn(RENEWAL - elapsed(this.#store.clock, this.#sent));
  }

  #wakeIn(ms: number): void {
    const { clock, wheel, closing } = this.#store;
    if (closing.aborted) this.#stop();
    if (this.#ended) return;
    wheel.delete(this);
    this.due = clock.monotonic() + Math.max(0, ms);
    wheel.add(this);
  }

  async #renew(): Promise<void> {
    const { bucket, clock, answers, random } = this.#store;
    try {
      while (!this.#ended) {
        const sent = stamp(clock);
        const writing = bucket.update(this.#key, this.#text, this.#revision, { ttl: LEASE });
        const revision = await answers.within(ANSWER_LIMIT, writing);
        if (revision !== undefined) {
          this.#revision = revision;
          this.#sent = sent;
          // the answer may have come after the end of the lease
          this.check();
          return this.#scheduleRenewal();
        }
        const before = this.#revision;
        if ((await this.#readBack())?.nonce !== this.#claim.nonce) {
          this.#lose("the store has another attempt's claim, or none");
          return this.#stop();
        }
        if (this.#revision === before) {
          throw staleAnswer();
        }
        // an earlier renewal was made, but its acknowledgement was lost: its age is unknown, so renew again
      }
    } catch (error) {
      if (!isCatgaError(error) || error.code !== "UNAVAILABLE") throw error;
      this.check();
      const pause = RETRY_DELAY * (0.5 + random());
      this.#wakeIn(this.#lost ? pause : Math.min(pause, left(clock, this.#sent, LEASE)));
    }
  }

  /** The record under the key now; takes over the revision if it is this claim's. */
  async #readBack(): Promise<ClaimRecord | undefined> {
    const entry = await this.#store.answers.within(ANSWER_LIMIT, this.#store.bucket.get(this.#key));
    const record = entry && readClaim(entry.value);
    if (entry !== undefined && record?.nonce === this.#claim.nonce) this.#revision = entry.revision;
    return record;
  }
}
