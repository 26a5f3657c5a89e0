/**
 * One open file: the writes of a turn of the event loop are one transaction, and nothing leaves before it is stored. A
 * turn that cannot be written is rolled back as a whole. There is no second truth in memory: reads see the rows, also
 * those of the turn.
 * @decides when a write to a file is stored, and what waits for that
 */
import { CatgaError } from "../error.ts";
import { thrownMessage } from "../data/cause_text.ts";
import { type Clock, OnceAMinute } from "../ports/clock.ts";
import { isRolledBack, rolledBack, type StoreGate } from "../memory/store_session.ts";
import { type Checkpoints, LOG_KEPT } from "./checkpoints.ts";
import {
  type Database,
  type FileDriver,
  type FileStatus,
  type LogFile,
  type Row,
  SQLITE_CORRUPT,
  SQLITE_FULL,
  SQLITE_NOTADB,
  sqliteCode,
  type SqlValue,
} from "./driver.ts";

/**
 * When a write counts as stored. `"disk"`: when it survives a power failure; `"process"`: when it survives the end of
 * this process.
 */
export type Durability = "disk" | "process";

/** Everything that a {@link Room} works with. */
export interface RoomParts {
  readonly path: string;
  /** Path of the lock file, by which this process owns the file. */
  readonly lockPath: string;
  readonly database: Database;
  readonly driver: FileDriver;
  readonly durability: Durability;
  readonly clock: Clock;
  /** Number of this start on the file: another process that owns the file has another one. */
  readonly epoch: number;
  /** The log, which is synced; `undefined` if nothing is. */
  readonly log: LogFile | undefined;
  readonly checkpoints: Checkpoints;
  /** Time of the store that the last process has left, in ms since 1970. */
  readonly left: number;
  /** Called when the file takes no writes, with the reason; every few seconds at most. */
  onTrouble(error: CatgaError): void;
  /** Called once, when the file can no longer be used: nothing leaves from then on. */
  onEnd(error: CatgaError): void;
}

/** A statement of a {@link Room}, prepared when it is first used. */
export interface RoomStatement {
  /** Writes, as a part of the turn's transaction. Throws if the turn cannot be written: then it is rolled back. */
  run(...values: SqlValue[]): number;
  /** Writes as `run` does, and returns the row that the statement returns. */
  change(...values: SqlValue[]): Row | undefined;
  /** Reads a row. */
  get(...values: SqlValue[]): Row | undefined;
  /** Reads all rows. */
  all(...values: SqlValue[]): Row[];
}

/** A room as the rows of streams and buckets use it; a tool beside the owner has one that only reads. */
export type RowRoom = Pick<
  Room,
  "clock" | "isEnded" | "time" | "statement" | "exec" | "commit" | "attempt" | "onCommit" | "onRollback" | "onClose"
>;

type Callback = (error?: CatgaError) => void;

/** The transactions of one file. */
export class Room implements StoreGate {
  readonly #parts: RoomParts;
  readonly #begin;
  readonly #commit;
  readonly #rollback;
  readonly #dataVersion;
  readonly #epoch;
  readonly #setClock;
  /** The file, its lock file and its log, and what was under these paths when it was opened. */
  readonly #owned: readonly string[];
  readonly #identities: readonly (string | undefined)[];
  readonly #beforeCommit = new Set<() => void>();
  readonly #rolledBack = new Set<() => void>();
  readonly #closing = new Set<() => void>();
  /** True while the turn has an open transaction. */
  #isOpen = false;
  /** Callbacks that wait for the commit of the turn, for the sync of committed turns, for the sync under way. */
  #turn: Callback[] = [];
  #committed: Callback[] = [];
  #syncing: Callback[] | undefined;
  /** The last sync beside the event loop, which never rejects. */
  #underWay: Promise<unknown> | undefined;
  /** True if a turn was committed since the sync under way began. */
  #isUnsynced = false;
  /** How long the last syncs took, in ms. */
  #pace = Infinity;
  #version: SqlValue | undefined;
  #ended: CatgaError | undefined;
  readonly #reports: OnceAMinute;
  #clockWritten = -Infinity;
  /** When the paths were last looked up, by the monotonic clock. */
  #looked = -Infinity;
  /** The greatest time of the store until now, and when that was by the monotonic clock. */
  #base: { readonly time: number; readonly monotonic: number };

  constructor(parts: RoomParts) {
    this.#parts = parts;
    const { database, driver, path, lockPath, clock, left } = parts;
    this.#reports = new OnceAMinute(clock);
    this.#begin = database.prepare("BEGIN IMMEDIATE");
    this.#commit = database.prepare("COMMIT");
    this.#rollback = database.prepare("ROLLBACK");
    this.#dataVersion = database.prepare("PRAGMA data_version");
    this.#epoch = database.prepare("SELECT value FROM meta WHERE key = 'epoch'");
    this.#setClock = database.prepare("UPDATE meta SET value = ? WHERE key = 'clock'");
    this.#version = this.#dataVersion.get()?.data_version;
    this.#owned = [path, lockPath, `${path}-wal`];
    this.#identities = this.#owned.map((each) => driver.status(each)?.identity);
    this.#base = { time: Math.max(clock.now(), left), monotonic: clock.monotonic() };
  }

  /** The wall clock, and timers. */
  get clock(): Clock {
    return this.#parts.clock;
  }

  get database(): Database {
    return this.#parts.database;
  }

  /** True if the file can no longer be used, or is closed. */
  get isEnded(): boolean {
    return this.#ended !== undefined;
  }

  /**
   * The time of the store, in ms since 1970, by which entries expire and ids are forgotten: it never falls, also over
   * restarts, whatever happens to the wall clock.
   */
  time(): number {
    const { clock } = this.#parts;
    const [now, monotonic] = [clock.now(), clock.monotonic()];
    const time = this.#base.time + monotonic - this.#base.monotonic;
    if (now <= time) return time;
    // the wall clock was set forward: when it is set back, the time of the store goes on from here
    this.#base = { time: now, monotonic };
    return now;
  }

  /** Calls `listener` before each commit: what it writes is a part of the turn. */
  onCommit(listener: () => void): void {
    this.#beforeCommit.add(listener);
  }

  /** Calls `listener` when a turn was rolled back: the rows are as they were before the turn. */
  onRollback(listener: () => void): void {
    this.#rolledBack.add(listener);
  }

  /** Calls `listener` when the file is to be closed. */
  onClose(listener: () => void): void {
    this.#closing.add(listener);
  }

  /** Makes a statement, which is prepared when it is first used. */
  statement(sql: string): RoomStatement {
    let prepared: ReturnType<Database["prepare"]> | undefined;
    const ready = () => prepared ??= this.database.prepare(sql);
    return {
      run: (...values) => this.#write(() => ready().run(...values)),
      change: (...values) => this.#write(() => ready().get(...values)),
      get: (...values) => this.#read(() => ready().get(...values)),
      all: (...values) => this.#read(() => ready().all(...values)),
    };
  }

  /** Executes statements that change the file, as a part of the turn. */
  exec(sql: string): void {
    this.#write(() => this.database.exec(sql));
  }

  /**
   * Runs `work` as a transaction of its own, which is committed when it returns. Throws if that cannot be written: then
   * nothing of it was. So what is made in memory for the new rows is never rolled back.
   */
  commit(work: () => void): void {
    this.#endTurn();
    this.#write(work);
    const failure = this.#endTurn();
    if (failure !== undefined) throw failure;
  }

  /**
   * Runs work of a timer, which writes: if the turn cannot be written, `work` has done nothing. Returns false then.
   */
  attempt(work: () => void): boolean {
    if (this.#ended) return false;
    try {
      work();
      return true;
    } catch (error) {
      if (this.#ended || isRolledBack(error)) return false;
      throw error;
    }
  }

  after(callback: Callback): void {
    if (this.#ended) callback(this.#ended);
    else if (this.#isOpen) this.#turn.push(callback);
    else if (this.#isUnsynced || this.#committed.length > 0) this.#committed.push(callback);
    else if (this.#syncing !== undefined) this.#syncing.push(callback);
    else callback();
  }

  /** Resolves when everything that was written until now is stored, or was rolled back. */
  settled(): Promise<void> {
    return new Promise((resolve) => this.after(() => resolve()));
  }

  /** Ends the use of the file because of an error: nothing leaves any more. */
  end(error: CatgaError): void {
    if (this.#ended) return;
    this.#ended = error;
    if (this.#isOpen) this.#tryRollBack();
    this.#isOpen = false;
    const waiting = [...this.#syncing ?? [], ...this.#committed, ...this.#turn];
    [this.#turn, this.#committed, this.#syncing] = [[], [], undefined];
    for (const callback of waiting) callback(error);
    this.#parts.onEnd(error);
  }

  /** Stores what was written, marks the file as whole, and closes it. */
  async close(): Promise<void> {
    for (const listener of this.#closing) listener();
    this.#endTurn();
    await this.settled();
    const { database, log, checkpoints } = this.#parts;
    await checkpoints.close();
    if (this.#ended === undefined) {
      this.attempt(() => {
        this.#clockWritten = -Infinity;
        this.exec("UPDATE meta SET value = 0 WHERE key = 'open'");
      });
      this.#endTurn();
      await this.settled();
    }
    this.#ended ??= new CatgaError("CLOSED", `the file ${this.#parts.path} is closed`);
    await this.#underWay; // a use that has ended does not wait for its last sync, whose file is closed here
    await log?.close();
    database.close();
  }

  #read<T>(work: () => T): T {
    if (this.#ended) throw this.#ended;
    try {
      return work();
    } catch (error) {
      // an I/O error: the state in memory is untouched, and what was written in the turn is given up
      throw this.#giveUp(error);
    }
  }

  #write<T>(work: () => T): T {
    if (this.#ended) throw this.#ended;
    try {
      if (!this.#isOpen) this.#open();
      return work();
    } catch (error) {
      throw this.#giveUp(error);
    }
  }

  #open(): void {
    this.#begin.run();
    this.#isOpen = true;
    const version = this.#dataVersion.get()?.data_version;
    if (version !== this.#version) {
      // another connection has written: an operator's, or that of another owner
      if (this.#epoch.get()?.value !== this.#parts.epoch) throw this.#lose("another process has taken it");
      this.#version = version;
    }
    this.#parts.clock.soon(() => void this.#endTurn());
  }

  /** Commits the turn, if one is open. Returns the error if it was rolled back instead. */
  #endTurn(): unknown {
    if (!this.#isOpen) return undefined;
    try {
      for (const listener of this.#beforeCommit) listener();
      if (this.clock.monotonic() - this.#clockWritten >= CLOCK_EVERY) {
        this.#clockWritten = this.clock.monotonic();
        this.#setClock.run(Math.floor(this.time()));
      }
      this.#commit.run();
    } catch (error) {
      return this.#isOpen ? this.#giveUp(error) : error;
    }
    this.#isOpen = false;
    this.#committed.push(...this.#turn);
    this.#turn = [];
    this.#isUnsynced = true;
    this.#sync();
    return undefined;
  }

  /**
   * Makes committed turns durable, and then lets out what waits for them: one sync at a time, each for all turns that
   * were committed before it began. Also looks whether the file is still the one under its path.
   */
  #sync(): void {
    if (this.#syncing !== undefined || !this.#isUnsynced) return;
    const { durability, log, clock, driver, checkpoints } = this.#parts;
    const waiting = this.#syncing = this.#committed;
    this.#committed = [];
    this.#isUnsynced = false;
    const since = clock.monotonic();
    if (durability === "process" || log === undefined) {
      this.#release();
      // looked up beside what leaves: this promises only what survives the end of the process
      if (since - this.#looked >= LOOK_EVERY) {
        void this.#lookLater(since).catch((error) => this.#unusable("looked up", error));
      }
      return;
    }
    // a single waiter would mostly wait for the pool: a fast disk is synced in the loop
    if (waiting.length === 1 && this.#pace < FAST_SYNC) {
      try {
        log.syncNow();
        const found = this.#owned.map((each) => driver.status(each));
        if (!this.#look(found)) return;
        checkpoints.grown(found[2]!.size);
      } catch (error) {
        return this.#unusable("synced", error);
      }
      return this.#synced(since);
    }
    this.#underWay = Promise.all([log.sync(), this.#lookLater(since)]).then(
      ([, isOurs]) => isOurs && this.#synced(since),
      (error) => this.#unusable("synced", error),
    );
  }

  #synced(since: number): void {
    if (this.#ended) return;
    this.#pace = this.clock.monotonic() - since;
    this.#release();
    if (this.#isUnsynced) this.#sync();
  }

  /** Lets out what has waited for the sync, and what is added meanwhile behind it. */
  #release(): void {
    const waiting = this.#syncing!;
    for (let i = 0; i < waiting.length && this.#syncing === waiting; i++) waiting[i]();
    if (this.#syncing === waiting) this.#syncing = undefined;
  }

  /** Returns true if the file, its lock file and its log are still those under their paths. */
  async #lookLater(now: number): Promise<boolean> {
    this.#looked = now;
    const { driver, checkpoints } = this.#parts;
    const found = await Promise.all(this.#owned.map((each) => driver.statusLater(each)));
    if (this.#ended || !this.#look(found)) return false;
    checkpoints.grown(found[2]!.size);
    return true;
  }

  #look(found: readonly (FileStatus | undefined)[]): boolean {
    for (const [index, identity] of this.#identities.entries()) {
      if (found[index]?.identity === identity) continue;
      const which = ["it", "its lock file", "its log"][index];
      this.#lose(`${which} was ${found[index] === undefined ? "removed or moved" : "replaced"}`);
      return false;
    }
    return true;
  }

  #lose(why: string): CatgaError {
    const { path } = this.#parts;
    const message =
      `the file ${path} can no longer be used: ${why} while this process used it. What this process has ` +
      "not acknowledged may be lost. End this process, put the file back, and start again";
    const error = new CatgaError("CLOSED", message, { details: { file: path } });
    this.end(error);
    return error;
  }

  #unusable(what: "synced" | "looked up", error: unknown): void {
    if (this.#ended) return;
    const { path } = this.#parts;
    const message = `the file ${path} could not be ${what}: ${thrownMessage(error)}. What this process has not ` +
      "acknowledged may be lost; a second attempt would prove nothing, so this process ends. Check the disk, and start again";
    this.end(new CatgaError("CLOSED", message, { details: { file: path }, cause: error }));
  }

  /** Ends the use of a damaged file: a reader would pass over what cannot be read, and writes may damage more. */
  #damaged(error: unknown): CatgaError {
    const { path } = this.#parts;
    const message =
      `the file ${path} is damaged: ${thrownMessage(error)}. End this process. \`catga file check\` says ` +
      "where; restore a backup, or `catga file export` what is whole";
    const failure = new CatgaError("CLOSED", message, { details: { file: path }, cause: error });
    this.end(failure);
    return failure;
  }

  /** Rolls the turn back, and tells everyone who waits for it. Returns the error for the one who has just failed. */
  #giveUp(error: unknown): unknown {
    if (this.#ended) return this.#ended;
    const { path, driver } = this.#parts;
    const code = sqliteCode(error);
    if (code === SQLITE_CORRUPT || code === SQLITE_NOTADB) return this.#damaged(error);
    const isFull = code === SQLITE_FULL;
    const { text, ...room } = isFull ? missingRoom(path, driver) : { text: thrownMessage(error) };
    const failure = rolledBack(text, { file: path, ...room }, isFull ? new StoreFull(thrownMessage(error)) : error);
    this.#tryRollBack();
    this.#isOpen = false;
    this.#clockWritten = -Infinity;
    const waiting = this.#turn;
    this.#turn = [];
    for (const listener of this.#rolledBack) listener();
    for (const callback of waiting) callback(failure);
    if (this.#reports.due("trouble", REPORT_EVERY)) this.#parts.onTrouble(failure);
    return failure;
  }

  #tryRollBack(): void {
    // after an error such as a full disk SQLite has rolled back by itself
    if (this.database.isTransaction) this.#rollback.run();
  }
}

/** Says how much room is missing on the disk of a file. The sizes are in bytes. */
function missingRoom(path: string, driver: FileDriver): {
  readonly text: string;
  readonly free?: number | undefined;
  readonly missing?: number | undefined;
} {
  const free = driver.freeRoom(path);
  const missing = free === undefined ? undefined : ROOM_NEEDED - free;
  if (missing === undefined) return { text: `the disk is full, or ${path} may not grow` };
  if (missing <= 0) {
    return { free, text: `${path} may not grow, though its disk has room: look at quotas and limits of this process` };
  }
  const mb = (bytes: number) => `${Math.ceil(bytes / 100_000) / 10} MB`;
  const text = `the disk of ${path} is full: ${mb(free!)} are free, and ${mb(missing)} are missing`;
  return { free, missing, text };
}

/** The cause of a refused write by which alarms know that the store is full (`isStoreFull`). */
class StoreFull extends Error {
  readonly refusal = "full";
}

/** Interval at which the time of the store is written, in ms: a set-back clock lengthens a ttl by this at most. */
const CLOCK_EVERY = 1_000;
/** Room with which writes go on: twice the log that is kept, because it is copied into the file. */
const ROOM_NEEDED = 2 * LOG_KEPT;
/** Interval between two reports that the file takes no writes, in ms. */
const REPORT_EVERY = 5_000;
/** Interval at which the paths are looked up without a sync, in ms. */
const LOOK_EVERY = 100;
/** Time of a sync up to which it is made in the event loop if a single one waits for it, in ms. */
const FAST_SYNC = 0.5;
