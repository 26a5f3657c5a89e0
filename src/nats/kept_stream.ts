/**
 * A stream that Catga owns: created if missing, refused if its settings are wrong, and created anew if it was lost,
 * with sequences that continue to grow. An operation is repeated, within limits, as long as it was certainly not done.
 */
import { CatgaError } from "../error.ts";
import { backoff, delay, doubled, within } from "../ports/clock.ts";
import { isForbidden } from "../ports/transport.ts";
import { ServerClock } from "./expiry.ts";
import type { JetStream, StreamInfo } from "./jetstream.ts";
import { JetStreamRefusal, type RefusalReason } from "./jetstream_refusal.ts";
import { cannotOpen, noAnswer, noJetStream, storeFull, streamMissing, tooManyConsumers } from "./stream_errors.ts";
import type { NatsTransport } from "./transport.ts";

/** Time for which an operation is tried, in ms. */
const OPERATION_LIMIT = 5_000;
/** Time for which opening a stream is tried, in ms: an election in a cluster takes up to 10 s. */
const OPEN_LIMIT = 12_000;
/**
 * Time for which a full store is waited for, in ms: less than locks and claims wait for an answer, which then gives the
 * reason.
 */
const FULL_LIMIT = 1_000;
/**
 * Timeout of the first try, in ms; doubled for each further try, up to `TRY_LIMIT`. A request that was sent while a
 * stream had no leader is never answered.
 */
const FIRST_TRY = 500;
const TRY_LIMIT = 2_000;
/** Timeout for reading the server's clock before a stream is created, in ms. */
const TIME_LIMIT = 1_000;
/** Maximum age of the last check of the stream's settings when the stream is used, in ms. */
const CHECK = 30_000;
/**
 * Time for which an operation waits for a check of the settings, in ms: if a stream has no leader, the operation's own
 * error explains it better.
 */
const CHECK_WAIT = 250;

/** Timeout of a try after so many failures, in ms. */
const tryLimit = (failures: number) => doubled(failures, FIRST_TRY, TRY_LIMIT);

/** Refusals for which the operation was certainly not done, and which may pass. */
const PASSING: readonly RefusalReason[] = ["no stream", "no responders", "busy", "full", "consumer limit"];
/** Refusals after which the next try waits, because it would meet them again at once. */
const WAITED_FOR: readonly RefusalReason[] = ["busy", "full", "consumer limit"];

/** Options of {@link KeptStream.attempt}. */
export interface AttemptOptions {
  /** True if the operation must not be done twice; else it is also repeated when there was no answer. */
  readonly once?: boolean;
  /** `"fail"`: does not wait for a full store, but rejects with the {@link JetStreamRefusal}. */
  readonly whenFull?: "fail";
  /**
   * `"fail"`: does not create a missing stream anew, but rejects with the {@link JetStreamRefusal}; waits for a stream
   * that is being created.
   */
  readonly whenMissing?: "fail";
}

/** Definition of the stream of a {@link KeptStream}. */
interface KeptStreamOptions {
  readonly name: string;
  /** Name in errors: "the bucket x". */
  readonly what: string;
  /** Returns the settings for creating the stream. */
  settings(): Readonly<Record<string, unknown>>;
  /** Throws a `CatgaError` if the settings of an existing stream are wrong. */
  check(config: Readonly<Record<string, unknown>>): void;
  /** Sequences per ms: a new stream begins at the server's time in this unit. */
  readonly perMs: number;
  /** Sequences of this or more are ignored: a stream could not begin there. */
  readonly most: number;
  /** Interval of heartbeats to consumers while there is no message, in ms. */
  readonly heartbeat: number;
  /** Returns a sequence of the stream that others have seen; called before the stream is created. May reject. */
  readonly seen?: (() => Promise<number>) | undefined;
}

/** A stream that Catga owns. */
export class KeptStream {
  /** The stream's name. */
  readonly name: string;
  /** Name in errors. */
  readonly what: string;
  readonly transport: NatsTransport;
  readonly js: JetStream;
  /** The clock of the stream's leader, by which messages expire. */
  readonly serverClock: ServerClock;
  /** Interval of heartbeats to its consumers while there is no message, in ms. */
  readonly heartbeat: number;
  readonly #options: KeptStreamOptions;
  readonly #onRecreated = new Set<() => void>();
  #ensuring: Promise<void> | undefined;
  #readingClock: Promise<unknown> | undefined;
  #measuring: Promise<void> | undefined;
  /** Highest sequence seen: a stream that is created anew starts above it, whatever the server's clock says. */
  #highest = 0;
  /** Creation time of the stream as last read; it identifies the stream. */
  #created: string | undefined;
  /** Time of the last check of the settings, by the monotonic clock. */
  #checkedAt = -Infinity;
  #checking: Promise<void> | undefined;

  constructor(transport: NatsTransport, js: JetStream, options: KeptStreamOptions) {
    this.transport = transport;
    this.js = js;
    this.serverClock = new ServerClock(transport.clock);
    this.name = options.name;
    this.what = options.what;
    this.heartbeat = options.heartbeat;
    this.#options = options;
    // after a reconnect it may be another stream
    transport.onStatus(() => this.#checkedAt = -Infinity);
  }

  /** Finds the stream or creates it. Rejects like `KeyValueStore.open` and `EventLog.open`. */
  async open(): Promise<void> {
    await this.#ensure(this.transport.clock.monotonic() + OPEN_LIMIT);
  }

  /** Finds the stream, or creates it anew. Call when nothing answers for it. Rejects like {@link open}. */
  async restore(): Promise<void> {
    await this.#ensure(this.transport.clock.monotonic() + OPERATION_LIMIT);
  }

  /**
   * Calls `work` with its time limit in ms, and repeats it for up to 5 s after refusals for which it was certainly not
   * done and which may pass: the stream is lost (and is created anew), has no leader or no consumer left, or (for up to
   * 1 s) is full. Rejects with a `CatgaError`, or with a {@link JetStreamRefusal} that the caller must interpret:
   * `lost race`, `too large`, `full` with `whenFull`, `no stream` with `whenMissing`.
   */
  async attempt<T>(
    work: (limit: number) => Promise<T>,
    { once = false, whenFull, whenMissing }: AttemptOptions = {},
  ): Promise<T> {
    const { clock } = this.transport;
    const begun = clock.monotonic();
    let end = begun + OPERATION_LIMIT;
    const checking = this.check();
    if (checking !== undefined) await within(clock, CHECK_WAIT, checking);
    let waiting: JetStreamRefusal | undefined;
    for (let failures = 0;; failures++) {
      const left = end - clock.monotonic();
      try {
        return await work(once ? left : Math.min(left, tryLimit(failures)));
      } catch (error) {
        if (!(error instanceof JetStreamRefusal)) throw error;
        const { refusal } = error;
        if (refusal === "full" && whenFull === "fail") throw error;
        if (refusal === "no stream" && whenMissing === "fail") {
          // nats-server 2.15 stores messages in a new stream before it reports the stream
          const making = this.#ensuring;
          if (making === undefined || clock.monotonic() >= end) throw error;
          await making.catch(() => {}); // reported by the call that creates the stream
          continue;
        }
        if (refusal === "full" || refusal === "consumer limit") waiting = error;
        if (refusal === "full") end = begun + FULL_LIMIT;
        const passing = PASSING.includes(refusal) || (!once && refusal === "no answer");
        if (!passing || clock.monotonic() >= end) {
          // the last try may have been too short for an answer: report the refusal before it
          throw this.#failed(refusal === "no answer" ? waiting ?? error : error);
        }
        if (refusal === "no stream" || refusal === "no responders") await this.#ensure(end);
        if (failures > 0 || WAITED_FOR.includes(refusal)) await this.#pause(failures, end);
      }
    }
  }

  /**
   * Reads the stream's settings and state from its leader, and notes the leader's clock. Rejects like {@link attempt}.
   */
  async info(options?: AttemptOptions): Promise<StreamInfo> {
    const info = await this.attempt((limit) => this.js.info(this.name, limit), options);
    this.serverClock.read(info.ts, info.asked);
    return info;
  }

  /** Creation time of the stream as last read: `LogState.created`. */
  get created(): string | undefined {
    return this.#created;
  }

  /** Notes a sequence of the stream. */
  noteRevision(revision: number): void {
    if (revision > this.#highest && revision < this.#options.most) this.#highest = revision;
  }

  /**
   * Reads the server's clock, unless the last reading is recent and was requested after `since`, by the monotonic
   * clock.
   */
  async readServerClock(since: number): Promise<void> {
    // a running reading may have been requested before `since`
    await this.#readingClock;
    if (this.serverClock.freshSince(since)) return;
    await (this.#readingClock ??= this.info().finally(() => this.#readingClock = undefined));
  }

  /**
   * Reads the server's clock until its bounds are close, at most three times: then the link is slow, or this process is
   * busy. Concurrent callers share one measurement.
   */
  measureClock(): Promise<void> {
    return this.#measuring ??= this.#measure().finally(() => this.#measuring = undefined);
  }

  async #measure(): Promise<void> {
    for (let readings = 0; readings < 3; readings++) {
      await this.info();
      if (this.serverClock.exact) return;
    }
    this.serverClock.settle();
  }

  /**
   * Calls the listener when the stream turned out to be another one, created anew by any process, until the returned
   * function is called.
   */
  onRecreated(listener: () => void): () => void {
    this.#onRecreated.add(listener);
    return () => this.#onRecreated.delete(listener);
  }

  /**
   * Checks the stream's settings again if the last check is 30 s old or older than the connection: another client may
   * have changed the stream or created it anew. Rejects with a mismatch while the settings are wrong; resolves if there
   * is no answer. `now`: by the monotonic clock.
   */
  check(now: number = this.transport.clock.monotonic()): Promise<void> | undefined {
    if (this.#checking !== undefined) return this.#checking;
    if (now - this.#checkedAt < CHECK) return undefined;
    return this.#checking = this.js.info(this.name, TRY_LIMIT).then((info) => this.#accept(info)).catch((error) => {
      // ignored: the following operation gets the same refusal, and a missing stream is created and checked then
      if (!(error instanceof JetStreamRefusal)) throw error;
    }).finally(() => this.#checking = undefined);
  }

  /** Converts a refusal to the error that {@link attempt} throws. */
  #failed(error: JetStreamRefusal): Error {
    if (error.refusal === "lost race" || error.refusal === "too large") return error;
    if (error.refusal === "disabled") return noJetStream(this.#server, error);
    if (error.refusal === "full") return storeFull(this.what, error);
    if (error.refusal === "consumer limit") return tooManyConsumers(this.what, this.name, error);
    return noAnswer(this.what, error);
  }

  #ensure(end: number): Promise<void> {
    return this.#ensuring ??= this.#findOrCreate(end).finally(() => this.#ensuring = undefined);
  }

  async #findOrCreate(end: number): Promise<void> {
    const { clock } = this.transport;
    for (let failures = 0;; failures++) {
      const limit = Math.min(tryLimit(failures), Math.max(1, end - clock.monotonic()));
      try {
        return this.#accept(await this.js.info(this.name, limit));
      } catch (error) {
        if (!(error instanceof JetStreamRefusal)) throw error;
        try {
          if (error.refusal === "no stream") return await this.#create(limit);
        } catch (second) {
          if (!(second instanceof JetStreamRefusal)) throw second;
          // "other settings": another client has created the stream meanwhile, with another first_seq
          if (second.refusal !== "other settings") this.#throwUnlessPassing(second, end);
        }
        this.#throwUnlessPassing(error, end);
      }
      await this.#pause(failures, end);
    }
  }

  #throwUnlessPassing(error: JetStreamRefusal, end: number): void {
    const { refusal } = error;
    const { connection, server } = this.transport;
    // not final: other servers of a cluster may have JetStream, and a starting server announces in its INFO that it
    // will
    const never = refusal === "no responders" && !server.clustered && connection.info?.jetstream !== true;
    const late = this.transport.clock.monotonic() >= end;
    if (refusal === "disabled" || never || (late && refusal === "no responders")) {
      throw noJetStream(this.#server, error);
    }
    const passing = PASSING.includes(refusal) || refusal === "no answer";
    if (passing && !late) return;
    if (refusal === "full") throw storeFull(this.what, error);
    throw cannotOpen(this.what, this.#server, passing, error);
  }

  async #create(limit: number): Promise<void> {
    // sequences must grow across the loss of a stream (revisions are fencing tokens), whichever node creates it: they
    // start at the server's time, because the clocks of nodes may differ by hours
    this.noteRevision(await this.#options.seen?.().catch(() => 0) ?? 0); // without the permission to read it: 0
    const now = await this.js.time(TIME_LIMIT) ?? this.transport.clock.now();
    const first_seq = Math.max(Math.floor(now * this.#options.perMs), this.#highest + 1_000);
    try {
      this.#accept(await this.js.createStream({ name: this.name, ...this.#options.settings(), first_seq }, limit));
    } catch (error) {
      throw error instanceof CatgaError && isForbidden(error) ? streamMissing(this.what, this.name, error) : error;
    }
  }

  /** Throws a mismatch if the stream's settings are wrong; else notes its creation time and sequence. */
  #accept(info: StreamInfo): void {
    this.#options.check(info.config);
    this.serverClock.read(info.ts, info.asked);
    this.#checkedAt = this.transport.clock.monotonic();
    this.noteRevision(info.state.last_seq);
    const before = this.#created;
    this.#created = info.created;
    if (before === undefined || before === info.created) return;
    for (const listener of [...this.#onRecreated]) listener();
  }

  #pause(failures: number, end: number): Promise<void> {
    const { clock, random } = this.transport;
    const left = Math.max(0, end - clock.monotonic());
    return delay(clock, Math.min(left, 20 + backoff(random, failures, 40, 500)));
  }

  get #server(): string {
    return this.transport.connection.getServer();
  }
}
