/**
 * The stored events of one contract for all followers in this process: one reader of the stream keeps the newest events
 * in memory; a follower that begins at an older position reads the events from there on from the store first. Each
 * follower gets every event behind its position, in order, once, or an error that says from which position it may go
 * on. A follower that does not ask for its next event uses no memory and delays no other follower.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import { Fifo } from "../../data/fifo.ts";
import { Gate } from "../../data/gate.ts";
import { CatgaError } from "../../error.ts";
import { type Clock, delay } from "../../ports/clock.ts";
import { reading, repeat } from "../../ports/repeat.ts";
import {
  type FollowOptions,
  type LogLoss,
  type LogReader,
  type LogState,
  type LogStream,
  MAX_SERVER_LAG,
  type StoredMessage,
} from "../../ports/event_log.ts";
import { isReadable, readGroup } from "../format/group.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import { keepOf } from "../format/logged_message.ts";
import { categoryPattern } from "../format/names.ts";
import { mayHaveExpired, oldestYoung } from "./expired_events.ts";
import { StoredEvent } from "./stored_event.ts";

/** Options of an {@link EventFeed}. */
export interface EventFeedOptions {
  readonly contract: AnyContract;
  readonly namespace: string;
  readonly clock: Clock;
  readonly observer: Observer;
  /** Opens the stream in which the events are stored. */
  stream(): MaybePromise<LogStream>;
  /** Maximum number of messages of the stream in memory; default 1,024. */
  readonly maxRecent?: number;
  /** Called when the feed's last follower is removed. */
  onUnused(): void;
}

/** A follower that waits for the next event, or for the end of the feed. */
export interface FeedFollower {
  /**
   * Called by the feed at each new event, and when the feed ends; must not throw. `upTo`: sequence up to which a
   * follower that waits has all events.
   */
  changed(upTo: number): void;
}

/** The events in one message of the stream, in order. */
export interface StoredEvents {
  readonly sequence: number;
  readonly events: readonly StoredEvent[];
}

/** Messages that were read from the store at once. */
export interface StoreRead {
  readonly found: StoredEvents[];
  readonly upTo: number;
  /** True if no event behind `upTo` can have expired. */
  readonly isWhole: boolean;
  /** Maximum number of bytes of the messages, and time by the monotonic clock at which they had been read. */
  readonly most: number;
  readonly at: number;
}

/** Keeps the newest events of one contract in memory, for all followers in this process. */
export class EventFeed {
  readonly #options: EventFeedOptions;
  readonly #listeners = new Set<FeedFollower>();
  /** The newest messages of the stream that have events of the contract, oldest first. */
  readonly #recent = new Fifo<StoredEvents & { readonly bytes: number }>();
  #bytes = 0;
  /**
   * Sequence behind which `#recent` has all events of the contract; a follower at a smaller sequence must read from the
   * store. `Infinity`: the feed has not begun to read.
   */
  #coveredAfter = Infinity;
  /** Sequence up to which the feed has read the stream. */
  #readUpTo = 0;
  /** Time of the server up to which all events were read, in ms since 1970; later events may have come since. */
  #readUntil = 0;
  #stream: LogStream | undefined;
  /** Identity of the stream: the time at which it was created. */
  #created = "";
  #reader: LogReader | undefined;
  readonly #started: Promise<void>;
  /**
   * Number of times that the stream has lost messages. A follower that began before the last loss ends with an error.
   */
  #losses = 0;
  #lastLoss: CatgaError | undefined;
  /** Time of the last report of an event that the schema refused. */
  #refusedAt = -Infinity;
  #closed = false;
  readonly #storeReads = new Gate(MAX_STORE_READS);

  constructor(options: EventFeedOptions) {
    this.#options = options;
    this.#started = this.#start();
    this.#started.catch(() => {}); // each follower awaits `started` and gets its error
  }

  /** Resolves when the feed has begun to read. Rejects with a `CatgaError` if the stream cannot be reached. */
  get started(): Promise<void> {
    return this.#started;
  }

  /**
   * Position up to which the feed has read: the position of the newest event, or of a later message of another
   * contract.
   */
  get end(): number {
    return endOf(Math.max(this.#readUpTo, this.#reader?.mark?.sequence ?? 0));
  }

  /** Number of times that the stream has lost messages. */
  get losses(): number {
    return this.#losses;
  }

  /** The last loss of messages of the stream, as the error with which followers end. */
  get lastLoss(): CatgaError | undefined {
    return this.#lastLoss;
  }

  /** True after {@link EventFeed.close}. */
  get closed(): boolean {
    return this.#closed;
  }

  add(listener: FeedFollower): void {
    this.#listeners.add(listener);
  }

  /** Removes a follower; when the last follower is removed, the feed ends. */
  remove(listener: FeedFollower): void {
    if (!this.#listeners.delete(listener) || this.#listeners.size > 0 || this.#closed) return;
    this.close();
    this.#options.onUnused();
  }

  /** Ends the feed and its followers. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader?.close();
    this.#notify(0);
  }

  /**
   * Returns the first message in memory behind a sequence. `undefined`: no such message exists yet; `"in the store"`:
   * earlier messages behind that sequence are no longer in memory and must be read from the store first.
   */
  next(sequence: number): StoredEvents | undefined | "in the store" {
    if (sequence < this.#coveredAfter) return "in the store";
    const last = this.#recent.last;
    if (last === undefined || last.sequence <= sequence) return undefined;
    // fast path: most followers wait for the newest message
    const before = this.#recent.size < 2 ? undefined : this.#recent.at(this.#recent.size - 2);
    if (before === undefined || before.sequence <= sequence) return last;
    let [low, high] = [0, this.#recent.size - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#recent.at(middle)!.sequence > sequence) high = middle;
      else low = middle + 1;
    }
    return this.#recent.at(low);
  }

  /**
   * Reads messages behind a sequence from the store, in order, until they have {@link STORE_READ_BYTES} bytes; twice
   * those of the read `before`, up to {@link MAX_STORE_READ_BYTES}, if the follower needs more soon after that read.
   * Resolves with the messages and with `upTo`: `found` has all events of the contract between `sequence` and `upTo`.
   * Rejects with `LOG_MISMATCH` if the stream has lost some of these events or, unless `expired` is allowed, if some of
   * them may have expired.
   */
  async readStore(
    sequence: number,
    { expired, before }: { readonly expired: boolean; readonly before: StoreRead | undefined },
  ): Promise<StoreRead> {
    const stream = this.#stream!; // only followers call this, after the feed has started
    const { clock } = this.#options;
    const isSoon = before !== undefined && clock.monotonic() - before.at < SOON;
    const most = isSoon ? Math.min(2 * before.most, MAX_STORE_READ_BYTES) : STORE_READ_BYTES;
    const leave = await this.#storeReads.enter();
    try {
      const part = await this.#readPart(stream, sequence, most);
      // asked after the part was read: a message that is young now had not expired while the part was read
      const young = await this.#oldestYoung(stream, part.upTo);
      if (!expired && mayHaveExpired(sequence, young)) throw await this.#expired(stream, sequence);
      return { ...part, isWhole: !mayHaveExpired(part.upTo, young), most, at: clock.monotonic() };
    } catch (error) {
      if (this.#closed) return { found: [], upTo: sequence, isWhole: false, most, at: 0 };
      throw error;
    } finally {
      leave();
    }
  }

  async #readPart(stream: LogStream, sequence: number, most: number): Promise<Pick<StoreRead, "found" | "upTo">> {
    const found: StoredEvents[] = [];
    let upTo = sequence;
    let bytes = 0;
    let failed: CatgaError | undefined;
    const done = Promise.withResolvers<void>();
    let end = sequence;
    const reader = stream.follow({
      subjects: [this.#pattern(stream)],
      after: sequence === 0 ? undefined : { created: this.#created, sequence },
      onStart: ({ lost, state }) => {
        end = state.last;
        if (lost === undefined || this.#isExpiry(lost, state)) return;
        failed = lossError(this.#options.contract, lost);
        done.resolve();
      },
      onFault: (error) => this.#fault("following", error),
      onMessage: (message) => {
        if (bytes >= most) return;
        const events = this.#eventsOf(message);
        if (events.length > 0) found.push({ sequence: message.sequence, events });
        upTo = message.sequence;
        bytes += message.data.length;
        if (bytes >= most || upTo > this.#coveredAfter) done.resolve();
      },
    });
    try {
      let over = false;
      done.promise.then(() => over = true);
      while (!over && !reader.caughtUp && !this.#closed) {
        await Promise.race([done.promise, delay(this.#options.clock, CAUGHT_UP_CHECK)]);
      }
      if (failed !== undefined) throw failed;
      // the reader has caught up: only messages of other contracts lie between the last message found and `end`
      if (bytes < most && reader.caughtUp) upTo = Math.max(upTo, end);
      return { found, upTo };
    } finally {
      reader.close();
    }
  }

  /**
   * Returns the sequence of the oldest message that cannot have expired; without one, of the next message of the
   * stream. `upTo`: a sequence that the stream has had.
   */
  async #oldestYoung(stream: LogStream, upTo: number): Promise<number> {
    const keep = keepOf(this.#options.contract);
    if (keep === Infinity) return 0;
    const ask = () => this.#untilAnswered(() => oldestYoung(stream, keep, MARGIN));
    const young = await ask();
    if (young !== undefined) return young;
    await delay(this.#options.clock, MAX_SERVER_LAG);
    return await ask() ?? upTo + 1;
  }

  /** Makes the error for a follower behind whose sequence events may have expired. */
  async #expired(stream: LogStream, sequence: number): Promise<CatgaError> {
    const { contract } = this.#options;
    // a new follower that began at the oldest message that cannot have expired would soon be where this one is
    const ahead = () => oldestYoung(stream, keepOf(contract), AHEAD);
    const next = await this.#untilAnswered(async () => await ahead() ?? (await this.#state(stream)).last + 1);
    return lossError(contract, { reason: "expired", after: sequence, next });
  }

  #untilAnswered<T>(read: () => Promise<T>): Promise<T> {
    return repeat(read, reading(this.#options.clock, () => this.#closed));
  }

  /** True if a loss says only that messages have expired, of which {@link EventFeed.readStore} decides. */
  #isExpiry({ reason }: LogLoss, { maxBytes }: LogState): boolean {
    // a stream with a limit of its size also drops messages that are young
    return reason === "expired" && maxBytes === undefined && keepOf(this.#options.contract) < Infinity;
  }

  /**
   * Throws `LOG_MISMATCH` if the stream may have lost events behind this position, at which a follower wants to begin.
   * Expired events are left to {@link EventFeed.readStore}, which throws if any of them was not read.
   */
  async checkPosition(position: number): Promise<void> {
    const state = await this.#state(this.#stream!);
    const { first, last } = state;
    const sequence = sequenceOf(position);
    const { contract } = this.#options;
    // a position inside a message: the events of that message behind the position must still exist, too
    const wanted = position === endOf(sequence) ? sequence + 1 : sequence;
    if (sequence > last) throw lossError(contract, { reason: "truncated", after: sequence, next: last + 1 });
    const expired: LogLoss = { reason: "expired", after: sequence, next: first };
    if (wanted < first && !this.#isExpiry(expired, state)) throw lossError(contract, expired);
  }

  /** The opened stream; call only after `started` has resolved. */
  get stream(): LogStream {
    return this.#stream!;
  }

  async #start(): Promise<void> {
    const stream = this.#stream = await this.#options.stream();
    const { created, last, now } = await this.#state(stream);
    this.#created = created;
    this.#readUntil = now;
    this.#coveredAfter = this.#readUpTo = last;
    if (this.#closed) return;
    this.#reader = stream.follow({
      subjects: [this.#pattern(stream)],
      after: { created, sequence: last },
      onStart: (start) => this.#begun(start),
      onFault: (error) => this.#fault("following", error),
      onMessage: (message) => this.#arrived(message),
    });
  }

  /** Goes on at the place at which the reader begins, or begins again after an interruption. */
  #begun({ lost, mark, state }: Parameters<FollowOptions["onStart"]>[0]): void {
    this.#created = mark.created;
    if (lost !== undefined && !this.#isExpiry(lost, state)) return this.#lost(lost);
    const after = lost?.after ?? mark.sequence;
    if (lost === undefined) this.#readUntil = Math.max(this.#readUntil, mark.time ?? 0);
    if (state.last <= after || this.#readUntil >= state.now - keepOf(this.#options.contract) + MARGIN) return;
    // the interruption may have been longer than the events are kept: followers read what came meanwhile from the store
    this.#clear(state.last);
    this.#notify(after);
  }

  async #state(stream: LogStream): Promise<LogState> {
    const state = await stream.state();
    if (state === undefined) {
      throw new CatgaError("UNAVAILABLE", `the stream ${stream.name} is missing: it is made again by the next publish`);
    }
    return state;
  }

  #pattern(stream: LogStream): string {
    return categoryPattern(this.#options.namespace, stream.name, this.#options.contract.name);
  }

  #arrived(message: StoredMessage): void {
    this.#readUntil = Math.max(this.#readUntil, message.time);
    this.#readUpTo = message.sequence;
    const events = this.#eventsOf(message);
    if (events.length === 0) return;
    const bytes = message.data.length;
    this.#recent.push({ sequence: message.sequence, events, bytes });
    this.#bytes += bytes;
    const { maxRecent = MAX_RECENT } = this.#options;
    while (this.#recent.size > maxRecent || (this.#bytes > MAX_RECENT_BYTES && this.#recent.size > 1)) {
      const oldest = this.#recent.shift()!; // `#recent` is not empty here
      this.#bytes -= oldest.bytes;
      this.#coveredAfter = oldest.sequence;
    }
    this.#notify(message.sequence - 1);
  }

  #eventsOf(message: StoredMessage): StoredEvent[] {
    const { contract, namespace } = this.#options;
    const group = readGroup(namespace, message);
    if (!isReadable(group)) {
      this.#fault(`reading message ${message.sequence}, which followers pass over:`, new Error(group.reason));
      return [];
    }
    return group.filter(({ category }) => category === contract.name).map((logged) =>
      new StoredEvent(contract, logged, this.#refused)
    );
  }

  /**
   * Ends the followers after the stream was made anew or has lost messages: new events may get positions that
   * followers have seen, and events may be missing.
   */
  #lost(lost: LogLoss): void {
    this.#clear(lost.next - 1);
    this.#losses++;
    this.#lastLoss = lossError(this.#options.contract, lost);
    this.#notify(0);
  }

  /** Drops the messages in memory. Those up to this sequence are then in the store only. */
  #clear(upTo: number): void {
    while (this.#recent.size > 0) this.#recent.shift();
    this.#bytes = 0;
    this.#coveredAfter = this.#readUpTo = upTo;
  }

  #notify(upTo: number): void {
    for (const listener of [...this.#listeners]) listener.changed(upTo);
  }

  /** Reports, at most once a minute, that followers end because the contract's schema refuses an event. */
  readonly #refused = (error: CatgaError): void => {
    const now = this.#options.clock.monotonic();
    if (now - this.#refusedAt < REFUSED_INTERVAL) return;
    this.#refusedAt = now;
    this.#fault("following", error);
  };

  #fault(during: string, error: unknown): void {
    this.#options.observer({ type: "fault", during: `${during} ${this.#options.contract.name}`, error });
  }
}

function lossError({ name }: AnyContract, { reason, after, next }: LogLoss): CatgaError {
  const position = endOf(next - 1);
  const why = {
    remade: "the log was made again",
    truncated: "the log has lost its end",
    replaced: "the log has other messages in the place of those that were read",
    expired: "messages have expired that were not read",
  }[reason];
  const message = `following ${name} ends behind position ${endOf(after)}: ${why}; follow from ${position} to go on`;
  return new CatgaError("LOG_MISMATCH", message, { details: { reason, position } });
}

/** Minimum time between two reports of events that a schema refuses, in ms. */
const REFUSED_INTERVAL = 60_000;
/**
 * Maximum number of messages of the stream in memory, each with up to 512 events.
 * @decides how many new events are kept in memory for followers
 */
const MAX_RECENT = 1_024;
/** Maximum number of bytes of the messages in memory. */
const MAX_RECENT_BYTES = 4_194_304;
/** Maximum number of concurrent reads from the store by one feed; each has a consumer on the server. */
const MAX_STORE_READS = 16;
/** Bytes after which a read from the store ends; its last message may exceed them. */
const STORE_READ_BYTES = 262_144;
/**
 * Bytes up to which reads grow for a follower that takes events quickly: fewer and larger reads make fewer consumers on
 * the server.
 */
const MAX_STORE_READ_BYTES = 2_097_152;
/** Maximum time that such a follower takes for the events of a read, in ms. */
const SOON = 1_000;
/** Interval between checks whether a read from the store has caught up, in ms. */
const CAUGHT_UP_CHECK = 10;
/**
 * Minimum time until a message expires that counts as young, in ms: clocks of servers differ, and so do those of a
 * server and a process.
 */
const MARGIN = 5_000;
/** Minimum time until the message expires at which a follower may go on after a loss, in ms. */
const AHEAD = 30_000;
/** First and longest pause before a store that did not answer is asked again, in ms. */
