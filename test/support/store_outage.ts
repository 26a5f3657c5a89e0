/** A store that fails while the network works, as JetStream does without a leader. */
import { delay } from "../../src/ports/clock.ts";
import { CatgaError } from "../../src/error.ts";
import type { Bucket, Change, KeyValueStore } from "../../src/ports/key_value_store.ts";
import type { MemoryNetwork } from "../../src/memory/network.ts";

/** How long a client tries, in ms: as long as on NATS. */
const LIMIT = 5_000;

/** Takes away the store of all apps that connect to a network from now on, and brings it back. */
export class StoreOutage {
  readonly #network: MemoryNetwork;
  #reads = true;
  #writes = true;
  #held: (() => void)[] = [];

  constructor(network: MemoryNetwork) {
    this.#network = network;
    const connect = network.connect.bind(network);
    network.connect = (options) => {
      const connection = connect(options);
      return Object.assign(connection, { store: this.#through(connection.store) });
    };
  }

  /** Operations get no answer, and watches are silent. Entries expire; watches report that at the end. */
  begin(): void {
    this.#reads = this.#writes = false;
  }

  /** Watches report again; operations get no answer yet. */
  watch(): void {
    this.#reads = true;
    for (const tell of this.#held.splice(0)) tell();
  }

  /** It is there again. */
  end(): void {
    this.#writes = true;
    this.watch();
  }

  #through(store: KeyValueStore): KeyValueStore {
    return { open: async (name, options) => this.#bucket(await store.open(name, options)) };
  }

  #bucket(bucket: Bucket): Bucket {
    return {
      name: bucket.name,
      size: bucket.size,
      get: (key) => this.#call(() => bucket.get(key)),
      create: (key, value, options) => this.#call(() => bucket.create(key, value, options)),
      update: (...write) => this.#call(() => bucket.update(...write)),
      put: (key, value, options) => this.#call(() => bucket.put(key, value, options)),
      delete: (key, options) => this.#call(() => bucket.delete(key, options)),
      entries: (prefix) => this.#call(() => bucket.entries(prefix)),
      watch: (prefix, onChange, options) => {
        const tell = (change: Change) => {
          if (this.#reads) onChange(change);
          else this.#held.push(() => options.signal.aborted || onChange(change));
        };
        return this.#call(() => bucket.watch(prefix, tell, options));
      },
    };
  }

  async #call<T>(operation: () => Promise<T>): Promise<T> {
    const { clock } = this.#network;
    const end = clock.monotonic() + LIMIT;
    while (!this.#writes) {
      if (clock.monotonic() >= end) throw new CatgaError("UNAVAILABLE", "the store is away", { retryable: true });
      await delay(clock, 100);
    }
    return await operation();
  }
}
