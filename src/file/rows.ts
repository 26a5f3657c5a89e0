/**
 * The messages of a stream as rows of a file: its storage. Payloads stay on disk, besides the last small ones. Readers
 * ask the index for their subjects; they walk the stream only if they have many.
 */
import type { StoredMessage } from "../ports/event_log.ts";
import type { NewMessage } from "../memory/new_message.ts";
import { firedMessage, scheduled, type ScheduleTimes } from "../memory/stream_schedules.ts";
import {
  DEDUPE,
  type LogStorage,
  sizeOf,
  type StorageStream,
  type StreamOnDisk,
  type StreamStorage,
} from "../memory/stream_storage.ts";
import { isPattern, type SubjectFilter, subjectFilter } from "../memory/subject_match.ts";
import { BoundedCount } from "./bounded_count.ts";
import { type Row, toSql } from "./driver.ts";
import { dropStream, streamTables } from "./format.ts";
import type { Room, RoomStatement, RowRoom } from "./room.ts";
import { RowTimer } from "./row_timer.ts";

/** Returns the streams of a file. */
export function streamsOf(room: Room): LogStorage {
  const all = room.statement("SELECT name, created, settings FROM stream ORDER BY number");
  const find = room.statement("SELECT number FROM stream WHERE name = ?");
  const add = room.statement(
    "INSERT INTO stream (name, created, settings, next, messages, bytes) VALUES (?, ?, ?, ?, 0, 0)",
  );
  const greatest = room.statement("SELECT greatest FROM removed WHERE name = ?");
  return {
    gate: room,
    streams: () =>
      all.all().map(({ name, created, settings }) => ({
        name: name as string,
        created: created as string,
        settings: Object.freeze(JSON.parse(settings as string)),
      })),
    open(record, first, stream) {
      const { name, created, settings } = record;
      let row = find.get(name);
      room.commit(() => {
        if (row === undefined) {
          add.run(name, created, JSON.stringify(settings), first);
          row = find.get(name)!;
          room.exec(streamTables(row.number as number));
        } else {
          // whoever postponed these schedules is another process, which has ended
          room.exec(`UPDATE m${row.number} SET due = 0, process = NULL WHERE process IS NOT NULL`);
        }
      });
      return new RowStorage(room, row!.number as number, record, stream);
    },
    greatest: (name) => (greatest.get(name)?.greatest ?? 0) as number,
    onRollback: (listener) => room.onRollback(listener),
  };
}

/** A subject of the stream, as it was last used. */
interface KnownSubject {
  readonly id: number;
  /** Sequence of its last message; `undefined`: not known. */
  last: number | undefined;
}

/** How a filter is read: by the index of each of its subjects, or, if it has many, by walking the stream. */
interface ReadPlan {
  /** Ids of the subjects; `undefined`: there are many, so that the stream is walked, from now on. */
  ids: readonly number[] | undefined;
  /** `#subjectsVersion` when {@link ReadPlan.ids} was read. */
  version: number;
  /** Ids of subjects that were looked at, and whether the filter matches them. */
  readonly matched: Map<number, boolean>;
  /** Its subjects, as last counted. */
  readonly counted: BoundedCount;
  /** The last page of a walk: all sequences of the filter from `from` on and before `to`, in order. */
  page: { readonly from: number; readonly to: number; readonly found: readonly number[]; next: number };
}

/** The stored messages of one stream. */
export class RowStorage implements StreamStorage {
  readonly #room: RowRoom;
  readonly #record: StreamOnDisk;
  readonly #number: number;
  readonly #schedules: RowTimer;
  readonly #expiry: RowTimer;
  readonly #sql;
  #next = 0;
  #messages = 0;
  #bytes = 0;
  /** Sequence of the first message; `undefined`: not known. */
  #first: number | undefined;
  /** Time of the last message: times never fall, so that messages are found by their time. */
  #time = 0;
  #hasChanged = false;
  /** Greatest id that a subject of the stream has had in this process: ids are not used again. */
  #subjectId = 0;
  #idsAdded = 0;
  /** The last small messages, by their sequence modulo the size. */
  readonly #recent: (StoredMessage | undefined)[] = new Array(RECENT);
  readonly #known = new Map<string, KnownSubject>();
  /** Grows when the stream gets a subject, or loses one. */
  #subjectsVersion = 0;
  #plans = new WeakMap<SubjectFilter, ReadPlan>();
  #closed = false;

  constructor(room: RowRoom, number: number, record: StreamOnDisk, stream: StorageStream) {
    this.#room = room;
    this.#number = number;
    this.#record = record;
    this.#sql = statements(room, number);
    const sql = this.#sql;
    this.#expiry = new RowTimer(room, {
      now: () => room.time(),
      first: () => sql.firstEnd.get()?.end as number | null | undefined ?? undefined,
      fire(now) {
        for (const { seq } of sql.ended.all(now)) stream.expire(seq as number);
      },
    });
    this.#schedules = new RowTimer(room, {
      now: () => room.clock.now(),
      ready: () => stream.ready(),
      first: () => sql.firstDue.get()?.due as number | null | undefined ?? undefined,
      fire: (now) => {
        for (const row of sql.due.all(now)) this.#fire(row, now, stream);
      },
    });
    this.#load();
    room.onCommit(() => this.#writeCounters());
    room.onRollback(() => {
      if (this.#closed) return;
      this.#load();
      this.#expiry.failed();
      this.#schedules.failed();
    });
    this.#expiry.arm();
    this.#schedules.arm();
  }

  get first(): number {
    return this.#first ??= (this.#sql.first.get()?.seq ?? this.#next) as number;
  }

  get next(): number {
    return this.#next;
  }

  get messages(): number {
    return this.#messages;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get time(): number {
    return this.#time;
  }

  push(message: NewMessage, time: number, schedule: ScheduleTimes | undefined): number {
    const { subject, data, headers, id, seconds } = message;
    const sql = this.#sql;
    const known = this.#find(subject) ?? this.#add(subject);
    if (schedule === undefined && this.#record.settings.schedules && known.last !== 0) sql.endSchedule.run(known.id);
    const sequence = this.#next;
    const at = Math.max(time, this.#time);
    const size = sizeOf({ subject, data, headers });
    const end = seconds === undefined ? null : Math.ceil(this.#room.time() + seconds * 1_000);
    const text = headers === undefined ? null : JSON.stringify(headers);
    const due = schedule?.due ?? null;
    const spec = schedule === undefined ? null : JSON.stringify(message.schedule);
    const process = message.schedule?.ofProcess ? 1 : null;
    sql.push.run(sequence, known.id, at, data, text, size, end, due, spec, process);
    if (id !== undefined) this.#remember(id, sequence);
    this.#next++;
    this.#messages++;
    this.#bytes += size;
    this.#time = at;
    this.#hasChanged = true;
    known.last = sequence;
    const isSmall = data.length <= SMALL;
    this.#recent[sequence % RECENT] = isSmall
      ? Object.freeze({ sequence, subject, time: at, data, headers })
      : undefined;
    if (end !== null) this.#expiry.arm(end);
    if (due !== null) this.#schedules.arm(due);
    return sequence;
  }

  at(sequence: number): StoredMessage | undefined {
    const recent = this.#recent[sequence % RECENT];
    if (recent?.sequence === sequence) return recent;
    const row = this.#sql.at.get(sequence);
    if (row === undefined) return undefined;
    return Object.freeze({
      sequence,
      subject: row.subject as string,
      time: row.time as number,
      data: row.data as Uint8Array,
      headers: row.headers === null ? undefined : Object.freeze(JSON.parse(row.headers as string)),
    });
  }

  last(subject: string): number {
    const known = this.#find(subject);
    if (known === undefined) return 0;
    return known.last ??= (this.#sql.last.get(known.id)?.seq ?? 0) as number;
  }

  known(id: string): number | undefined {
    return this.#sql.known.get(toSql(id), this.#room.time())?.seq as number | undefined;
  }

  subjects(pattern: string): string[] {
    if (!isPattern(pattern)) return this.last(pattern) === 0 ? [] : [pattern];
    return this.#names(subjectFilter([pattern]), Infinity)!;
  }

  sequences(subject: string, before = Infinity, from = 0, most = Infinity): number[] {
    const end = Math.min(before, this.#next);
    const filter = subjectFilter([subject]);
    const { ids } = this.#planOf(filter);
    if (ids === undefined) return this.#walk(filter, from, end, most);
    const limit = most === Infinity ? -1 : most;
    const found = ids.map((id) => this.#sql.sequences.all(id, from, end, limit).map(({ seq }) => seq as number));
    return found.length === 1 ? found[0] : found.flat().sort((a, b) => a - b).slice(0, most);
  }

  ahead(from: number, filter: SubjectFilter): number {
    let sequence = Math.max(from, this.first);
    // what was stored a moment ago is not asked for
    for (; sequence < this.#next; sequence++) {
      const recent = this.#recent[sequence % RECENT];
      if (recent?.sequence !== sequence) break;
      if (filter.matches(recent.subject)) return sequence;
    }
    if (sequence >= this.#next) return sequence;
    const plan = this.#planOf(filter);
    const { ids } = plan;
    if (ids === undefined) return this.#walkOn(filter, plan, sequence);
    let found = this.#next;
    for (const id of ids) found = Math.min(found, (this.#sql.ahead.get(id, sequence)?.seq ?? found) as number);
    return found;
  }

  lastOf(filter: SubjectFilter, least: number): number {
    const { ids } = this.#planOf(filter);
    if (ids !== undefined) {
      let found = least - 1;
      for (const id of ids) found = Math.max(found, (this.#sql.last.get(id)?.seq ?? 0) as number);
      return found;
    }
    for (let [before, pages] = [this.#next, 0];; pages++) {
      if (pages === PAGES_WALKED && this.#isIndexFaster(filter, before - least)) {
        return this.#nearest(filter, this.#sql.lastWithin, before - 1, Math.max, least - 1);
      }
      const rows = this.#sql.back.all(before, least, PAGE);
      const match = rows.find(({ subject }) => this.#matches(filter, subject as number));
      if (match !== undefined) return match.seq as number;
      if (rows.length < PAGE) return least - 1;
      before = rows[rows.length - 1].seq as number;
    }
  }

  since(time: number): number {
    let [low, high] = [this.first, this.#next];
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      const row = this.#sql.timed.get(middle);
      if (row === undefined || (row.time as number) >= time) high = middle;
      else low = (row.seq as number) + 1;
    }
    return (this.#sql.timed.get(low)?.seq ?? this.#next) as number;
  }

  remove(sequence: number): void {
    const row = this.#sql.remove.change(sequence);
    if (row === undefined) return;
    this.#messages--;
    this.#bytes -= row.size as number;
    this.#hasChanged = true;
    if (sequence === this.#first) this.#first = undefined;
    this.#recent[sequence % RECENT] = undefined;
    const name = this.#sql.forget.change(row.subject as number, row.subject as number)?.name as string | undefined;
    if (name !== undefined) {
      this.#known.delete(name);
      this.#subjectsVersion++;
    } else this.#staleLast(row.subject as number, sequence);
  }

  truncate(last: number): void {
    for (const { seq } of this.#sql.behind.all(last)) this.remove(seq as number);
    this.#sql.forgetIds.run(last);
    this.#next = Math.min(this.#next, last + 1);
    this.#first = undefined;
    this.#plans = new WeakMap();
    this.#time = (this.#sql.time.get()?.time ?? 0) as number;
    this.#hasChanged = true;
  }

  leapt(): void {
    this.#schedules.restart();
  }

  close(lost: boolean): void {
    if (lost) {
      // a transaction of its own: rolled back with the turn, the stream would be in the file and not in memory
      this.#room.commit(() => {
        this.#sql.setGreatest.run(this.#record.name, this.#next - 1);
        this.#room.exec(dropStream(this.#number));
      });
    }
    this.#closed = true;
    this.#expiry.close();
    this.#schedules.close();
  }

  #fire(row: Row, now: number, stream: StorageStream): void {
    // readers tell by its time which firing it is: with a later one, two firings could be for the same time
    const time = Math.floor(now);
    const schedule = scheduled(JSON.parse(row.schedule as string), time);
    const next = schedule.next(time);
    const headers = row.headers === null ? undefined : JSON.parse(row.headers as string);
    const [subject, data] = [row.subject as string, row.data as Uint8Array];
    stream.append(firedMessage({ subject, data, headers }, schedule, next), time);
    if (next === undefined) stream.purge(subject);
    else this.#sql.setDue.run(next, row.seq);
  }

  #remember(id: string, sequence: number): void {
    this.#sql.remember.run(toSql(id), sequence, Math.ceil(this.#room.time() + DEDUPE));
    if (++this.#idsAdded % IDS_ADDED === 0) this.#sql.forgetOld.run(this.#room.time());
  }

  #find(subject: string): KnownSubject | undefined {
    let known = this.#known.get(subject);
    if (known !== undefined) return known;
    const id = this.#sql.subject.get(subject)?.id as number | undefined;
    if (id === undefined) return undefined;
    known = { id, last: undefined };
    this.#keep(subject, known);
    return known;
  }

  #add(subject: string): KnownSubject {
    const known: KnownSubject = { id: this.#subjectId + 1, last: 0 };
    this.#sql.addSubject.run(known.id, subject);
    this.#subjectId = known.id;
    this.#subjectsVersion++;
    this.#keep(subject, known);
    return known;
  }

  #keep(subject: string, known: KnownSubject): void {
    if (this.#known.size >= MAX_KNOWN) this.#known.clear();
    this.#known.set(subject, known);
  }

  #staleLast(id: number, sequence: number): void {
    const name = this.#sql.name.get(id)?.name as string | undefined;
    const known = name === undefined ? undefined : this.#known.get(name);
    if (known?.last === sequence) known.last = undefined;
  }

  #planOf(filter: SubjectFilter): ReadPlan {
    let plan = this.#plans.get(filter);
    if (plan === undefined) {
      const page = { from: 0, to: 0, found: [], next: 0 };
      plan = { ids: [], version: -1, matched: new Map(), counted: new BoundedCount(), page };
      this.#plans.set(filter, plan);
    }
    // a filter with many subjects is walked from then on: counting them again would cost more
    if (plan.ids !== undefined && plan.version !== this.#subjectsVersion) {
      plan.version = this.#subjectsVersion;
      plan.ids = this.#names(filter, MAX_SUBJECTS)?.map((name) => this.#find(name)!.id);
    }
    return plan;
  }

  /** Returns the subjects of a filter; `undefined`: there are more than `most`. */
  #names(filter: SubjectFilter, most: number): string[] | undefined {
    const found = new Set<string>();
    for (const pattern of filter.patterns) {
      if (!isPattern(pattern)) {
        if (this.#find(pattern) !== undefined) found.add(pattern);
        continue;
      }
      const prefix = pattern.slice(0, pattern.search(/(?:^|\.)[*>](?:\.|$)/) + 1).replace(/^[*>]$/, "");
      const { matches } = subjectFilter([pattern]);
      const size = Math.min(PAGE, most + 1);
      let rows = this.#sql.names.all(prefix, size);
      for (let scanned = 0;;) {
        for (const { name } of rows) {
          if (!(name as string).startsWith(prefix)) break;
          if (matches(name as string)) found.add(name as string);
          // a wildcard within the pattern may pass over many subjects that do not match
          if (found.size > most || ++scanned > most * 16) return undefined;
        }
        const last = rows[rows.length - 1]?.name as string | undefined;
        if (rows.length < size || !last!.startsWith(prefix)) break;
        rows = this.#sql.namesBehind.all(last!, size);
      }
    }
    return [...found];
  }

  /** Returns at most `most` sequences of a filter, from `from` on and before `before`: looks at each message. */
  #walk(filter: SubjectFilter, from: number, before: number, most: number): number[] {
    const found: number[] = [];
    for (let next = from;;) {
      const rows = this.#sql.walk.all(next, before, PAGE);
      for (const { seq, subject } of rows) {
        if (!this.#matches(filter, subject as number)) continue;
        found.push(seq as number);
        if (found.length >= most) return found;
      }
      if (rows.length < PAGE) return found;
      next = rows[rows.length - 1].seq as number + 1;
    }
  }

  /**
   * Returns the first sequence of a filter at or behind `from`, or the next sequence of the stream. Remembers the page
   * that it has read, because the next call asks for the message behind.
   */
  #walkOn(filter: SubjectFilter, plan: ReadPlan, from: number): number {
    for (let [start, pages] = [from, 0];; pages++) {
      let { page } = plan;
      if (start < page.from || start >= page.to) {
        if (pages >= PAGES_WALKED && pages % PAGES_WALKED === 0 && this.#isIndexFaster(filter, this.#next - start)) {
          const to = this.#nearest(filter, this.#sql.firstWithin, start, Math.min, this.#next);
          // nothing of the filter is before `to`: the next call goes on there
          plan.page = { from: start, to, found: [], next: 0 };
          return to;
        }
        const rows = this.#sql.walk.all(start, this.#next, PAGE);
        const found = rows.filter(({ subject }) => this.#matches(filter, subject as number));
        const to = rows.length < PAGE ? this.#next : rows[rows.length - 1].seq as number + 1;
        page = plan.page = { from: start, to, found: found.map(({ seq }) => seq as number), next: 0 };
      }
      if (page.next > 0 && page.found[page.next - 1] >= start) page.next = 0;
      while (page.next < page.found.length && page.found[page.next] < start) page.next++;
      if (page.next < page.found.length) return page.found[page.next];
      if (page.to >= this.#next) return this.#next;
      start = page.to;
    }
  }

  /**
   * Returns true if asking the index for each subject of a filter takes less than walking over `distance` more
   * messages. Call if none of many messages matched: the subjects of the filter are few, or quiet.
   */
  #isIndexFaster(filter: SubjectFilter, distance: number): boolean {
    const plan = this.#planOf(filter);
    if (distance < PAGES_WALKED * PAGE || filter.patterns.some((pattern) => rangeOf(pattern) === undefined)) {
      return false;
    }
    const most = Math.ceil(distance / INDEX_COST);
    return plan.counted.isBelow(most, this.#subjectsVersion, () => {
      return filter.patterns.reduce((count, pattern) => {
        const [from, to] = rangeOf(pattern)!;
        return count + (this.#sql.countWithin.get(from, to, most)!.count as number);
      }, 0);
    });
  }

  /** Asks the index for the message of a filter that is nearest to a sequence, by `statement`. */
  #nearest(
    { patterns }: SubjectFilter,
    statement: RoomStatement,
    sequence: number,
    choose: (one: number, other: number) => number,
    none: number,
  ): number {
    return patterns.reduce((found, pattern) => {
      return choose(found, (statement.get(sequence, ...rangeOf(pattern)!)!.seq ?? none) as number);
    }, none);
  }

  #matches(filter: SubjectFilter, id: number): boolean {
    const { matched } = this.#planOf(filter);
    let is = matched.get(id);
    if (is === undefined) {
      if (matched.size >= MAX_KNOWN) matched.clear();
      matched.set(id, is = filter.matches(this.#sql.name.get(id)!.name as string));
    }
    return is;
  }

  /** Reads the counters from the file: at the beginning, and after a rollback. */
  #load(): void {
    const row = this.#sql.counters.get()!;
    this.#next = row.next as number;
    this.#messages = row.messages as number;
    this.#bytes = row.bytes as number;
    this.#first = undefined;
    this.#time = (this.#sql.time.get()?.time ?? 0) as number;
    this.#subjectId = Math.max(this.#subjectId, (this.#sql.maxSubject.get()?.id ?? 0) as number);
    this.#hasChanged = false;
    this.#recent.fill(undefined);
    this.#known.clear();
    this.#plans = new WeakMap();
  }

  #writeCounters(): void {
    if (!this.#hasChanged || this.#closed) return;
    this.#hasChanged = false;
    this.#sql.setCounters.run(this.#next, this.#messages, this.#bytes);
  }
}

/**
 * Returns the range of the subjects of a pattern, its end excluded, and the place in a subject behind which it has no
 * further token; `undefined`: the pattern has a wildcard before its last token.
 */
function rangeOf(pattern: string): readonly [from: string, to: string, last: number] | undefined {
  if (!isPattern(pattern)) return [pattern, `${pattern}\u0001`, NO_LIMIT];
  const prefix = pattern.slice(0, -1);
  if (!/\.[*>]$/.test(pattern) || isPattern(prefix.slice(0, -1))) return undefined;
  // "/" is behind "."; SQLite counts code points
  return [prefix, `${prefix.slice(0, -1)}/`, pattern.endsWith("*") ? [...prefix].length + 1 : NO_LIMIT];
}

function statements(room: RowRoom, number: number) {
  const sql = (text: string) => room.statement(text.replaceAll("#", `${number}`));
  return {
    counters: sql("SELECT next, messages, bytes FROM stream WHERE number = #"),
    setCounters: sql("UPDATE stream SET next = ?, messages = ?, bytes = ? WHERE number = #"),
    setGreatest: sql("INSERT OR REPLACE INTO removed VALUES (?, ?)"),
    first: sql("SELECT min(seq) AS seq FROM m#"),
    time: sql("SELECT time FROM m# ORDER BY seq DESC LIMIT 1"),
    push: sql("INSERT INTO m# VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"),
    at: sql(
      "SELECT s.name AS subject, m.time, m.data, m.headers FROM m# m JOIN s# s ON s.id = m.subject WHERE m.seq = ?",
    ),
    last: sql("SELECT max(seq) AS seq FROM m# WHERE subject = ?"),
    sequences: sql("SELECT seq FROM m# WHERE subject = ? AND seq >= ? AND seq < ? ORDER BY seq LIMIT ?"),
    ahead: sql("SELECT min(seq) AS seq FROM m# WHERE subject = ? AND seq >= ?"),
    walk: sql("SELECT seq, subject FROM m# WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?"),
    back: sql("SELECT seq, subject FROM m# WHERE seq < ? AND seq >= ? ORDER BY seq DESC LIMIT ?"),
    firstWithin: sql(within("min", ">=", "ASC")),
    lastWithin: sql(within("max", "<=", "DESC")),
    countWithin: sql("SELECT count(*) AS count FROM (SELECT 1 FROM s# WHERE name >= ? AND name < ? LIMIT ?)"),
    behind: sql("SELECT seq FROM m# WHERE seq > ?"),
    timed: sql("SELECT seq, time FROM m# WHERE seq >= ? ORDER BY seq LIMIT 1"),
    remove: sql("DELETE FROM m# WHERE seq = ? RETURNING subject, size"),
    subject: sql("SELECT id FROM s# WHERE name = ?"),
    name: sql("SELECT name FROM s# WHERE id = ?"),
    names: sql("SELECT name FROM s# WHERE name >= ? ORDER BY name LIMIT ?"),
    namesBehind: sql("SELECT name FROM s# WHERE name > ? ORDER BY name LIMIT ?"),
    maxSubject: sql("SELECT max(id) AS id FROM s#"),
    addSubject: sql("INSERT INTO s# VALUES (?, ?)"),
    // a subject goes with its last message: otherwise each run of a workflow would leave some behind
    forget: sql("DELETE FROM s# WHERE id = ? AND NOT EXISTS (SELECT 1 FROM m# WHERE subject = ?) RETURNING name"),
    known: sql("SELECT seq FROM i# WHERE id = ? AND until > ?"),
    remember: sql("INSERT OR REPLACE INTO i# VALUES (?, ?, ?)"),
    forgetIds: sql("DELETE FROM i# WHERE seq > ?"),
    forgetOld: sql("DELETE FROM i# WHERE id IN (SELECT id FROM i# WHERE until <= ? LIMIT 512)"),
    firstEnd: sql("SELECT min(end) AS end FROM m# WHERE end IS NOT NULL"),
    ended: sql("SELECT seq FROM m# WHERE end IS NOT NULL AND end <= ? ORDER BY end LIMIT 256"),
    firstDue: sql("SELECT min(due) AS due FROM m# WHERE due IS NOT NULL"),
    due: sql(
      "SELECT m.seq, s.name AS subject, m.data, m.headers, m.schedule FROM m# m JOIN s# s ON s.id = m.subject " +
        "WHERE m.due IS NOT NULL AND m.due <= ? ORDER BY m.due LIMIT 256",
    ),
    setDue: sql("UPDATE m# SET due = ? WHERE seq = ?"),
    endSchedule: sql("UPDATE m# SET due = NULL WHERE subject = ? AND due IS NOT NULL"),
  };
}

/** Finds the message of a range of subjects that is nearest to a sequence: one look into the index for each subject. */
function within(choose: "min" | "max", compare: ">=" | "<=", order: "ASC" | "DESC"): string {
  const nearest =
    `SELECT m.seq FROM m# m WHERE m.subject = s.id AND m.seq ${compare} ? ORDER BY m.seq ${order} LIMIT 1`;
  const subjects = "s.name >= ? AND s.name < ? AND instr(substr(s.name, ?), '.') = 0";
  return `SELECT ${choose}(seq) AS seq FROM (SELECT (${nearest}) AS seq FROM s# s WHERE ${subjects})`;
}

/** Number of messages that are kept in memory besides, if they are small. */
const RECENT = 4_096;
/** Size of a message that is kept in memory besides, in bytes. */
const SMALL = 1_024;
/** Number of subjects whose ids are kept in memory. */
const MAX_KNOWN = 20_000;
/** Number of subjects up to which a reader asks the index for each, instead of walking the stream. */
const MAX_SUBJECTS = 16;
/** Number of rows that are read at once. */
const PAGE = 256;
/** Number of pages without a message of the reader after which the index is asked, if that is faster. */
const PAGES_WALKED = 4;
/** A place in a subject that is behind its end. */
const NO_LIMIT = 1_000_000;
/** Cost of a look into the index, in messages walked over. */
const INDEX_COST = 2;
/** Number of ids after which those that are old enough are forgotten. */
const IDS_ADDED = 256;
