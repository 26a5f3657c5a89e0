/**
 * A claim in the hands of the process that runs its handler: renewed while it runs, then replaced by the result or freed.
 * Whatever happens to acknowledgements, the nonce in the entry says whether it is still ours, and compare-and-set decides.
 */
import { type Clock, delay, type Random } from "../../ports/clock.ts";
import { Deadlined, type DeadlineWheel } from "../../dispatch/deadline_wheel.ts";
import { CatgaError, isCatgaError } from "../../error.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { Observer } from "../../contract/observer.ts";
import type { Answers } from "../store/ambiguous_writes.ts";
import { type ClaimRecord, readClaim, type RunningClaim } from "./claim_record.ts";
import { elapsed, type JumpWatch, type Leased, left, type Stamp, stamp } from "../store/lease.ts";

/** How long the process that runs a handler may stand still without another run beside it, in ms: what the docs promise. */
const PAUSE = 15_000;
/** How often a claim is renewed, in ms. A pause may begin right before. */
const RENEWAL = 3_000;
/** What a renewal after the longest pause may take: until the timers run, and until the store has it. */
const MARGIN = 2_000; // ms
/** How long a claim outlives its holder, in ms: the oldest that a live claim can be. */
export const LEASE = PAUSE + RENEWAL + MARGIN;
/** How old a claim may be whose handler begins, in ms: it still outlives the longest pause. */
export const FRESH = LEASE - PAUSE;
/** How soon a renewal that failed is tried again, in ms, half more or less: soon after a lost connection is back. */
const AGAIN = 500;
/** How long a renewal is waited for before it is asked what became of it, in ms. A lost connection ends it at once. */
const ANSWER = 3_000;

/** What became of a claim: as was wished, somebody else's, or nobody can say because the store does not answer. */
export type Ending = "done" | "lost" | "unknown";

/** What a {@link HeldClaim} works with. */
export interface ClaimStore {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  readonly jumps: JumpWatch;
  readonly answers: Answers;
  readonly random: Random;
  readonly observer: Observer;
  /** Aborts when nothing is to be renewed or tried again any more. */
  readonly closing: AbortSignal;
}

/** A claim that was made: `sent` is when its write was. */
export interface Acquired {
  readonly revision: number;
  readonly sent: Stamp;
}

/** One claim. It renews itself from the beginning, until the store says that it is lost. */
export class HeldClaim extends Deadlined implements Leased {
  /** The revision of the acquisition: grows with every one of the id. */
  readonly fence: number;
  readonly #store: ClaimStore;
  readonly #key: string;
  readonly #claim: RunningClaim;
  readonly #text: string;
  readonly #onLost: (why: string) => void;
  #revision: number;
  /** When the last write of it that was acknowledged was sent. */
  #sent: Stamp;
  #lost = false;
  #renewing: Promise<void> | undefined;
  #ended = false;

  /** `onLost` is called at most once, before the claim is kept or freed: somebody else may run from then on. */
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
    this.#rest();
  }

  /** Whether somebody else has it, or may have had it. */
  get lost(): boolean {
    return this.#lost;
  }

  /** Loses it if its lease may have ended, by the clock that is further on. */
  check(): void {
    if (left(this.#store.clock, this.#sent, LEASE) > 0) return;
    const since = Math.round(elapsed(this.#store.clock, this.#sent)).toLocaleString("en");
    this.#lose(`it could not be renewed for ${since} ms, of a lease of ${LEASE.toLocaleString("en")} ms`);
  }

  /** Puts the result in its place. Rejects with `TOO_LARGE` when that does not fit, and holds the claim then. */
  keep(text: string, ttl: number): Promise<Ending> {
    return this.#end(
      async (bucket, revision) => await bucket.update(this.#key, text, revision, { ttl }) !== undefined,
      (record) => record?.nonce !== this.#claim.nonce ? "lost" : record.state === "done" ? "done" : undefined,
    );
  }

  /** Gives it back, so that another attempt can be made. `"lost"`: that one has been made. */
  free(): Promise<Ending> {
    return this.#end(
      (bucket, revision) => bucket.delete(this.#key, { revision }),
      (record) => record === undefined ? "done" : record.nonce !== this.#claim.nonce ? "lost" : undefined,
    );
  }

  /** The last write, until it is known what came of it, or the lease has ended. */
  async #end(
    write: (bucket: Bucket, revision: number) => Promise<boolean>,
    verdict: (found: ClaimRecord | undefined) => Ending | undefined,
  ): Promise<Ending> {
    const { bucket, clock, random, closing } = this.#store;
    this.#stop();
    // a renewal under way would move the revision
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
        await delay(clock, random() * Math.min(1_000, 50 * 2 ** failures), closing).catch(() => {});
      }
    }
  }

  /** It is time to renew it, or its lease ends while a renewal is under way. */
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

  #rest(): void {
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
        const revision = await answers.of(ANSWER, writing);
        if (revision !== undefined) {
          this.#revision = revision;
          this.#sent = sent;
          // an answer that comes too late is of no use
          this.check();
          return this.#rest();
        }
        const before = this.#revision;
        if ((await this.#readBack())?.nonce !== this.#claim.nonce) {
          this.#lose("the store has it as another's, or not at all");
          return this.#stop();
        }
        if (this.#revision === before) {
          throw new CatgaError("UNAVAILABLE", "a server that lags behind answered", { retryable: true });
        }
        // a renewal whose acknowledgement was lost: when it was sent is not known, so it is renewed again
      }
    } catch (error) {
      if (!isCatgaError(error) || error.code !== "UNAVAILABLE") throw error;
      this.check();
      const again = AGAIN * (0.5 + random());
      this.#wakeIn(this.#lost ? again : Math.min(again, left(clock, this.#sent, LEASE)));
    }
  }

  /** What stands under the key, as the leader has it. */
  async #readBack(): Promise<ClaimRecord | undefined> {
    const entry = await this.#store.answers.of(ANSWER, this.#store.bucket.get(this.#key));
    const record = entry && readClaim(entry.value);
    if (entry !== undefined && record?.nonce === this.#claim.nonce) this.#revision = entry.revision;
    return record;
  }
}
