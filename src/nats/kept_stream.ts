/**
 * A stream of Catga's: created when it does not exist, refused when its settings are wrong, and created anew when it
 * was lost, with sequences that go on growing. An operation is repeated, within limits, as long as it has certainly
 * not been done.
 */
import { CatgaError } from "../error.ts";
import { backoff, delay, doubled, within } from "../ports/clock.ts";
import { isForbidden } from "../ports/transport.ts";
import { ServerClock } from "./expiry.ts";
import type { JetStream, StreamInfo } from "./jetstream.ts";
import { JetStreamRefusal, type RefusalReason } from "./jetstream_refusal.ts";
import { cannotOpen, noAnswer, noJetStream, storeFull, streamMissing, tooManyConsumers } from "./stream_errors.ts";
import type { NatsTransport } from "./transport.ts";

/** How long one operation is tried, in ms; an election in a cluster takes up to 10 s. */
const OPERATION_LIMIT = 5_000;
const OPEN_LIMIT = 12_000;
/** How long a full store is waited for, in ms: less than locks and claims wait for an answer, which says why then. */
const FULL_LIMIT = 1_000;
/**
 * How long one of several tries waits for its answer, in ms: the first one this long, each further one twice as long,
 * up to the limit. What was asked while a stream had no leader is never answered.
 */
const FIRST_TRY = 500;
const TRY_LIMIT = 2_000;
/** How long a reading of the server's clock may take before the stream is created, in ms. */
const TIME_LIMIT = 1_000;
/** How old the last check of the stream's settings may be when the stream is used, in ms. */
const CHECK = 30_000;
/**
 * How long an operation waits for that check, in ms: a stream without a leader is better explained by the operation's
 * error.
 */
const CHECK_WAIT = 250;

/** How long the try after so many failures waits for its answer, in ms. */
const tryLimit = (failures: number) => doubled(failures, FIRST_TRY, TRY_LIMIT);

/** Refusals after which nothing was done, and which may pass. */
const PASSING: readonly RefusalReason[] = ["no stream", "no responders", "busy", "full", "consumer limit"];
/** Refusals that another try at once would meet again. */
const WAITED_FOR: readonly RefusalReason[] = ["busy", "full", "consumer limit"];

/** How {@link KeptStream.attempt} repeats an operation. */
export interface AttemptOptions {
  /** True if the operation must not be done twice: else it is repeated without an answer, too. */
  readonly once?: boolean;
  /** `"fail"`: a full store is not waited for, and rejects with its {@link JetStreamRefusal}. */
  readonly whenFull?: "fail";
  /**
   * `"fail"`: a stream that does not exist is not created anew, and rejects with its {@link JetStreamRefusal}; one that
   * is being created is waited for.
   */
  readonly whenMissing?: "fail";
}

/** Definition of the stream of a {@link KeptStream}. */
interface KeptStreamOptions {
  readonly name: string;
  /** How errors call it: "the bucket x". */
  readonly what: string;
  /** The settings that it is created with. */
  settings(): Readonly<Record<string, unknown>>;
  /** Throws a `CatgaError` for a stream that exists with settings that do not do. */
  check(config: Readonly<Record<string, unknown>>): void;
  /** How many sequences there are to a ms: a new stream begins at the server's time in this unit. */
  readonly perMs: number;
  /** A sequence of this or more is not believed: the stream could not begin there. */
  readonly most: number;
  /** How often consumers get a heartbeat when there is no message, in ms. */
  readonly heartbeat: number;
  /** A sequence that others have seen of it, asked for before it is created. May reject. */
  readonly seen?: (() => Promise<number>) | undefined;
}

/** Such a stream. */
export class KeptStream {
  /** The stream's name. */
  readonly name: string;
  /** How errors call it. */
  readonly what: string;
  readonly transport: NatsTransport;
  readonly js: JetStream;
  /** The clock of the stream's leader, which expires its messages. */
  readonly serverClock: ServerClock;
  /** How often its consumers get a heartbeat when there is no message, in ms. */
  readonly heartbeat: number;
  readonly #options: KeptStreamOptions;
  readonly #onRecreated = new Set<() => void>();
  #ensuring: Promise<void> | undefined;
  #readingClock: Promise<unknown> | undefined;
  #measuring: Promise<void> | undefined;
  /**
   * The highest sequence that was seen: a stream that is created anew starts above it, whatever the server's clock
   * says.
   */
  #highest = 0;
  /** When the stream was created, as it was last found. */
  #created: string | undefined;
  /** When its settings were last checked, by the monotonic clock. */
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
    // on another server, or after an absence, it may be another stream
    transport.onStatus(() => this.#checkedAt = -Infinity);
  }

  /** Finds the stream or creates it. Rejects as `KeyValueStore.open` and `EventLog.open` do. */
  async open(): Promise<void> {
    await this.#ensure(this.transport.clock.monotonic() + OPEN_LIMIT);
  }

  /**
   * Finds the stream, or creates it anew, after somebody noticed that nobody answers for it. Rejects as {@link open}.
   */
  async restore(): Promise<void> {
    await this.#ensure(this.transport.clock.monotonic() + OPERATION_LIMIT);
  }

  /**
   * Does `work`, which gets the ms that it may take, and repeats it for up to 5 s after refusals that certainly did
   * nothing and may pass: the stream is lost (it is created anew), has no leader, has no consumer left, or for up to
   * 1 s is full.
   * Rejects with a `CatgaError`, or with a {@link JetStreamRefusal} that is for the caller to interpret: `lost race`,
   * `too large`, and `full` with `whenFull`, `no stream` with `whenMissing`.
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
          // nats-server 2.15 stores messages in a new stream before it says that there is one
          const making = this.#ensuring;
          if (making === undefined || clock.monotonic() >= end) throw error;
          await making.catch(() => {}); // whoever makes it reports that
          continue;
        }
        if (refusal === "full" || refusal === "consumer limit") waiting = error;
        if (refusal === "full") end = begun + FULL_LIMIT;
        const passing = PASSING.includes(refusal) || (!once && refusal === "no answer");
        if (!passing || clock.monotonic() >= end) {
          // the last try may have been too short for an answer: then why it was refused before is the reason
          throw this.#failed(refusal === "no answer" ? waiting ?? error : error);
        }
        if (refusal === "no stream" || refusal === "no responders") await this.#ensure(end);
        if (failures > 0 || WAITED_FOR.includes(refusal)) await this.#pause(failures, end);
      }
    }
  }

  /** The stream's settings and state now, from its leader, whose clock is noted. Rejects as {@link attempt}. */
  async info(options?: AttemptOptions): Promise<StreamInfo> {
    const info = await this.attempt((limit) => this.js.info(this.name, limit), options);
    this.serverClock.read(info.ts, info.asked);
    return info;
  }

  /** When the stream was created, as it was last found: `LogState.created`. */
  get created(): string | undefined {
    return this.#created;
  }

  /** Notes a sequence of the stream. */
  noteRevision(revision: number): void {
    if (revision > this.#highest && revision < this.#options.most) this.#highest = revision;
  }

  /** Reads the server's clock, unless its last reading is recent, and younger than `since` on the monotonic clock. */
  async readServerClock(since: number): Promise<void> {
    // a reading under way may have been requested before `since`
    await this.#readingClock;
    if (this.serverClock.freshSince(since)) return;
    await (this.#readingClock ??= this.info().finally(() => this.#readingClock = undefined));
  }

  /**
   * Reads the server's clock until its bounds are close, three times at most: then the link is slow, or this process
   * busy all the time. Callers at the same time share one measurement.
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
   * Calls back when the stream was found to be another one, created anew by whomever, until the returned function is
   * called.
   */
  onRecreated(listener: () => void): () => void {
    this.#onRecreated.add(listener);
    return () => this.#onRecreated.delete(listener);
  }

  /**
   * Checks the stream's settings again if the last check is 30 s old, or older than the connection: another client may
   * have changed the stream, or created it anew. Rejects with a mismatch as long as they are wrong; without an
   * answer it resolves. `now`: by the monotonic clock.
   */
  check(now: number = this.transport.clock.monotonic()): Promise<void> | undefined {
    if (this.#checking !== undefined) return this.#checking;
    if (now - this.#checkedAt < CHECK) return undefined;
    return this.#checking = this.js.info(this.name, TRY_LIMIT).then((info) => this.#accept(info)).catch((error) => {
      // the operation that follows meets the same refusal, and a stream that does not exist is created and checked then
      if (!(error instanceof JetStreamRefusal)) throw error;
    }).finally(() => this.#checking = undefined);
  }

  /** A refusal as {@link attempt} throws it. */
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
          // for other settings another client has created it meanwhile, with another first_seq
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
    // other servers of a cluster may have JetStream, and the INFO of a server that is starting says that it will have
    // it
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
    // sequences have to grow over the loss of a stream (revisions are fencing tokens), whichever node creates it anew:
    // so they start at the server's time, because the clocks of nodes may differ by hours
    this.noteRevision(await this.#options.seen?.().catch(() => 0) ?? 0); // a user who may not read that makes it all the same
    const now = await this.js.time(TIME_LIMIT) ?? this.transport.clock.now();
    const first_seq = Math.max(Math.floor(now * this.#options.perMs), this.#highest + 1_000);
    try {
      this.#accept(await this.js.createStream({ name: this.name, ...this.#options.settings(), first_seq }, limit));
    } catch (error) {
      throw error instanceof CatgaError && isForbidden(error) ? streamMissing(this.what, this.name, error) : error;
    }
  }

  /** Throws a mismatch if the stream is not as wanted. */
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
