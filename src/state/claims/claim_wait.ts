/** Waiting for the end of another attempt's claim: a change of its entry, or the death of its holder. */
import { type Clock, Deadlined, type DeadlineWheel, delay } from "../../ports/clock.ts";
import type { Bucket, Change, Entry } from "../../ports/key_value_store.ts";
import type { Liveness } from "../../dispatch/context_host.ts";
import { readClaim, type RunningClaim } from "./claim_record.ts";
import { CatgaError } from "../../error.ts";

/** How a claim ended: another entry, none (`undefined`), or the same entry whose holder is gone. */
type ClaimChange =
  | { readonly found: Entry | undefined; readonly gone?: undefined }
  | { readonly found: Entry; readonly gone: true };

/**
 * Every wait in one process: waits for the same key share a watch, those for the same holder share its liveness check.
 */
export class ClaimWait {
  readonly #clock: Clock;
  readonly #liveness: Liveness;
  readonly #watch: KeyWatch;
  /** Liveness checks under way, by endpoint. */
  readonly #checks = new Map<string, Promise<boolean>>();

  constructor(clock: Clock, liveness: Liveness, bucket: () => Promise<Bucket>) {
    this.#clock = clock;
    this.#liveness = liveness;
    this.#watch = new KeyWatch(bucket);
  }

  /**
   * Resolves when the entry of a claim changes by more than a renewal, or its holder is gone; also for a renewal before
   * the watch has begun. Rejects at the deadline.
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
    // a change between the caller's read and the start of the watch
    watched.ready.then(() => bucket.get(entry.key)).then((now) => {
      if (now === undefined || now.revision > entry.revision) resolve({ found: now });
    }).catch(reject);
    const checking = new AbortController();
    this.#untilGone(endpoint, () => latest.revision, checking.signal).then(
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

  /** Resolves when the holder is gone. A claim whose `revision` moves during a check was renewed: its holder lives. */
  async #untilGone(endpoint: string, revision: () => number, signal: AbortSignal): Promise<void> {
    while (true) {
      const before = revision();
      let check = this.#checks.get(endpoint);
      if (check === undefined) {
        check = this.#liveness.gone(endpoint).finally(() => this.#checks.delete(endpoint));
        this.#checks.set(endpoint, check);
      }
      if (await check && revision() === before) return;
      await delay(this.#clock, CHECK_INTERVAL, signal);
    }
  }
}

/** Interval between checks of a waiting attempt whether the holder is gone, in ms. */
const CHECK_INTERVAL = 1_000;

// Watches of single keys of a bucket. Keys with the same prefix (up to the first "/", by which a server can filter)
// share one watch of the bucket, which lasts as long as one of them is watched.

/** A key that is watched. */
interface WatchedKey {
  /** Resolves when every later change will be reported; rejects when the bucket cannot be watched. */
  readonly ready: Promise<void>;
  /** Ends the watch of this key. */
  stop(): void;
}

interface SharedWatch {
  readonly ready: Promise<void>;
  readonly end: AbortController;
  readonly callbacks: Map<string, Set<(change: Change) => void>>;
}

/** The watched keys of one bucket. */
export class KeyWatch {
  readonly #bucket: () => Promise<Bucket>;
  readonly #byPrefix = new Map<string, SharedWatch>();

  constructor(bucket: () => Promise<Bucket>) {
    this.#bucket = bucket;
  }

  /**
   * Calls back with the current entry of a key, if there is one, and with every later change. `onChange` must not
   * throw.
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
      for (const onChange of [...callbacks.get(change.key) ?? []]) onChange(change);
    };
    const ready = this.#bucket().then((bucket) => bucket.watch(prefix, dispatch, { signal: end.signal }));
    const shared = { ready, end, callbacks };
    // the next call of watch() opens another one
    ready.catch(() => this.#close(prefix, shared));
    return shared;
  }

  #close(prefix: string, shared: SharedWatch): void {
    if (this.#byPrefix.get(prefix) === shared) this.#byPrefix.delete(prefix);
    shared.end.abort();
  }
}

// How long the sender of an idempotent command waits: until its deadline, its signal, or the end of the store.

/** One caller's deadline. Whoever makes it disposes of it, and has it aborted when the sender gives up. */
export class CallerDeadline extends Deadlined implements Disposable {
  readonly #wheel: DeadlineWheel;
  #reject: ((reason: CatgaError) => void) | undefined = undefined;
  #over: CatgaError | undefined = undefined;

  /** Over with `TIMEOUT` at `due` of the monotonic clock. */
  constructor(wheel: DeadlineWheel, due: number) {
    super(due);
    this.#wheel = wheel;
    wheel.add(this);
  }

  /** Why the caller waits no longer; `undefined` while it waits. */
  get over(): CatgaError | undefined {
    return this.#over;
  }

  override expire(): void {
    this.abort(new CatgaError("TIMEOUT", "the deadline has passed"));
  }

  override abort(reason: CatgaError): void {
    if (this.#over !== undefined) return;
    this.#over = reason;
    this.#reject?.(reason);
    this[Symbol.dispose]();
  }

  /**
   * Settles as the work does, or rejects with {@link CallerDeadline.over} if that comes first; the work goes on then.
   * One call at a time.
   */
  wait<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#over !== undefined) reject(this.#over);
      this.#reject = reject;
      work.then(resolve, reject);
    });
  }

  [Symbol.dispose](): void {
    this.#wheel.delete(this);
    this.#reject = undefined;
  }
}
