/**
 * The event log within one process, for tests and programs without a server: streams in memory, reached over
 * connections that can fail. This file has first the streams' simulated server, then a stream as a client reaches it.
 */
import { CatgaError, isCatgaError, unavailable } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import {
  type Appended,
  type AppendOptions,
  type AppendReceiver,
  checkAppend,
  checkLog,
  checkMost,
  checkPatterns,
  type ConditionalAppend,
  type EventLog,
  type FollowOptions,
  type LogAbilities,
  type LogOptions,
  type LogReader,
  type LogState,
  type LogStream,
  MAX_MESSAGES_READ,
  neverStored,
  notStoredNow,
  type ReadOptions,
  type StoredMessage,
} from "../ports/event_log.ts";
import { messageSize } from "../ports/transport.ts";
import type { FaultSource, LogOutage } from "./faults.ts";
import { StreamState } from "./stream_state.ts";
import { type NewMessage, newMessage } from "./new_message.ts";
import { isRolledBack, type SessionClient, StoreSession } from "./store_session.ts";
import { copyOf } from "./stream_consumer.ts";
import type { LogStorage, StorageStream, StreamOnDisk } from "./stream_storage.ts";
import { StreamReader } from "./stream_reader.ts";
import { overlap } from "./subject_match.ts";
import { tooLarge } from "../data/message_room.ts";
import { checkPattern, checkSubject } from "../data/checks.ts";

/**
 * The simulated server of the streams, which live as long as this object unless a storage keeps them.
 * @decides streams of the memory backend: opened, read and appended to, as a client reaches them
 */
export class MemoryEventLog implements EventLog {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #storage: LogStorage | undefined;
  readonly #streams = new Map<string, StreamState>();
  readonly #doubters = new Set<(name: string) => void>();
  /** Greatest sequence of each stream's messages, by the stream's name, over all streams that had this name. */
  readonly #greatest = new Map<string, number>();
  #made = 0;
  readonly #outages = new Set<LogOutage | "full">();
  /** Writes that wait until the streams' leader has a quorum again. */
  #waiting: (() => void)[] = [];

  /**
   * `faults`: decides how slow the server is, and how often it fails. `storage`: keeps the streams; default: they are
   * in memory.
   */
  constructor(clock: Clock, faults?: FaultSource, storage?: LogStorage) {
    this.#clock = clock;
    this.#faults = faults;
    this.#storage = storage;
    for (const record of storage?.streams() ?? []) this.#make(record, 0);
    storage?.onRollback(() => {
      // readers begin again: what they were sent of the turn was not stored
      for (const state of this.#streams.values()) state.interrupt();
    });
  }

  open(name: string, options: LogOptions): Promise<LogStream> {
    return this.#openOver(this.#session(), name, options);
  }

  /** Returns these streams as a client reaches them over its connection. */
  through(client: SessionClient): EventLog {
    const session = this.#session(client);
    return { open: (name, options) => this.#openOver(session, name, options) };
  }

  #session(client?: SessionClient): StoreSession {
    return new StoreSession(this.#clock, this.#faults, client, this.#storage?.gate);
  }

  async #openOver(session: StoreSession, name: string, options: LogOptions): Promise<LogStream> {
    checkLog(name, options);
    await session.call(() => {
      this.checkLed();
      this.stream(name, options);
    }, { gate: this.write });
    return new MemoryStream(name, options, this, session);
  }

  /** True if the streams have a leader. */
  get led(): boolean {
    return !this.#outages.has("noLeader");
  }

  /** True if the streams take no more messages. */
  get full(): boolean {
    return this.#outages.has("full");
  }

  /** Throws `UNAVAILABLE` if the streams have no leader. */
  checkLed(): void {
    if (!this.led) throw unavailable("the streams have no leader now");
  }

  /**
   * Performs a write of the streams at once or, if their leader has no quorum, when it has one again, in the order of
   * the calls.
   */
  readonly write = (perform: () => void): void => {
    if (this.#outages.has("noQuorum")) this.#waiting.push(perform);
    else perform();
  };

  /**
   * Begins an outage of all streams, which lasts until {@link MemoryEventLog.end} is called; see `Faults` for its
   * effect.
   */
  begin(outage: LogOutage | "full"): void {
    this.#outages.add(outage);
    if (outage !== "noLeader") return;
    for (const state of this.#streams.values()) state.interrupt();
  }

  end(outage: LogOutage | "full"): void {
    this.#outages.delete(outage);
    if (outage !== "noQuorum") return;
    for (const perform of this.#waiting.splice(0)) perform();
  }

  /** Returns the stream with this name, making it if there is none. */
  stream(name: string, options: LogOptions): StreamState {
    const found = this.#streams.get(name);
    if (found) {
      compare(name, found.settings, options);
      return found;
    }
    for (const [other, { settings }] of this.#streams) {
      const both = settings.subjects.find((one) => options.subjects.some((subject) => overlap(one, subject)));
      if (both === undefined) continue;
      throw new CatgaError(
        "LOG_MISMATCH",
        `the stream ${name} cannot be made: the stream ${other} has its subjects, ${both}`,
        { details: { stream: name, setting: "subjects", is: other, wanted: name } },
      );
    }
    // a time with 9 digits, as on NATS; the last digits distinguish streams made in the same ms
    const created = new Date(this.#clock.now()).toISOString().replace("Z", `${`${++this.#made}`.padStart(6, "0")}Z`);
    const greatest = Math.max(this.#greatest.get(name) ?? 0, this.#storage?.greatest(name) ?? 0);
    return this.#make({ name, created, settings: Object.freeze({ ...options }) }, greatest + 1);
  }

  #make(record: StreamOnDisk, least: number): StreamState {
    const { name, created, settings } = record;
    const ready = () => this.#outages.size === 0;
    const lag = () => this.#faults?.lag() ?? 0;
    const open = this.#storage;
    const storage = open && ((stream: StorageStream, first: number) => open.open(record, first, stream));
    const state = new StreamState(this.#clock, settings, { created, least, ready, lag, storage });
    this.#streams.set(name, state);
    return state;
  }

  /** Returns the stream with this name, if there is one. */
  get(name: string): StreamState | undefined {
    return this.#streams.get(name);
  }

  /** Returns the messages of a stream (at most 1,000) behind a sequence; none if the stream does not exist. */
  messages(name: string, after = 0): readonly StoredMessage[] {
    return this.#streams.get(name)?.read(">", after + 1, 1_000) ?? [];
  }

  /** Returns the subjects of all streams that match a pattern and have messages. */
  subjects(pattern: string): string[] {
    return [...this.#streams.values()].flatMap((state) => state.subjects(pattern));
  }

  /** Loses a stream with everything in it. Throws a `TypeError` if there is none with this name. */
  remove(name: string): void {
    const state = this.#find(name);
    this.#noteGreatest(name, state);
    state.remove();
    this.#streams.delete(name);
    this.#doubt(name);
  }

  /**
   * Loses the messages of a stream behind a sequence. Reports to clients that messages may be lost, as after the
   * reconnect that mostly comes with a loss; with `quietly`, reports nothing, as when only the stream's servers
   * restarted. Throws a `TypeError` if there is no stream with this name.
   */
  truncate(name: string, last: number, { quietly = false }: { readonly quietly?: boolean } = {}): void {
    const state = this.#find(name);
    this.#noteGreatest(name, state);
    state.truncate(last);
    if (!quietly) this.#doubt(name);
  }

  /** Loses the last messages of each stream, at most `count`. Returns their number. */
  loseTail(count: number): number {
    let lost = 0;
    for (const [name, { first, next }] of this.#streams) {
      const last = Math.max(first - 1, next - 1 - count);
      if (last >= next - 1) continue;
      lost += next - 1 - last;
      this.truncate(name, last);
    }
    return lost;
  }

  /** Fires the schedules that are due now, in all streams. Call when the clock's time of day has jumped. */
  leapt(): void {
    for (const state of this.#streams.values()) state.leapt();
  }

  /** Does what the next process on a file finds done: schedules of the ended one fire. */
  processEnded(): void {
    for (const state of this.#streams.values()) state.processEnded();
  }

  /** Calls `listener` when a stream has lost messages, until the returned function is called. */
  onDoubt(listener: (name: string) => void): () => void {
    const own = (name: string) => listener(name);
    this.#doubters.add(own);
    return () => this.#doubters.delete(own);
  }

  #find(name: string): StreamState {
    const found = this.#streams.get(name);
    if (found) return found;
    const others = [...this.#streams.keys()].join(", ") || "none";
    throw new TypeError(`there is no stream ${JSON.stringify(name)}; there are ${others}`);
  }

  /** Remembers the stream's greatest sequence. Call before the stream loses messages. */
  #noteGreatest(name: string, { next }: StreamState): void {
    this.#greatest.set(name, Math.max(this.#greatest.get(name) ?? 0, next - 1));
  }

  #doubt(name: string): void {
    for (const listener of [...this.#doubters]) listener(name);
  }
}

function compare(name: string, is: LogOptions, wanted: LogOptions): void {
  const text = ({ subjects, replicas, schedules }: LogOptions) => ({
    subjects: [...subjects].sort().join(", "),
    replicas,
    schedules,
  });
  const [left, right] = [text(is), text(wanted)];
  for (const setting of ["subjects", "replicas", "schedules"] as const) {
    if (left[setting] === right[setting]) continue;
    throw new CatgaError(
      "LOG_MISMATCH",
      `the stream ${name} exists with ${setting}: ${left[setting]}, not ${right[setting]}`,
      { details: { stream: name, setting, is: left[setting], wanted: right[setting] } },
    );
  }
}

// A stream as a client reaches it over its connection.

const ABILITIES: LogAbilities = Object.freeze({ at: true, cron: true, version: "memory" });

class MemoryStream implements LogStream {
  readonly name: string;
  readonly abilities = ABILITIES;
  readonly #options: LogOptions;
  readonly #server: MemoryEventLog;
  readonly #session: StoreSession;

  constructor(name: string, options: LogOptions, server: MemoryEventLog, session: StoreSession) {
    this.name = name;
    this.#options = options;
    this.#server = server;
    this.#session = session;
  }

  // the clock of the network, also for a process whose own wall clock differs
  get serverTime(): number {
    return this.#session.store.clock.now();
  }

  get latestServerTime(): number {
    return this.serverTime;
  }

  measureTime(): undefined {
    return undefined;
  }

  append(subject: string, data: string | Uint8Array, options: AppendOptions): Promise<Appended> {
    checkAppend(subject, options);
    return this.#append(newMessage(subject, data, options), options.timeout);
  }

  #append(message: NewMessage, limit: number): Promise<Appended> {
    const { subject } = message;
    const refused = this.#refuse(subject, messageSize(message));
    if (refused) return Promise.resolve(refused);
    return this.#session.call((): Appended => {
      if (!this.#server.led) return notStoredNow(unavailable(`the stream ${this.name} has no leader now`));
      const state = this.#server.get(this.name);
      if (this.#server.full) return notStoredNow(unavailable(`the stream ${this.name} takes no writes: it is full`));
      if (state?.takes(subject)) return state.append(message);
      this.#open();
      return notStoredNow(unavailable(`no stream ${this.name} takes ${subject}`));
    }, { gate: this.#server.write, limit }).catch(failed);
  }

  appendNext(receiver: AppendReceiver, subject: string, text: string, { due, expect }: ConditionalAppend): void {
    const { clock } = this.#session;
    const timeout = due - clock.monotonic();
    this.#append(newMessage(subject, text, { timeout, expect }), timeout)
      .then((appended) => receiver.appended(appended, clock.monotonic()));
  }

  state(): Promise<LogState | undefined> {
    return this.#session.call(() => {
      this.#server.checkLed();
      return this.#server.get(this.name)?.state();
    });
  }

  follow(options: FollowOptions): LogReader {
    checkPatterns(options.subjects);
    return new StreamReader(this.#session, () => this.#led(), options);
  }

  async last(subject: string, { latest = false }: { latest?: boolean } = {}): Promise<StoredMessage | undefined> {
    checkSubject(subject);
    return await this.#session.call(() => {
      const state = latest ? this.#led() : this.#open();
      const message = state.last(subject, latest ? Infinity : this.#seen(state));
      return message && copyOf(message);
    });
  }

  async at(sequence: number): Promise<StoredMessage | undefined> {
    return await this.#session.call(() => {
      const message = this.#led().at(sequence);
      return message && copyOf(message);
    });
  }

  async read(subject: string, options: ReadOptions): Promise<StoredMessage[]> {
    checkPattern(subject);
    const { most = MAX_MESSAGES_READ, onMessage } = options;
    checkMost(most);
    const found = await this.#session.call(() => {
      const state = this.#open();
      const from = "since" in options ? state.since(options.since) : options.from;
      return state.read(subject, from, most, this.#seen(state)).map(copyOf);
    });
    if (onMessage !== undefined) { for (const message of found) onMessage(message); }
    return found;
  }

  async subjects(pattern: string): Promise<string[]> {
    checkPattern(pattern);
    return await this.#session.call(() => this.#led().subjects(pattern));
  }

  async lasts(pattern: string, onMessage: (message: StoredMessage) => void): Promise<void> {
    checkPattern(pattern);
    const found = await this.#session.call(() => {
      const state = this.#open();
      return state.lasts(pattern, this.#seen(state)).map(copyOf);
    });
    found.forEach((message) => onMessage(message));
  }

  async purge(subject: string, options: { before?: number } = {}): Promise<number> {
    checkPattern(subject);
    return await this.#session.call(() => this.#led().purge(subject, options.before), { gate: this.#server.write });
  }

  onDoubt(listener: () => void): () => void {
    const undo = [
      this.#session.onStatus(({ state }) => {
        if (state === "connected") this.#session.soon(() => undo.length > 0 && listener());
      }),
      this.#server.onDoubt((name) => {
        if (name === this.name) this.#session.soon(() => undo.length > 0 && listener());
      }),
    ];
    const end = () => {
      for (const step of undo.splice(0)) step();
    };
    undo.push(this.#session.onDeath(end));
    return end;
  }

  /** Returns the stream, which is made anew if it was lost. Runs on the side of the simulated server. */
  #open(): StreamState {
    return this.#server.stream(this.name, this.#options);
  }

  /**
   * Returns the stream for an operation of its leader; throws if there is no leader. Runs on the side of the simulated
   * server.
   */
  #led(): StreamState {
    this.#server.checkLed();
    return this.#open();
  }

  /**
   * Returns the sequence before which the server that answers a read has all messages: that server may lag behind the
   * stream's leader.
   */
  #seen(state: StreamState): number {
    const { clock, faults } = this.#session.store;
    return faults?.hits("staleRead") ? state.since(clock.now() - LONGEST_LAG * faults.random()) : Infinity;
  }

  /** Returns why an append is refused without being sent; `undefined`: send it. */
  #refuse(subject: string, size: number): Appended | undefined {
    const { state, maxPayload } = this.#session;
    if (size > maxPayload) {
      return neverStored(tooLarge(`a message to ${subject}, with its headers,`, size, maxPayload, "publish"));
    }
    if (state === "closed") return neverStored(new CatgaError("CLOSED", "the connection to the store is closed"));
    if (state === "disconnected") return notStoredNow(unavailable("the connection to the store is cut"));
    return undefined;
  }
}

/** Maximum time by which an answering server lags behind the leader, in ms. */
const LONGEST_LAG = 100;

function failed(cause: unknown): Appended {
  if (isRolledBack(cause)) return notStoredNow(cause);
  const message = isCatgaError(cause) ? cause.message : String(cause);
  return { type: "unknown", error: new CatgaError("OUTCOME_UNKNOWN", message, { retryable: true, cause }) };
}
