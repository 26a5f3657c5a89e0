/**
 * A claim in the hands of the process that runs its handler: renewed while it runs, then replaced by the result or freed.
 * Whatever happens to acknowledgements, the nonce in the entry says whether it is still ours, and compare-and-set decides.
 */
import { type Clock, delay, type Random } from "../clock.ts";
import { Deadlined, type DeadlineWheel } from "../deadline_wheel.ts";
import { isCatgaError } from "../error.ts";
import type { Bucket } from "../kv_store.ts";
import type { Observer } from "../observer.ts";
import { type ClaimRecord, readClaim, type RunningClaim } from "./claim_record.ts";

/** How long a claim outlives its holder, in ms. */
export const LEASE = 15_000;
/** How soon a renewal that was not acknowledged is looked into, in ms. */
const RENEW_AGAIN = 1_000;

/** What became of a claim: as was wished, somebody else's, or nobody can say because the store does not answer. */
export type Ending = "done" | "lost" | "unknown";

/** What a {@link HeldClaim} works with. */
export interface ClaimStore {
  readonly bucket: Bucket;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  readonly random: Random;
  readonly observer: Observer;
  /** Aborts when nothing is to be renewed or tried again any more. */
  readonly closing: AbortSignal;
}

/** One claim. It renews itself from the beginning. */
export class HeldClaim extends Deadlined {
  /** The revision of the acquisition: grows with every one of the id. */
  readonly fence: number;
  readonly #store: ClaimStore;
  readonly #key: string;
  readonly #claim: RunningClaim;
  readonly #text: string;
  #revision: number;
  #renewing: Promise<void> = Promise.resolve();
  #ended = false;

  constructor(store: ClaimStore, key: string, claim: RunningClaim, revision: number) {
    super(0);
    this.#store = store;
    this.#key = key;
    this.#claim = claim;
    this.#text = JSON.stringify(claim);
    this.fence = this.#revision = revision;
    this.#renewIn(LEASE / 3);
  }

  /** Puts the result in its place. Rejects with `TOO_LARGE` when that does not fit, and holds the claim then. */
  keep(text: string, ttl: number): Promise<Ending> {
    return this.#end(
      async (bucket, revision) => await bucket.update(this.#key, text, revision, { ttl }) !== undefined,
      (record) => record?.nonce !== this.#claim.nonce ? "lost" : record.state === "done" ? "done" : undefined,
    );
  }

  /** Gives it back, so that another attempt can be made. */
  free(): Promise<Ending> {
    return this.#end(
      (bucket, revision) => bucket.delete(this.#key, { revision }),
      (record) => record?.nonce !== this.#claim.nonce ? "done" : undefined,
    );
  }

  /** The last write, until it is known what came of it, or the lease has ended. */
  async #end(
    write: (bucket: Bucket, revision: number) => Promise<boolean>,
    verdict: (found: ClaimRecord | undefined) => Ending | undefined,
  ): Promise<Ending> {
    const { bucket, clock, wheel, random, closing } = this.#store;
    this.#ended = true;
    wheel.delete(this);
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

  /** It is time to renew it. */
  override expire(): void {
    const { closing, observer } = this.#store;
    if (this.#ended || closing.aborted) return;
    this.#renewing = this.#renew().catch((error) => {
      if (!isCatgaError(error) || error.code !== "CLOSED") {
        observer({ type: "fault", during: "renewing a claim", error });
      }
    });
  }

  override abort(): void {
    this.#ended = true;
  }

  #renewIn(ms: number): void {
    const { clock, wheel, closing } = this.#store;
    if (this.#ended || closing.aborted) return;
    this.due = clock.monotonic() + ms;
    wheel.add(this);
  }

  async #renew(): Promise<void> {
    const { bucket } = this.#store;
    try {
      // a renewal whose acknowledgement was lost has moved the revision, and may be older than it looks
      for (let again = true; again;) {
        const revision = await bucket.update(this.#key, this.#text, this.#revision, { ttl: LEASE });
        if (revision !== undefined) this.#revision = revision;
        else if ((await this.#readBack())?.nonce !== this.#claim.nonce) return;
        again = revision === undefined && !this.#ended;
      }
      this.#renewIn(LEASE / 3);
    } catch (error) {
      if (!isCatgaError(error) || error.code !== "UNAVAILABLE") throw error;
      this.#renewIn(RENEW_AGAIN);
    }
  }

  /** What stands under the key, as the leader has it. */
  async #readBack(): Promise<ClaimRecord | undefined> {
    const entry = await this.#store.bucket.get(this.#key);
    const record = entry && readClaim(entry.value);
    if (entry !== undefined && record?.nonce === this.#claim.nonce) this.#revision = entry.revision;
    return record;
  }
}
