/**
 * Waiting for changes of single keys of a bucket, any number at once: those whose first parts (up to the first "/", by
 * which a server filters) are the same share one watch, which lives as long as somebody follows one of them.
 */
import type { Bucket, Change } from "../../ports/key_value_store.ts";

/** Somebody who follows a key. */
export interface Following {
  /** Resolves when every later change will be told; rejects when the bucket cannot be watched. */
  readonly ready: Promise<void>;
  /** Ends it. */
  stop(): void;
}

interface Shared {
  readonly ready: Promise<void>;
  readonly end: AbortController;
  readonly followers: Map<string, Set<(change: Change) => void>>;
}

/** The watches of one bucket. */
export class KeyWatch {
  readonly #bucket: () => Promise<Bucket>;
  readonly #shared = new Map<string, Shared>();

  constructor(bucket: () => Promise<Bucket>) {
    this.#bucket = bucket;
  }

  /** How many watches there are. */
  get watches(): number {
    return this.#shared.size;
  }

  /** Calls back with the changes of a key, the entry that is there already among them. `onChange` must not throw. */
  follow(key: string, onChange: (change: Change) => void): Following {
    const prefix = key.slice(0, key.indexOf("/") + 1);
    let shared = this.#shared.get(prefix);
    if (shared === undefined) this.#shared.set(prefix, shared = this.#open(prefix));
    const { followers, ready } = shared;
    let those = followers.get(key);
    if (those === undefined) followers.set(key, those = new Set());
    those.add(onChange);
    return {
      ready,
      stop: () => {
        those.delete(onChange);
        if (those.size === 0 && followers.get(key) === those) followers.delete(key);
        if (followers.size === 0) this.#close(prefix, shared);
      },
    };
  }

  #open(prefix: string): Shared {
    const end = new AbortController();
    const followers: Shared["followers"] = new Map();
    const tell = (change: Change) => {
      for (const follower of [...followers.get(change.key) ?? []]) follower(change);
    };
    const ready = this.#bucket().then((bucket) => bucket.watch(prefix, tell, { signal: end.signal }));
    const shared = { ready, end, followers };
    // the next one tries anew
    ready.catch(() => this.#close(prefix, shared));
    return shared;
  }

  #close(prefix: string, shared: Shared): void {
    if (this.#shared.get(prefix) === shared) this.#shared.delete(prefix);
    shared.end.abort();
  }
}
