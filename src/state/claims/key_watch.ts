/**
 * Watches single keys of a bucket. Keys with the same prefix (up to the first "/", by which a server can filter)
 * share one watch of the bucket, which lasts as long as one of the keys is watched.
 */
import type { Bucket, Change } from "../../ports/key_value_store.ts";

/** One watched key of a bucket. */
interface WatchedKey {
  /** Resolves when every later change of the key will be reported; rejects if the bucket cannot be watched. */
  readonly ready: Promise<void>;
  /** Ends the watch of the key. */
  stop(): void;
}

interface SharedWatch {
  readonly ready: Promise<void>;
  readonly end: AbortController;
  readonly callbacks: Map<string, Set<(change: Change) => void>>;
}

/** Watches single keys of one bucket, with one watch of the bucket for all keys of a prefix. */
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
    // a watch that could not begin is removed, so that the next call opens another one
    ready.catch(() => this.#close(prefix, shared));
    return shared;
  }

  #close(prefix: string, shared: SharedWatch): void {
    if (this.#byPrefix.get(prefix) === shared) this.#byPrefix.delete(prefix);
    shared.end.abort();
  }
}
