/** What is parked, without payloads: read entry by entry, because all of them at once may be larger than the memory. */
import type { Bucket, Change } from "../../ports/key_value_store.ts";
import { parkedPrefix, readParkedKey } from "../format/names.ts";
import { readParked } from "../format/parked_entry.ts";
import type { StoredRecord } from "./stored_records.ts";

/** A parked message. */
export interface Parked {
  readonly key: string;
  readonly service: string;
  readonly name: string;
  readonly position: number;
  /** When it was stored in the log, in ms since 1970. */
  readonly time: number;
  /** When it became a dead letter; 0: it is none. */
  readonly dead: number;
  /** Of its category and key; `undefined`: it has no key. */
  readonly line: string | undefined;
}

/** The parked messages of a namespace, or of one subscription. */
export class ParkedIndex {
  readonly #bySubscription = new Map<string, Map<number, Parked>>();

  /** Reads what is parked under a prefix. Of subscriptions with a record, the entries of its generation. */
  static async read(
    bucket: Bucket | undefined,
    prefix: string,
    records: readonly StoredRecord[],
  ): Promise<ParkedIndex> {
    const index = new ParkedIndex();
    const generations = new Map(records.map(({ record }) => [label(record.service, record.name), record.generation]));
    await list(bucket, prefix, (change) => {
      if (change.type === "put") index.#add(change, generations);
    });
    return index;
  }

  /** Removes all that a subscription has parked. Resolves with the number of entries. */
  static async removeAll(bucket: Bucket | undefined, service: string, name: string): Promise<number> {
    const keys = new Set<string>();
    await list(bucket, parkedPrefix(service, name), ({ type, key }) => void (type === "put" && keys.add(key)));
    for (const key of keys) await bucket!.delete(key); // it had the keys
    return keys.size;
  }

  of(service: string, name: string): readonly Parked[] {
    return [...this.#bySubscription.get(label(service, name))?.values() ?? []];
  }

  /** All of them, by service, name and position. */
  get all(): readonly Parked[] {
    const all = [...this.#bySubscription.values()].flatMap((parked) => [...parked.values()]);
    return all.sort((a, b) =>
      a.service < b.service
        ? -1
        : a.service > b.service
        ? 1
        : a.name < b.name
        ? -1
        : a.name > b.name
        ? 1
        : a.position - b.position
    );
  }

  #add({ key, value }: { key: string; value: string }, generations: ReadonlyMap<string, number>): void {
    const place = readParkedKey(key);
    if (place === undefined) return;
    const { service, name, generation, position } = place;
    const of = label(service, name);
    if ((generations.get(of) ?? generation) !== generation) return;
    const entry = readParked(position, value);
    if (typeof entry === "string") return;
    let parked = this.#bySubscription.get(of);
    if (parked === undefined) this.#bySubscription.set(of, parked = new Map());
    const { category, key: messageKey, time } = entry.message;
    const line = messageKey === undefined ? undefined : `${category}/${messageKey}`;
    parked.set(position, { key, service, name, position, time, dead: entry.dead, line });
  }
}

/** Calls back for every entry that is there now. */
async function list(bucket: Bucket | undefined, prefix: string, onChange: (change: Change) => void): Promise<void> {
  if (bucket === undefined) return;
  const end = new AbortController();
  try {
    await bucket.watch(prefix, onChange, { signal: end.signal });
  } finally {
    end.abort();
  }
}

function label(service: string, name: string): string {
  return `${service}/${name}`; // a service has no slash
}
