/**
 * Waits for the end of another attempt's claim: until its entry changes, or its process is gone. `KeyWatch` watches the
 * entry; keys of one prefix share a watch.
 */
import { type Clock, delay } from "../../ports/clock.ts";
import type { Bucket, Change, Entry } from "../../ports/key_value_store.ts";
import type { Liveness } from "../../dispatch/context_host.ts";
import { readClaim, type RunningClaim } from "./claim_record.ts";
import type { CallerDeadline } from "./caller_deadline.ts";
import { LEASE } from "./held_claim.ts";

/** The end of a claim: another entry in its place, no entry (`undefined`), or the same entry, whose process is gone. */
type ClaimChange =
  | { readonly found: Entry | undefined; readonly gone?: undefined }
  | { readonly found: Entry; readonly gone: true };

/** A check that runs now, if a process is alive. */
interface LivenessCheck {
  /** True: the process is gone, and has been since before the check began. */
  readonly answer: Promise<boolean>;
  /** Claims up to this revision were written before the check began; only these does the check find abandoned. */
  readonly upTo: number;
}

/**
 * All waits of one process for claims. Waits for the same key share a watch; waits for the same process share a check
 * if it is alive, as far as their claims were known when the check began.
 */
export class ClaimWait {
  readonly #clock: Clock;
  readonly #liveness: Liveness;
  readonly #watch: KeyWatch;
  /** By endpoint of a process, in the order in which they began: each knew of claims of which none before it did. */
  readonly #checks = new Map<string, Set<LivenessCheck>>();
  /** Greatest revision of all claims that were seen. */
  #newest = 0;
  /**
   * By endpoint of a process that was gone at the time `at`, by the monotonic clock: its claims up to this revision
   * were written before.
   */
  readonly #gone = new Map<string, { readonly revision: number; readonly at: number }>();

  constructor(clock: Clock, liveness: Liveness, bucket: () => Promise<Bucket>) {
    this.#clock = clock;
    this.#liveness = liveness;
    this.#watch = new KeyWatch(bucket);
  }

  /**
   * Resolves when a claim's entry has changed by more than a renewal, or when the claim's process is gone. Resolves for
   * a renewal, too, if the renewal happened before the watch began. Rejects at the deadline.
   */
  async change(
    bucket: Bucket,
    entry: Entry,
    { nonce, endpoint }: RunningClaim,
    deadline: CallerDeadline,
  ): Promise<ClaimChange> {
    const { promise, resolve, reject } = Promise.withResolvers<ClaimChange>();
    let latest = entry;
    const watched = this.#watch.watch(entry.key, (change) => {
      if (change.revision <= latest.revision) return;
      if (change.type !== "put") return resolve({ found: undefined });
      latest = change;
      const record = readClaim(change.value);
      if (record?.state !== "running" || record.nonce !== nonce) resolve({ found: change });
    });
    // the entry is read again: it may have changed between the caller's read and the start of the watch
    watched.ready.then(() => bucket.get(entry.key)).then((now) => {
      if (now === undefined || now.revision > entry.revision) resolve({ found: now });
    }).catch(reject);
    const checking = new AbortController();
    // a check that begins when all claims of the contract are known counts for all of them
    watched.ready.then(() => {
      this.#see(watched.newest());
      return this.#untilGone(endpoint, () => latest.revision, checking.signal);
    }).then(
      () => resolve({ found: latest, gone: true }),
      (error) => checking.signal.aborted || reject(error),
    );
    try {
      return await deadline.wait(promise);
    } finally {
      checking.abort();
      watched.stop();
    }
  }

  #see(revision: number): void {
    this.#newest = Math.max(this.#newest, revision);
  }

  /**
   * Resolves when the process that holds the claim is gone. If the claim's `revision` changes during a check, the claim
   * was renewed: the process is alive, even if the check finds it gone. A claim of which nobody knew when a check began
   * may have been written since, by a process that had lost its connection for a moment only. So it has a check of its
   * own, which begins at once: it does not wait for the end of the other, because checks at the same time cost no more
   * pings than one. A check takes seconds, and may end after its caller's deadline: the next caller then uses its
   * result.
   */
  async #untilGone(endpoint: string, revision: () => number, signal: AbortSignal): Promise<void> {
    while (true) {
      const before = revision();
      if (before <= (this.#gone.get(endpoint)?.revision ?? 0)) return;
      this.#see(before);
      const checks = this.#checks.get(endpoint) ?? new Set();
      const check = [...checks].find(({ upTo }) => before <= upTo) ?? this.#begin(endpoint, checks);
      if (await check.answer && revision() === before) return this.#isGone(endpoint, check.upTo);
      await delay(this.#clock, CHECK_INTERVAL, signal);
    }
  }

  #begin(endpoint: string, checks: Set<LivenessCheck>): LivenessCheck {
    this.#checks.set(endpoint, checks);
    const answer = this.#liveness.gone(endpoint).finally(() => {
      checks.delete(check);
      if (checks.size === 0 && this.#checks.get(endpoint) === checks) this.#checks.delete(endpoint);
    });
    const check: LivenessCheck = { answer, upTo: this.#newest };
    checks.add(check);
    return check;
  }

  /** Remembers that a process is gone, for as long as its claims may be stored. */
  #isGone(endpoint: string, revision: number): void {
    const now = this.#clock.monotonic();
    for (const [other, { at }] of this.#gone) if (now - at > LEASE) this.#gone.delete(other);
    this.#gone.set(endpoint, { revision: Math.max(revision, this.#gone.get(endpoint)?.revision ?? 0), at: now });
  }
}

/** Interval at which a waiting attempt checks if the process that holds the claim is gone, in ms. */
const CHECK_INTERVAL = 1_000;

/** One watched key of a bucket. */
interface WatchedKey {
  /** Resolves when every later change of the key will be reported; rejects if the bucket cannot be watched. */
  readonly ready: Promise<void>;
  /** Returns the greatest revision of the entries with the key's prefix, as far as they were reported. */
  newest(): number;
  /** Ends the watch of the key. */
  stop(): void;
}

interface SharedWatch {
  readonly ready: Promise<void>;
  /** Greatest revision of the entries with the prefix that were reported. */
  newest: number;
  readonly end: AbortController;
  readonly callbacks: Map<string, Set<(change: Change) => void>>;
}

/**
 * Watches single keys of one bucket, with one watch of the bucket for all keys of a prefix (up to the first `/`, by
 * which a server can filter). That watch lasts as long as one of its keys is watched.
 */
export class KeyWatch {
  readonly #bucket: () => Promise<Bucket>;
  readonly #byPrefix = new Map<string, SharedWatch>();

  constructor(bucket: () => Promise<Bucket>) {
    this.#bucket = bucket;
  }

  /**
   * Calls `onChange` with the current entry of a key, if any, and with every later change. `onChange` must not throw.
   */
  watch(key: string, onChange: (change: Change) => void): WatchedKey {
    const prefix = key.slice(0, key.indexOf("/") + 1);
    let shared = this.#byPrefix.get(prefix);
    if (shared === undefined) this.#byPrefix.set(prefix, shared = this.#open(prefix));
    const { callbacks, ready } = shared;
    let ofKey = callbacks.get(key);
    if (ofKey === undefined) callbacks.set(key, ofKey = new Set());
    ofKey.add(onChange);
    return {
      ready,
      newest: () => shared.newest,
      stop: () => {
        ofKey.delete(onChange);
        if (ofKey.size === 0 && callbacks.get(key) === ofKey) callbacks.delete(key);
        if (callbacks.size === 0) this.#close(prefix, shared);
      },
    };
  }

  #open(prefix: string): SharedWatch {
    const end = new AbortController();
    const callbacks: SharedWatch["callbacks"] = new Map();
    const dispatch = (change: Change) => {
      shared.newest = Math.max(shared.newest, change.revision);
      for (const onChange of [...callbacks.get(change.key) ?? []]) onChange(change);
    };
    const ready = this.#bucket().then((bucket) => bucket.watch(prefix, dispatch, { signal: end.signal }));
    const shared: SharedWatch = { ready, end, callbacks, newest: 0 };
    // a watch that could not begin is removed, so that the next call opens another one
    ready.catch(() => this.#close(prefix, shared));
    return shared;
  }

  #close(prefix: string, shared: SharedWatch): void {
    if (this.#byPrefix.get(prefix) === shared) this.#byPrefix.delete(prefix);
    shared.end.abort();
  }
}
