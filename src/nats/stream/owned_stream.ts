/**
 * A stream that Catga owns: created if it is missing, refused if its settings are wrong, and created anew if it was
 * lost, with sequences that continue to grow. An operation on the stream is repeated, within limits, as long as it
 * was certainly not done.
 */
import { Gate } from "../../data/gate.ts";
import { CatgaError } from "../../error.ts";
import { backoff, delay, doubled, valueWithin, within } from "../../ports/clock.ts";
import { stoodStill } from "../../ports/standstill.ts";
import { isForbidden } from "../../ports/transport.ts";
import { DirectReads } from "./direct_reads.ts";
import { ServerClock } from "./expiry.ts";
import type { JetStream, StreamInfo, StreamReplica } from "./jetstream.ts";
import {
  cannotOpen,
  JetStreamRefusal,
  leaderTooOld,
  noAnswer,
  noJetStream,
  type RefusalReason,
  storeFull,
  streamMissing,
  tooManyConsumers,
} from "./jetstream_refusal.ts";
import type { NatsTransport } from "../connection/transport.ts";

/** Time for which an operation on a stream is repeated, in ms. */
const OPERATION_LIMIT = 5_000;
/** Time for which opening a stream is repeated, in ms: an election in a cluster takes up to 10 s. */
const OPEN_LIMIT = 12_000;
/**
 * Time for which an operation waits for room in a full store, in ms. Locks and claims (records that reserve ids of
 * commands) wait longer for an answer, so that their callers get the error that the store is full.
 */
const FULL_LIMIT = 1_000;
/**
 * Timeout of the first attempt of an operation, in ms; doubled for each further attempt, up to `TRY_LIMIT`. Short,
 * because a request that was sent while a stream had no leader is never answered.
 */
const FIRST_TRY = 500;
const TRY_LIMIT = 2_000;
/** Timeout for reading the server's clock before a stream is created, in ms. */
const TIME_LIMIT = 1_000;
/** Number of readers and watches of a stream that may begin at the same time. */
const BEGINNINGS = 16;
/** Age in ms from which the last check of a stream's settings is repeated when the stream is used. */
const CHECK = 30_000;
/**
 * Time for which an operation waits for the check of the settings, in ms. Short, because if a stream has no leader,
 * the operation's own error explains that better.
 */
const CHECK_WAIT = 250;
/** Time for which an answer of the stream's leader about the stream is reused, in ms. */
const RECENT = 1_000;
/** Longest wait for the leader's answer when the server of a consumer is looked up, in ms. */
const PLACE_WAIT = 500;
/**
 * Time without a sign of a replica, in ms, after which the replica stands still: servers that replicate a stream answer
 * its leader every second (nats-server 2.15).
 */
const REPLICA_SILENT = 2_000;

/** Returns the timeout of an attempt after so many failures, in ms. */
const tryLimit = (failures: number) => doubled(failures, FIRST_TRY, TRY_LIMIT);

/** True if a replica lacks messages, and does not answer the stream's leader. */
const standsStill = ({ current, active }: StreamReplica) => !current && active > REPLICA_SILENT * 1_000_000;

/** Refusals after which an operation is repeated: it was certainly not done, and the reason may pass. */
const TRANSIENT: readonly RefusalReason[] = ["no stream", "no responders", "busy", "full", "consumer limit"];
/** Refusals after which a pause precedes the next attempt, which would otherwise meet the same reason again. */
const WAITED_FOR: readonly RefusalReason[] = ["busy", "full", "consumer limit"];

/** Options of {@link OwnedStream.attempt}. */
export interface AttemptOptions {
  /** True if the operation must not be done twice. False: it is also repeated after there was no answer. */
  readonly once?: boolean;
  /** `"fail"`: if the store is full, rejects with the {@link JetStreamRefusal} instead of waiting for room. */
  readonly whenFull?: "fail";
  /**
   * `"fail"`: if the stream is missing, the operation rejects with the {@link JetStreamRefusal} instead of creating the
   * stream anew; if another operation of this process is creating the stream, it first waits for that one.
   */
  readonly whenMissing?: "fail";
}

/** Definition of the stream of a {@link OwnedStream}. */
interface OwnedStreamOptions {
  readonly name: string;
  /** The stream's name in errors, such as "the bucket x". */
  readonly what: string;
  /** Returns the settings for creating the stream. */
  settings(): Readonly<Record<string, unknown>>;
  /** Throws a `CatgaError` if the settings of an existing stream are wrong. */
  check(config: Readonly<Record<string, unknown>>): void;
  /** Number of sequences per ms: a new stream begins at the server's time in this unit. */
  readonly perMs: number;
  /** Sequences from this one on are ignored when the start of a new stream is chosen: no stream could begin there. */
  readonly most: number;
  /** Interval at which the server sends heartbeats to consumers while there is no message, in ms. */
  readonly heartbeat: number;
  /** True if messages that the server removes are reported when settings were wrong meanwhile. Default: false. */
  readonly countsRemoved?: boolean;
  /**
   * Returns a sequence of the stream that other processes have seen; called before the stream is created. May reject.
   */
  readonly seen?: (() => Promise<number>) | undefined;
}

/** A stream that Catga owns: created if it is missing, checked for wrong settings, created anew if it is lost. */
export class OwnedStream {
  /** The stream's name. */
  readonly name: string;
  /** The stream's name in errors, such as "the bucket x". */
  readonly what: string;
  readonly transport: NatsTransport;
  readonly js: JetStream;
  /** The clock of the stream's leader, by which the stream's messages expire. */
  readonly serverClock: ServerClock;
  /** Interval at which the server sends heartbeats to the stream's consumers while there is no message, in ms. */
  readonly heartbeat: number;
  /** Limits how many readers and watches of the stream begin at the same time. */
  readonly beginnings: Gate = new Gate(BEGINNINGS);
  /** Reads from any server that has the stream. */
  readonly direct: DirectReads;
  readonly #options: OwnedStreamOptions;
  readonly #onRecreated = new Set<() => void>();
  #ensuring: Promise<void> | undefined;
  /** The request for settings and state that is sent at the end of this turn of the event loop. */
  #asking: { readonly limit: number; readonly info: Promise<StreamInfo> } | undefined;
  #readingClock: Promise<unknown> | undefined;
  #recent: { readonly at: number; readonly info: Promise<StreamInfo> } | undefined;
  /** True if several servers have the stream, as last read. */
  isReplicated = false;
  /**
   * True if a server has a replica that stands still, as last read: as its store is full, it answers direct gets with
   * what the replica has (nats-server 2.15). One that is known to be offline answers nothing.
   */
  #hasStaleReplica = false;
  #measuring: Promise<void> | undefined;
  /**
   * Highest sequence seen of the stream. If the stream is created anew, it starts above this one, whatever the
   * server's clock says.
   */
  #highest = 0;
  /** Time at which the stream was created, as last read; it identifies the stream. */
  #created: string | undefined;
  /** Time of the last check of the stream's settings, by the monotonic clock. */
  #checkedAt = -Infinity;
  #checking: Promise<void> | undefined;
  /** State of the stream when its settings were last found right. */
  #right: { readonly created: string; readonly last: number; readonly messages: number } | undefined;
  /** Number of messages in the stream, as last read with its settings. */
  messages = 0;

  constructor(transport: NatsTransport, js: JetStream, options: OwnedStreamOptions) {
    this.transport = transport;
    this.js = js;
    this.serverClock = new ServerClock(transport.clock);
    this.name = options.name;
    this.what = options.what;
    this.heartbeat = options.heartbeat;
    this.#options = options;
    const hasStaleReplica = () => this.#hasStaleReplica;
    this.direct = new DirectReads({ name: this.name, js, clock: transport.clock, hasStaleReplica });
    transport.onStatus(() => {
      // check again: after a reconnect another stream may have this name
      this.#checkedAt = -Infinity;
      this.direct.reset();
    });
  }

  /** Finds the stream or creates it. Rejects like `KeyValueStore.open` and `EventLog.open`. */
  async open(): Promise<void> {
    await this.#ensure(this.transport.clock.monotonic() + OPEN_LIMIT);
  }

  /**
   * Finds the stream, or creates it anew. Call when requests about the stream get no answer. Rejects like
   * {@link open}.
   */
  async restore(): Promise<void> {
    await this.#ensure(this.transport.clock.monotonic() + OPERATION_LIMIT);
  }

  /**
   * Calls `work`, an operation on the stream, with its time limit in ms. Repeats it for up to 5 s after refusals that
   * say it was certainly not done, for reasons that may pass: the stream is lost (and is created anew), has no leader
   * or no consumer left, or is full (for up to 1 s from that answer on). Rejects with a `CatgaError`, or with a
   * {@link JetStreamRefusal} that the caller must interpret: `lost race`, `too large`, `full` with `whenFull`,
   * `no stream` with `whenMissing`.
   */
  async attempt<T>(
    work: (limit: number) => Promise<T>,
    { once = false, whenFull, whenMissing }: AttemptOptions = {},
  ): Promise<T> {
    const { clock } = this.transport;
    let end = clock.monotonic() + OPERATION_LIMIT;
    let full = false;
    const checking = this.check();
    if (checking !== undefined) await within(clock, CHECK_WAIT, checking);
    let waiting: JetStreamRefusal | undefined;
    for (let failures = 0;; failures++) {
      const left = end - clock.monotonic();
      try {
        return await work(once ? left : Math.min(left, tryLimit(failures)));
      } catch (error) {
        if (!(error instanceof JetStreamRefusal)) throw error;
        const { refusal, late } = error;
        // the answer may have come while this process stood still: that time does not count
        if (stoodStill(late, 0)) end += late;
        if (refusal === "full" && whenFull === "fail") throw error;
        if (refusal === "no stream" && whenMissing === "fail") {
          // another call may be creating the stream: nats-server 2.15 stores messages in a new stream before it
          // reports the stream
          const making = this.#ensuring;
          if (making === undefined || clock.monotonic() >= end) throw error;
          await making.catch(() => {}); // the call that creates the stream reports its error
          continue;
        }
        if (refusal === "full" || refusal === "consumer limit") waiting = error;
        // from the first such answer on, which may have come behind a standstill
        if (refusal === "full" && !full) end = clock.monotonic() + FULL_LIMIT;
        full ||= refusal === "full";
        const transient = TRANSIENT.includes(refusal) || (!once && refusal === "no answer");
        if (!transient || clock.monotonic() >= end) {
          // the limit of the last attempt may have been too short for an answer: the refusal with which an earlier
          // attempt failed says more
          throw this.#failed(refusal === "no answer" ? waiting ?? error : error);
        }
        if (refusal === "no stream" || refusal === "no responders") await this.#ensure(end);
        if (failures > 0 || WAITED_FOR.includes(refusal)) await this.#pause(failures, end);
      }
    }
  }

  /**
   * Reads the stream's settings and state from its leader; also updates the known clock of the leader. Rejects like
   * {@link attempt}, and with a mismatch if the settings are wrong.
   */
  info(options?: AttemptOptions): Promise<StreamInfo> {
    return this.attempt((limit) => this.#read(limit), options);
  }

  /** Resolves with what {@link info} resolved with at most 1 s ago, or calls it. */
  recentInfo(): Promise<StreamInfo> {
    const now = this.transport.clock.monotonic();
    if (this.#recent === undefined || now - this.#recent.at > RECENT) this.#recent = { at: now, info: this.info() };
    return this.#recent.info;
  }

  /**
   * Begins to look up which replicas of the stream stand still: those that lack messages and do not answer the stream's
   * leader, as at a server whose store is full. Returns a function that resolves with true if the replica at a server
   * is one of them, and with false if it is not, or if that is not known.
   */
  lookUpReplicas(): (server: string | undefined) => Promise<boolean> {
    const info = this.isReplicated ? this.recentInfo() : undefined;
    // a rejection is ignored: the audit of the consumer finds out later
    const found = info && valueWithin(this.transport.clock, PLACE_WAIT, info).catch(() => undefined);
    return async (server) => {
      const replica = (await found)?.cluster?.replicas?.find(({ name }) => name === server);
      return replica !== undefined && standsStill(replica);
    };
  }

  /** Time at which the stream was created, as last read; it identifies the stream. */
  get created(): string | undefined {
    return this.#created;
  }

  /** Records that the stream has reached this sequence. */
  noteRevision(revision: number): void {
    if (revision > this.#highest && revision < this.#options.most) this.#highest = revision;
  }

  /** Reads the server's clock, unless the last reading is recent and was requested after `since` (monotonic clock). */
  async readServerClock(since: number): Promise<void> {
    // wait: the reading under way may have been requested before `since`
    await this.#readingClock;
    if (this.serverClock.freshSince(since)) return;
    await (this.#readingClock ??= this.info().finally(() => this.#readingClock = undefined));
  }

  /**
   * Reads the server's clock until its bounds are close, at most three times: if they still are not, the link is
   * slow, or this process is busy. Concurrent callers share one measurement.
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
   * Calls the listener each time when the stream of this name is found to be another one than before, because some
   * process has created it anew. Returns a function that removes the listener.
   */
  onRecreated(listener: () => void): () => void {
    this.#onRecreated.add(listener);
    return () => this.#onRecreated.delete(listener);
  }

  /**
   * Checks the stream's settings again if the last check is 30 s old, or from before the last reconnect: another client
   * may have changed the stream or created it anew. Returns `undefined` if no check is due. The promise rejects with a
   * mismatch while the settings are wrong, and resolves if they are right or there is no answer. `now`: by the
   * monotonic clock.
   */
  check(now: number = this.transport.clock.monotonic()): Promise<void> | undefined {
    if (this.#checking !== undefined) return this.#checking;
    if (now - this.#checkedAt < CHECK) return undefined;
    return this.#checking = this.#read(TRY_LIMIT).then(() => {}, (error) => {
      // a refusal is ignored: the operation that follows gets the same refusal, and a missing stream is created and
      // checked then
      if (!(error instanceof JetStreamRefusal)) throw error;
    }).finally(() => this.#checking = undefined);
  }

  /**
   * Reads the stream's settings and state; each answer is checked here. All who ask in one turn of the event loop, with
   * the same limit, share a request: a node asks for each of its subscriptions. Rejects with refusals, or with a
   * mismatch.
   */
  #read(limit: number): Promise<StreamInfo> {
    if (this.#asking?.limit === limit) return this.#asking.info;
    const ask = async () => {
      await new Promise<void>((resolve) => this.transport.clock.soon(resolve));
      if (this.#asking === asking) this.#asking = undefined;
      const info = await this.js.info(this.name, limit);
      this.#accept(info);
      return info;
    };
    const asking = { limit, info: ask() };
    this.#asking = asking;
    return asking.info;
  }

  /** Converts a refusal to the error that {@link attempt} throws for it. */
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
    let before: JetStreamRefusal | undefined;
    for (let failures = 0;; failures++) {
      const whole = tryLimit(failures);
      const limit = Math.min(whole, Math.max(1, end - clock.monotonic()));
      try {
        await this.#read(limit);
        return;
      } catch (error) {
        if (!(error instanceof JetStreamRefusal)) throw error;
        // the last attempt may have been too short for an answer: the refusal of the one before says more
        before = error.refusal === "no answer" && limit < whole ? before ?? error : error;
        try {
          if (error.refusal === "no stream") return await this.#create(limit);
        } catch (second) {
          if (!(second instanceof JetStreamRefusal)) throw second;
          // "other settings": another client has created the stream since this one found it missing, with another
          // `first_seq`: the next try finds and accepts that stream
          if (second.refusal !== "other settings") this.#throwUnlessTransient(second, end);
        }
        this.#throwUnlessTransient(before, end);
      }
      await this.#pause(failures, end);
    }
  }

  #throwUnlessTransient(error: JetStreamRefusal, end: number): void {
    const { refusal } = error;
    const { connection, server } = this.transport;
    // "no responders" is tried again: other servers of a cluster may have JetStream, and a starting server announces
    // in its INFO that it will have it
    const never = refusal === "no responders" && !server.clustered && connection.info?.jetstream !== true;
    const late = this.transport.clock.monotonic() >= end;
    if (refusal === "disabled" || never || (late && refusal === "no responders")) {
      throw noJetStream(this.#server, error);
    }
    const transient = TRANSIENT.includes(refusal) || refusal === "no answer";
    if (transient && !late) return;
    if (refusal === "full") throw storeFull(this.what, error);
    throw cannotOpen(this.what, this.#server, transient, error);
  }

  async #create(limit: number): Promise<void> {
    // sequences must grow across the loss of a stream, because revisions are fencing tokens. The new ones start at
    // the server's time, because the clocks of nodes may differ by hours
    // 0 if the user lacks the permission to read it
    this.noteRevision(await this.#options.seen?.().catch(() => 0) ?? 0);
    const now = await this.js.time(TIME_LIMIT) ?? this.transport.clock.now();
    const first_seq = Math.max(Math.floor(now * this.#options.perMs), this.#highest + 1_000);
    try {
      this.#accept(await this.js.createStream({ name: this.name, ...this.#options.settings(), first_seq }, limit));
    } catch (error) {
      throw error instanceof CatgaError && isForbidden(error) ? streamMissing(this.what, this.name, error) : error;
    }
  }

  #noteState({ ts, asked, cluster }: StreamInfo): void {
    this.serverClock.read(ts, asked);
    const replicas = cluster?.replicas ?? [];
    this.isReplicated = replicas.length > 0;
    this.#hasStaleReplica = replicas.some((replica) => standsStill(replica) && replica.offline !== true);
  }

  /** Throws a mismatch if the stream's settings are wrong; else records its creation time and last sequence. */
  #accept(info: StreamInfo): void {
    this.#noteState(info);
    this.#checkSettings(info);
    this.#checkedAt = this.transport.clock.monotonic();
    this.noteRevision(info.state.last_seq);
    this.messages = info.state.messages;
    const before = this.#created;
    this.#created = info.created;
    if (before === undefined || before === info.created) return;
    for (const listener of [...this.#onRecreated]) listener();
  }

  /** Throws a mismatch if the stream's settings are wrong, and reports that as long as they are. */
  #checkSettings(info: StreamInfo): void {
    const { config, state, created } = info;
    const { wrongSettings } = this.transport;
    const { last_seq: last, messages } = state;
    const before = this.#right?.created === created ? this.#right : undefined;
    // markers and expired entries are removed from a bucket all the time
    const removed = before === undefined || !this.#options.countsRemoved
      ? 0
      : Math.max(0, last - before.last - (messages - before.messages));
    try {
      this.#options.check(config);
    } catch (found) {
      const error = leaderTooOld(this.what, this.name, info, found as CatgaError) ?? found; // nothing else is thrown
      wrongSettings.wrong(this.name, error as Error, removed, async () => {
        await this.#read(TRY_LIMIT).catch((error) => {
          if (error instanceof JetStreamRefusal && error.refusal === "no stream") wrongSettings.right(this.name, 0);
          // without an answer, the next check asks again; a mismatch has been reported
        });
      });
      throw error;
    }
    wrongSettings.right(this.name, removed);
    this.#right = { created, last, messages };
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
