/** A store that serves one call after the other, as one does whose server has no more time. */
import { type Clock, delay } from "../../src/ports/clock.ts";
import type { Bucket, KeyValueStore } from "../../src/ports/key_value_store.ts";
import { interceptedBucket } from "./intercepted_bucket.ts";

const CALLS: ReadonlySet<string> = new Set(["get", "create", "update", "put", "delete"]);

/** A store whose calls take turns. */
export class BusyStore implements KeyValueStore {
  /** How many calls were made. */
  calls = 0;
  readonly #store: KeyValueStore;
  readonly #clock: Clock;
  readonly #takes: number;
  /** When all calls so far have been served, by the monotonic clock. */
  #free = 0;

  /** `takes`: how long the store is busy with each call, in ms. */
  constructor(store: KeyValueStore, clock: Clock, takes: number) {
    this.#store = store;
    this.#clock = clock;
    this.#takes = takes;
  }

  async open(name: string): Promise<Bucket> {
    const bucket = await this.#store.open(name);
    return interceptedBucket(bucket, (method, _, make) => CALLS.has(method) ? this.#turn().then(make) : make());
  }

  #turn(): Promise<void> {
    this.calls++;
    const now = this.#clock.monotonic();
    this.#free = Math.max(this.#free, now) + this.#takes;
    return delay(this.#clock, this.#free - now);
  }
}
