/** The port {@link EventLog} within one process: streams in memory, reached over connections that can fail. */
import { CatgaError, isCatgaError } from "../error.ts";
import type { Clock } from "../ports/clock.ts";
import type {
  Appended,
  AppendOptions,
  EventLog,
  FollowOptions,
  LogAbilities,
  LogOptions,
  LogReader,
  LogState,
  LogStream,
  ReadOptions,
  StoredMessage,
} from "../ports/event_log.ts";
import { checkLog, checkMost, checkPatterns, MOST_READ } from "../ports/log_checks.ts";
import { checkPattern, checkSubject } from "../ports/transport.ts";
import type { FaultSource, LogOutage } from "./faults.ts";
import { LogServer } from "./log_server.ts";
import { messageSize, newMessage } from "./new_message.ts";
import { type SessionClient, StoreSession } from "./store_session.ts";
import { copyOf } from "./stream_consumer.ts";
import { StreamReader } from "./stream_reader.ts";
import type { StreamState } from "./stream_state.ts";

/** Streams that live as long as this object. */
export class MemoryEventLog implements EventLog {
  readonly #clock: Clock;
  readonly #faults: FaultSource | undefined;
  readonly #server: LogServer;
  readonly #session: StoreSession;

  /** No streams; with `of`, the streams of that one, reached over the connection of `client`. */
  constructor(clock: Clock, faults?: FaultSource, client?: SessionClient, of?: MemoryEventLog) {
    this.#clock = clock;
    this.#faults = faults;
    this.#session = new StoreSession(clock, faults, client);
    this.#server = of ? of.#server : new LogServer(clock, faults);
  }

  /** The same streams, as a client reaches them over the connection of `client`. */
  through(client: SessionClient): EventLog {
    return new MemoryEventLog(this.#clock, this.#faults, client, this);
  }

  async open(name: string, options: LogOptions): Promise<LogStream> {
    checkLog(name, options);
    const server = this.#server;
    await this.#session.call(() => {
      server.checkLed();
      server.open(name, options);
    }, { gate: server.write });
    return new MemoryStream(name, options, this.#server, this.#session);
  }

  /** Begins an outage of all streams, which lasts until {@link MemoryEventLog.end}: see `Faults`. */
  begin(outage: LogOutage): void {
    this.#server.begin(outage);
  }

  end(outage: LogOutage): void {
    this.#server.end(outage);
  }

  /** The messages of a stream (1,000 at most) behind a sequence; none of a stream that does not exist. */
  messages(name: string, after = 0): readonly StoredMessage[] {
    return this.#server.messages(name, after);
  }

  /** Loses a stream, with everything in it. Throws a `TypeError` if there is none of this name. */
  remove(name: string): void {
    this.#server.remove(name);
  }

  /**
   * Loses the messages of a stream behind a sequence. Clients get a doubt, as after the reconnect that mostly comes with it; `quietly`: they
   * do not, as when the stream's servers restarted and theirs did not. Throws a `TypeError` if there is none of this name.
   */
  truncate(name: string, last: number, options: { readonly quietly?: boolean } = {}): void {
    this.#server.truncate(name, last, options);
  }
}

const ABILITIES: LogAbilities = Object.freeze({ at: true, cron: true, version: "memory" });

class MemoryStream implements LogStream {
  readonly name: string;
  readonly abilities = ABILITIES;
  readonly #options: LogOptions;
  readonly #server: LogServer;
  readonly #session: StoreSession;

  constructor(name: string, options: LogOptions, server: LogServer, session: StoreSession) {
    this.name = name;
    this.#options = options;
    this.#server = server;
    this.#session = session;
  }

  get serverTime(): number {
    return this.#session.clock.now();
  }

  get latestServerTime(): number {
    return this.#session.clock.now();
  }

  measureTime(): undefined {
    return undefined;
  }

  append(subject: string, data: string | Uint8Array, options: AppendOptions): Promise<Appended> {
    const message = newMessage(subject, data, options);
    const refused = this.#refuse(subject, messageSize(message));
    if (refused) return Promise.resolve(refused);
    return this.#session.call((): Appended => {
      if (!this.#server.led) return refusal(true, "UNAVAILABLE", `the stream ${this.name} has no leader now`);
      const state = this.#server.get(this.name);
      if (state?.takes(subject)) return state.append(message);
      this.#open();
      return refusal(true, "UNAVAILABLE", `no stream ${this.name} takes ${subject}`);
    }, { gate: this.#server.write, limit: options.timeout }).catch(unknown);
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
    const { most = MOST_READ, onMessage } = options;
    checkMost(most);
    const found = await this.#session.call(() => {
      const state = this.#open();
      const from = "since" in options ? state.since(options.since) : options.from;
      return state.read(subject, from, most, this.#seen(state)).map(copyOf);
    });
    if (onMessage !== undefined) { for (const message of found) onMessage(message); }
    return found;
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
    return () => {
      for (const step of undo.splice(0)) step();
    };
  }

  /** In the store: the stream, which is made again if it was lost. */
  #open(): StreamState {
    return this.#server.open(this.name, this.#options);
  }

  /** The same, where only its leader will do. */
  #led(): StreamState {
    this.#server.checkLed();
    return this.#open();
  }

  /** Before which sequence a server has what was stored. */
  #seen(state: StreamState): number {
    const { clock, faults } = this.#session.store;
    return faults?.hits("staleRead") ? state.since(clock.now() - LAG * faults.random()) : Infinity;
  }

  /** What is not even sent. */
  #refuse(subject: string, size: number): Appended | undefined {
    const { state, maxPayload } = this.#session;
    if (size > maxPayload) {
      return refusal(
        false,
        "TOO_LARGE",
        `a message to ${subject} has ${size} bytes with its headers; at most ${maxPayload}`,
      );
    }
    if (state === "closed") return refusal(false, "CLOSED", "the connection to the store is closed");
    if (state === "disconnected") return refusal(true, "UNAVAILABLE", "the connection to the store is cut");
    return undefined;
  }
}

/** How far a server lags behind, at most, in ms. */
const LAG = 100;

function refusal(passing: boolean, code: "UNAVAILABLE" | "CLOSED" | "TOO_LARGE", message: string): Appended {
  return { type: "not stored", passing, error: new CatgaError(code, message, { retryable: passing }) };
}

function unknown(cause: unknown): Appended {
  const message = isCatgaError(cause) ? cause.message : String(cause);
  return { type: "unknown", error: new CatgaError("OUTCOME_UNKNOWN", message, { retryable: true, cause }) };
}
