/** The port {@link EventLog} on NATS: streams of JetStream. Loaded only by programs that use the log. */
import { CatgaError } from "../../error.ts";
import {
  type Appended,
  appendHeaders,
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
  type LogSchedule,
  type LogState,
  type LogStream,
  MAX_MESSAGES_READ,
  neverStored,
  notStoredNow,
  type ReadOptions,
  type StoredMessage,
} from "../../ports/event_log.ts";
import { AcknowledgementReader } from "../stream/acknowledgement.ts";
import { Feed } from "../reading/feed.ts";
import { JetStream } from "../stream/jetstream.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import { OwnedStream } from "../stream/owned_stream.ts";
import { abilitiesOf, checkLogSettings, logSettings, MAX_FIRST_SEQUENCE } from "./log_settings.ts";
import { toState } from "../reading/log_place.ts";
import { NatsLogReader } from "../reading/log_reader.ts";
import { readBatch, subjectsOf } from "./log_reads.ts";
import { PendingAppends } from "./pending_appends.ts";
import { SharedConsumers } from "../reading/shared_consumers.ts";
import type { NatsTransport } from "../connection/transport.ts";
import { checkPattern, checkSubject } from "../../data/checks.ts";

/** The streams of a NATS connection, as an event log. Closing the transport closes them. */
export class NatsEventLog implements EventLog {
  readonly #transport: NatsTransport;
  readonly #js: JetStream;

  constructor(transport: NatsTransport) {
    this.#transport = transport;
    this.#js = new JetStream(transport);
  }

  async open(name: string, options: LogOptions): Promise<LogStream> {
    checkLog(name, options);
    const stream = new NatsLogStream(this.#transport, this.#js, name, options);
    await stream.open();
    return stream;
  }
}

/** A stream of JetStream, as the log reads and appends to it. */
export class NatsLogStream implements LogStream {
  readonly name: string;
  readonly #transport: NatsTransport;
  readonly #stream: OwnedStream;
  readonly #consumers: SharedConsumers;
  readonly #pending: PendingAppends;
  readonly #options: LogOptions;
  #version: string | undefined;
  #abilities: LogAbilities | undefined;
  /**
   * Settings of the stream while schedules are off in it although this log needs them; `undefined`: they are on, or not
   * needed.
   */
  #withoutSchedules: Readonly<Record<string, unknown>> | undefined;
  /** Error because of which schedules could not be enabled for the stream; `undefined`: none. */
  #noSchedules: unknown;
  /** Error because of which the lost stream could not be made anew; `undefined`: it is not lost. */
  #lost: CatgaError | undefined;
  /** Error because of which the stream cannot be used: its settings are wrong. */
  #fault: CatgaError | undefined;

  constructor(transport: NatsTransport, js: JetStream, name: string, options: LogOptions) {
    this.name = name;
    this.#transport = transport;
    this.#options = options;
    const what = `the stream ${name}`;
    this.#stream = new OwnedStream(transport, js, {
      name,
      what,
      settings: () => logSettings(this.#wanted()),
      check: (config) => this.#check(config),
      perMs: 1,
      most: MAX_FIRST_SEQUENCE,
      heartbeat: 500,
      countsRemoved: true,
      seen: options.seen,
    });
    this.#consumers = new SharedConsumers(this.#stream);
    this.#pending = new PendingAppends(
      transport,
      new AcknowledgementReader(name, what, (domain) => transport.storeDomain.isForeign(domain)),
      what,
      () => this.#restore(),
      (sequence) => this.#stream.noteRevision(sequence),
    );
  }

  /** Finds the stream or creates it. If an older server made it, enables schedules. Rejects like `EventLog.open`. */
  async open(): Promise<void> {
    const { js, name } = this.#stream;
    await this.#stream.open();
    const config = this.#withoutSchedules;
    if (config === undefined) return;
    const settings = { ...config, ...logSettings(this.#wanted()) };
    try {
      await this.#stream.attempt((limit) => js.manage((jsm) => jsm.streams.update(name, settings), limit));
      this.#withoutSchedules = undefined;
    } catch (error) {
      // the error is not thrown, because everything else works: an append with a schedule gets it
      this.#noSchedules = error;
    }
  }

  get serverTime(): number {
    const { clock } = this.#transport;
    const { serverClock } = this.#stream;
    return serverClock.known ? serverClock.at(clock.monotonic()) : clock.now();
  }

  get latestServerTime(): number {
    const { clock } = this.#transport;
    const { serverClock } = this.#stream;
    return serverClock.known ? serverClock.latest(clock.monotonic()) : clock.now();
  }

  measureTime(): Promise<void> | undefined {
    return this.#stream.serverClock.exact ? undefined : this.#stream.measureClock();
  }

  get abilities(): LogAbilities | undefined {
    // the version is `undefined` while disconnected: the last known abilities then stay valid
    const version = this.#transport.connection.info?.version;
    if (version !== undefined && version !== this.#version) {
      this.#version = version;
      this.#abilities = abilitiesOf(version);
    }
    return this.#abilities;
  }

  append(subject: string, data: string | Uint8Array, options: AppendOptions): Promise<Appended> {
    checkAppend(subject, options);
    const { schedule, timeout } = options;
    const unsupported = schedule && this.#unsupported(schedule);
    if (unsupported) return Promise.resolve(neverStored(unsupported));
    const now = this.#transport.clock.monotonic();
    const fault = this.#faultNow(now);
    if (fault !== undefined) return Promise.resolve(fault);
    const { promise, resolve } = Promise.withResolvers<Appended>();
    const due = now + timeout;
    this.#pending.send({ appended: resolve }, subject, data, { headers: appendHeaders(options), due, awaited: true });
    return promise;
  }

  appendNext(receiver: AppendReceiver, subject: string, text: string, { now, due, expect }: ConditionalAppend): void {
    const fault = this.#faultNow(now);
    if (fault !== undefined) return this.#pending.settle(receiver, fault);
    const headers = { "Nats-Expected-Last-Subject-Sequence": `${expect}` };
    this.#pending.send(receiver, subject, text, { headers, due });
  }

  /**
   * Returns the outcome of an append that would certainly fail now; `undefined`: it may succeed. `now`: by the
   * monotonic clock.
   */
  #faultNow(now?: number): Appended | undefined {
    this.#stream.check(now)?.catch(() => {}); // `#check` has recorded a mismatch
    const fault = this.#fault;
    return fault && (fault.retryable ? notStoredNow(fault) : neverStored(fault));
  }

  async state(): Promise<LogState | undefined> {
    const stream = this.#stream;
    try {
      return toState(stream, await stream.info({ whenMissing: "fail" }));
    } catch (error) {
      if (error instanceof JetStreamRefusal && error.refusal === "no stream") return undefined;
      throw error;
    }
  }

  follow(options: FollowOptions): LogReader {
    checkPatterns(options.subjects);
    return new NatsLogReader(this.#consumers, options);
  }

  async last(subject: string, options: { latest?: boolean } = {}): Promise<StoredMessage | undefined> {
    checkSubject(subject);
    const { js, name, direct } = this.#stream;
    const ofLeader = (limit: number) => js.message(name, { last_by_subj: subject }, limit);
    return await this.#stream.attempt(options.latest ? ofLeader : (limit) => direct.last(subject, limit));
  }

  async at(sequence: number): Promise<StoredMessage | undefined> {
    const { js, name } = this.#stream;
    // no message has such a sequence, and a server refuses the request, as often as it is asked
    if (sequence < 1) return undefined;
    return await this.#stream.attempt((limit) => js.message(name, { seq: sequence }, limit));
  }

  async read(subject: string, options: ReadOptions): Promise<StoredMessage[]> {
    checkPattern(subject);
    const { most = MAX_MESSAGES_READ, onMessage } = options;
    checkMost(most);
    const request = "since" in options
      ? { subject, from: 1, since: options.since, most, onMessage }
      : { subject, from: Math.max(1, options.from), most, onMessage };
    return await this.#stream.attempt((limit) => readBatch(this.#stream, request, limit));
  }

  async subjects(pattern: string): Promise<string[]> {
    checkPattern(pattern);
    return await this.#stream.attempt((limit) => subjectsOf(this.#stream, pattern, limit));
  }

  async lasts(pattern: string, onMessage: (message: StoredMessage) => void): Promise<void> {
    checkPattern(pattern);
    await this.#stream.attempt((limit) => Feed.list(this.#stream, pattern, limit, onMessage));
  }

  async purge(subject: string, options: { before?: number } = {}): Promise<number> {
    checkPattern(subject);
    const { js, name } = this.#stream;
    const { before } = options;
    if (before !== undefined && before < 1) return 0; // for a server, 0 would mean all
    const request = { filter: subject, ...(before === undefined ? {} : { seq: before }) };
    const { purged } = await this.#stream.attempt(
      (limit) => js.manage((jsm) => jsm.streams.purge(name, request), limit),
      // the purge is not repeated after a lost answer, because a second purge would not count the messages that the
      // first one has removed
      { once: true },
    );
    return Number(purged ?? 0);
  }

  onDoubt(listener: () => void): () => void {
    const stopStatus = this.#transport.onStatus(({ state }) => state === "connected" && listener());
    const stopRecreated = this.#stream.onRecreated(listener);
    return () => {
      stopStatus();
      stopRecreated();
    };
  }

  /** Returns the options of the stream, reduced to what the server can do. */
  #wanted(): LogOptions {
    return { ...this.#options, schedules: this.#options.schedules && this.abilities?.at === true };
  }

  /** Throws `LOG_MISMATCH` if the stream's settings are wrong; appends are then refused until they are right. */
  #check(config: Readonly<Record<string, unknown>>): void {
    // the present server may be older than the one that made the stream
    const schedules = this.#options.schedules && config.allow_msg_schedules === true;
    try {
      checkLogSettings(this.name, config, { ...this.#options, schedules });
    } catch (error) {
      this.#fault = error as CatgaError; // nothing else is thrown
      throw error;
    }
    const lacking = this.#wanted().schedules && !schedules;
    this.#withoutSchedules = lacking ? config : undefined;
    this.#fault = undefined;
  }

  #unsupported({ at }: LogSchedule): CatgaError | undefined {
    const { abilities } = this;
    if (this.#withoutSchedules !== undefined) {
      const why = this.#noSchedules instanceof Error ? ` (${this.#noSchedules.message})` : "";
      return new CatgaError(
        "UNSUPPORTED",
        `the stream ${this.name} was made by a nats-server without schedules, and could not be given any${why}: open it ` +
          `once as a user who may publish to $JS.API.STREAM.UPDATE.${this.name}`,
        { details: { version: abilities?.version }, cause: this.#noSchedules },
      );
    }
    // with unknown abilities of the server, the append is sent; a server that cannot schedule it refuses it
    if (abilities === undefined || (typeof at === "number" ? abilities.at : abilities.cron)) return undefined;
    const [what, needed] = typeof at === "number" ? ["messages for later", "2.12"] : ["cron", "2.14"];
    return new CatgaError(
      "UNSUPPORTED",
      `the nats-server is version ${abilities.version}, which cannot do ${what}: install ${needed} or newer`,
      { details: { version: abilities.version } },
    );
  }

  /**
   * Begins to find the stream, or create it anew. Returns at once: the error with which the last attempt failed;
   * `undefined`: it did not fail, or none has ended. Call when appends get no acknowledgement, because the stream is
   * lost or has no leader.
   */
  #restore(): CatgaError | undefined {
    this.#stream.restore().then(() => {
      this.#lost = this.#fault = undefined;
    }, (error) => {
      this.#lost = error instanceof CatgaError ? error : undefined;
    });
    return this.#lost;
  }
}
