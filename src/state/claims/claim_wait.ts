/** Waiting for what becomes of somebody else's claim: woken by the bucket's watch, and by the news that its holder is gone. */
import { type Clock, delay } from "../../ports/clock.ts";
import type { Bucket, Entry } from "../../ports/key_value_store.ts";
import type { Liveness } from "../../dispatch/shared_state.ts";
import { readClaim, type RunningClaim } from "./claim_record.ts";
import { KeyWatch } from "../store/key_watch.ts";
import type { CallerDeadline } from "./caller_deadline.ts";

/** How often somebody who waits asks whether the holder is gone, in ms. */
const LIVENESS_EVERY = 1_000;

/** What has become of a claim: another entry or none, or a holder that is gone and left it as it is. */
export type ClaimChange =
  | { readonly found: Entry | undefined; readonly gone?: undefined }
  | { readonly found: Entry; readonly gone: true };

/** All who wait in one process: they share watches, and questions. */
export class ClaimWait {
  readonly #clock: Clock;
  readonly #liveness: Liveness;
  readonly #watch: KeyWatch;
  /** Questions under way whether an endpoint is gone. */
  readonly #questions = new Map<string, Promise<boolean>>();

  constructor(clock: Clock, liveness: Liveness, bucket: () => Promise<Bucket>) {
    this.#clock = clock;
    this.#liveness = liveness;
    this.#watch = new KeyWatch(bucket);
  }

  /** Waits until the entry of a claim is more than renewed, or the holder is gone. */
  async change(
    bucket: Bucket,
    entry: Entry,
    { nonce, endpoint }: RunningClaim,
    patience: CallerDeadline,
  ): Promise<ClaimChange> {
    const { promise, resolve, reject } = Promise.withResolvers<ClaimChange>();
    let latest = entry;
    const following = this.#watch.follow(entry.key, (change) => {
      if (change.revision <= latest.revision) return;
      if (change.type !== "put") return resolve({ found: undefined });
      latest = change;
      const record = readClaim(change.value);
      if (record?.state !== "running" || record.nonce !== nonce) resolve({ found: change });
    });
    // what happened between the reading and the watching
    following.ready.then(() => bucket.get(entry.key)).then((now) => {
      if (now === undefined || now.revision > entry.revision) resolve({ found: now });
    }).catch(reject);
    const asking = new AbortController();
    this.#untilGone(endpoint, () => latest.revision, asking.signal).then(
      () => resolve({ found: latest, gone: true }),
      (error) => asking.signal.aborted || reject(error),
    );
    try {
      return await patience.wait(promise);
    } finally {
      asking.abort();
      following.stop();
    }
  }

  /** `revision`: of the claim. One that is renewed while its holder is looked for has a holder, whatever bounces. */
  async #untilGone(endpoint: string, revision: () => number, signal: AbortSignal): Promise<void> {
    while (true) {
      const before = revision();
      let question = this.#questions.get(endpoint);
      if (question === undefined) {
        question = this.#liveness.gone(endpoint).finally(() => this.#questions.delete(endpoint));
        this.#questions.set(endpoint, question);
      }
      if (await question && revision() === before) return;
      await delay(this.#clock, LIVENESS_EVERY, signal);
    }
  }
}
