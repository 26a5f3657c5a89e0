/**
 * Entries of parked messages, written by compare-and-set. A write whose acknowledgement was lost is read back and made again, so that it is
 * known in the end what is stored.
 */
import { CatgaError, isCatgaError } from "../../error.ts";
import { delay } from "../../ports/clock.ts";
import type { Bucket, Change, Entry } from "../../ports/key_value_store.ts";
import { isForbidden } from "../../ports/transport.ts";
import { parkedKey, parkedPrefix, readParkedKey } from "../format/names.ts";
import { type ParkedEntry, readParked, withoutPayload, writeParked } from "../format/parked_entry.ts";
import type { ParkedItem } from "./parked_item.ts";
import type { ParkingOptions } from "./parking_options.ts";

/** What a {@link ParkedStore} is made of. */
export interface ParkedStoreOptions
  extends Pick<ParkingOptions, "bucket" | "clock" | "service" | "name" | "generation" | "token"> {
  /** Everything ends, and rejects, when it aborts. */
  readonly signal: AbortSignal;
  /** Gets errors of writes that are made again: the first, and then one a minute. */
  readonly fault: (error: unknown) => void;
}

/** What an entry is written with. */
interface Write {
  readonly key: string;
  readonly value: string;
  /** Of the entry that it replaces; 0: there is none. */
  readonly revision: number;
  /** How often to try when the store does not answer or is full. */
  readonly tries: number;
  /** Whether to replace an entry of another revision. */
  replaces(found: Entry): boolean;
}

/** What was stored. */
export interface Written {
  readonly entry: ParkedEntry;
  /** Its characters. */
  readonly size: number;
}

/** The entries of one leader. */
export class ParkedStore {
  readonly #options: ParkedStoreOptions;
  readonly #bucket: Bucket;
  readonly #signal: AbortSignal;

  constructor(options: ParkedStoreOptions) {
    this.#options = options;
    this.#bucket = options.bucket;
    this.#signal = options.signal;
  }

  get closed(): boolean {
    return this.#signal.aborted;
  }

  /** The key of a position. */
  key(position: number): string {
    const { service, name, generation } = this.#options;
    return parkedKey(service, name, generation, position);
  }

  /**
   * Writes an entry, whatever is stored of the message unless a later leader has written it (`CLOSED`). Resolves with what is
   * stored. If it is too large, the message of its error is left out; then its payload and headers are, and it is a dead letter, which
   * is reported: nobody could run it, and what nobody can put aside would stop its subscription. When `exact`, it resolves with
   * `undefined` if what is stored is not what the item was read from.
   */
  async write(item: ParkedItem, entry: ParkedEntry, tries: number, exact = false): Promise<Written | undefined> {
    const { position, revision } = item;
    const replaces = (found: Entry) => !exact && this.#isReplaced(position, found);
    for (let left = 0;; left++) {
      const kept = left < 2 ? entry : withoutPayload(entry, this.#options.clock.now());
      const value = writeParked(kept, left === 0 ? undefined : 0);
      try {
        const made = await this.#put({ key: this.key(position), value, revision, tries, replaces });
        if (made === undefined && exact) return undefined;
        if (made === undefined) throw superseded();
        item.revision = made;
        if (left === 2) this.#options.fault(tooLarge(entry));
        return { entry: kept, size: value.length };
      } catch (error) {
        if (left === 2 || !isCatgaError(error) || error.code !== "TOO_LARGE") throw error;
      }
    }
  }

  /** Removes what is stored of a message, unless a later leader has written it (`CLOSED`). */
  async erase(item: ParkedItem): Promise<void> {
    const key = this.key(item.position);
    while (item.revision > 0 && !await this.remove(key, item.revision)) {
      const found = await this.get(key);
      if (found !== undefined && !this.#isReplaced(item.position, found)) throw superseded();
      item.revision = found?.revision ?? 0;
    }
  }

  /** Writes an entry under another generation. */
  async copy(entry: ParkedEntry, generation: number): Promise<void> {
    const { service, name, token } = this.#options;
    const key = parkedKey(service, name, generation, entry.message.position);
    const value = writeParked({ ...entry, token });
    await this.#put({ key, value, revision: 0, tries: Infinity, replaces: () => true });
  }

  /** Removes what this leader, and earlier ones, have written under another generation, but for what `keeps` names. */
  async clear(generation: number, keeps: (position: number) => boolean): Promise<void> {
    const { service, name } = this.#options;
    const found = new Map<string, number>();
    const listing = new AbortController();
    const onChange = (change: Change) => {
      const place = readParkedKey(change.key);
      if (change.type !== "put" || place?.generation !== generation || keeps(place.position)) return;
      const entry = readParked(place.position, change.value);
      if (typeof entry !== "string" && entry.token <= this.#options.token) found.set(change.key, change.revision);
    };
    try {
      await this.#bucket.watch(parkedPrefix(service, name), onChange, { signal: listing.signal });
    } finally {
      listing.abort();
    }
    for (const [key, revision] of found) await this.remove(key, revision);
  }

  #isReplaced(position: number, { value }: Entry): boolean {
    const entry = readParked(position, value);
    return typeof entry === "string" || entry.token <= this.#options.token;
  }

  /** Resolves with the revision, or `undefined` when there is an entry that must not be replaced. */
  #put({ key, value, revision, tries, replaces }: Write): Promise<number | undefined> {
    let expected = revision;
    return this.#again(tries, async () => {
      for (;;) {
        const made = expected === 0
          ? await this.#bucket.create(key, value)
          : await this.#bucket.update(key, value, expected);
        if (made !== undefined) return made;
        const found = await this.#bucket.get(key);
        if (found?.value === value) return found.revision;
        if (found !== undefined && !replaces(found)) return undefined;
        // a server that lags behind may show what was expected: the write is then made again after a pause
        if ((found?.revision ?? 0) === expected) throw stale();
        expected = found?.revision ?? 0;
      }
    });
  }

  /** Resolves with `true` when there is no entry of this revision any more; `false` when there is another one. */
  remove(key: string, revision: number): Promise<boolean> {
    return this.#again(Infinity, async () => {
      if (await this.#bucket.delete(key, { revision })) return true;
      const found = await this.#bucket.get(key);
      if (found?.revision === revision) throw stale();
      return found === undefined;
    });
  }

  /** The entry of a key. */
  get(key: string): Promise<Entry | undefined> {
    return this.#again(Infinity, () => this.#bucket.get(key));
  }

  async #again<T>(tries: number, operation: () => Promise<T>): Promise<T> {
    for (let failures = 1;; failures++) {
      this.#signal.throwIfAborted();
      try {
        const value = await operation();
        this.#signal.throwIfAborted();
        return value;
      } catch (error) {
        this.#signal.throwIfAborted();
        // what is forbidden may be allowed again, which those wait for that have to
        const passing = isCatgaError(error) && error.code === "UNAVAILABLE" &&
          (tries === Infinity || !isForbidden(error));
        if (failures >= tries || !passing) throw error;
        // at once, and then every minute or so
        if (failures % 30 === 1) this.#options.fault(error);
        await delay(this.#options.clock, Math.min(2_000, 50 * 2 ** Math.min(failures, 10)), this.#signal);
      }
    }
  }
}

function stale(): CatgaError {
  return new CatgaError("UNAVAILABLE", "the store's answer came from a server that lags behind", { retryable: true });
}

function tooLarge({ message: { category, id } }: ParkedEntry): CatgaError {
  return new CatgaError(
    "TOO_LARGE",
    `${category} ${id} is too large for the store: it is a dead letter without its payload, which the log has until it expires`,
  );
}

function superseded(): CatgaError {
  return new CatgaError("CLOSED", "a later leader of the subscription has written this entry");
}
