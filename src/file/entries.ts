/** The entries of a bucket as rows of a file. Values stay on disk; one timer waits for the first entry that expires. */
import type { BucketSettings, Entry } from "../ports/key_value_store.ts";
import type { EntryStorage, HeldEntry, StoreStorage } from "../memory/bucket_entries.ts";
import { fromSql, type Row, toSql } from "./driver.ts";
import { bucketTable } from "./format.ts";
import { RowTimer } from "./row_timer.ts";
import type { Room, RowRoom } from "./room.ts";

/** Returns the buckets of a file. */
export function bucketsOf(room: Room): StoreStorage {
  const find = room.statement("SELECT number, settings, floor FROM bucket WHERE name = ?");
  const add = room.statement("INSERT INTO bucket (name, settings, floor) VALUES (?, ?, 0)");
  const settingsOf = (row: Row | undefined): Readonly<BucketSettings> | undefined =>
    row && JSON.parse(row.settings as string);
  return {
    gate: room,
    settings: (name) => settingsOf(find.get(name)),
    open(name, { ofProcesses, ...settings }, expire) {
      let row = find.get(name);
      room.commit(() => {
        if (row === undefined) {
          add.run(name, JSON.stringify(settings));
          row = find.get(name)!;
          room.exec(bucketTable(row.number as number));
        } else if (ofProcesses) room.exec(`DELETE FROM e${row.number}`);
      });
      return new RowEntries(room, row!.number as number, expire);
    },
  };
}

/** The entries of one bucket. */
export class RowEntries implements EntryStorage {
  readonly #room: RowRoom;
  readonly #timer: RowTimer;
  readonly #get;
  readonly #from;
  readonly #bytes;
  readonly #insert;
  readonly #update;
  readonly #delete;
  readonly #count;
  readonly #floor;
  readonly #reserve;
  /** Number of entries; `undefined`: not known, because nobody has asked since the rows were read or rolled back. */
  #size: number | undefined;
  #next = 0;
  /** Revision up to which the file has reserved revisions for this process. */
  #reserved = 0;

  constructor(room: RowRoom, number: number, expire: (key: string) => void) {
    this.#room = room;
    const sql = (text: string) => room.statement(text.replaceAll("#", `${number}`));
    this.#get = sql("SELECT value, revision FROM e# WHERE key = ?");
    this.#from = sql(
      "SELECT key, value, revision FROM e# WHERE key >= ? AND typeof(key) = 'text' ORDER BY key LIMIT ?",
    );
    this.#bytes = sql("SELECT key, value, revision FROM e# WHERE typeof(key) = 'blob'");
    this.#insert = sql("INSERT INTO e# (key, value, revision, end) VALUES (?, ?, ?, ?)");
    this.#update = sql("UPDATE e# SET value = ?, revision = ?, end = ? WHERE key = ?");
    this.#delete = sql("DELETE FROM e# WHERE key = ?");
    this.#count = sql("SELECT count(*) AS count FROM e#");
    this.#floor = sql("SELECT floor FROM bucket WHERE number = #");
    this.#reserve = sql("UPDATE bucket SET floor = ? WHERE number = #");
    const first = sql("SELECT min(end) AS end FROM e# WHERE end IS NOT NULL");
    const ended = sql("SELECT key FROM e# WHERE end IS NOT NULL AND end <= ? ORDER BY end LIMIT 256");
    this.#timer = new RowTimer(room, {
      now: () => room.time(),
      first: () => first.get()?.end as number | null | undefined ?? undefined,
      fire(now) {
        for (const { key } of ended.all(now)) expire(fromSql(key));
      },
    });
    this.#load();
    room.onRollback(() => {
      this.#load();
      this.#timer.failed();
    });
    this.#timer.arm();
  }

  get size(): number {
    return this.#size ??= this.#count.get()!.count as number;
  }

  get(key: string): HeldEntry | undefined {
    const row = this.#get.get(toSql(key));
    return row && { key, value: fromSql(row.value), revision: row.revision as number };
  }

  entries(prefix: string): Entry[] {
    const found: Entry[] = [];
    const add = (row: Row) => {
      const key = fromSql(row.key);
      if (!key.startsWith(prefix)) return false;
      found.push(Object.freeze({ key, value: fromSql(row.value), revision: row.revision as number }));
      return true;
    };
    for (let from = prefix, isBehind = false; !isBehind;) {
      const rows = this.#from.all(from, PAGE);
      // the first row of a further page is the last one of the page before
      for (const row of found.length === 0 ? rows : rows.slice(1)) isBehind ||= !add(row);
      isBehind ||= rows.length < PAGE;
      from = rows.length === 0 ? from : fromSql(rows[rows.length - 1].key);
    }
    for (const row of this.#bytes.all()) add(row);
    return found.sort((a, b) => a.revision - b.revision);
  }

  revision(): number {
    if (this.#next >= this.#reserved) {
      // reserved ahead, so that the revisions of the next process are greater, whatever the clock says then
      this.#reserve.run(this.#next + RESERVED);
      this.#reserved = this.#next + RESERVED;
    }
    return this.#next++;
  }

  write(found: HeldEntry | undefined, { key, value, revision }: Entry, seconds: number | undefined): boolean {
    const end = seconds === undefined ? null : Math.ceil(this.#room.time() + seconds * 1_000);
    if (found === undefined) {
      this.#insert.run(toSql(key), toSql(value), revision, end);
      if (this.#size !== undefined) this.#size++;
    } else this.#update.run(toSql(value), revision, end, toSql(key));
    if (end !== null) this.#timer.arm(end);
    return false;
  }

  remove({ key }: HeldEntry): void {
    this.#delete.run(toSql(key));
    if (this.#size !== undefined) this.#size--;
  }

  #load(): void {
    this.#size = undefined;
    const floor = (this.#floor.get()?.floor ?? 0) as number;
    // revisions start at the present time, as on NATS
    this.#next = Math.max(this.#next, floor, Math.floor(this.#room.time() * 1_000));
    this.#reserved = 0;
  }
}

/** Number of entries that are read at once. */
const PAGE = 512;
/** Number of revisions that are reserved at once. */
const RESERVED = 100_000;
