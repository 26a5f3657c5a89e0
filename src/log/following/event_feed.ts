/**
 * The stored events of one contract for all followers in this process: one reader of the stream, which keeps the newest
 * events in memory. A follower that is further behind reads from the store until it has caught up. Promises: each
 * follower gets every event behind its position, in order, once, or an error that says where it may go on. A follower
 * that does not ask for events uses no memory and delays no other.
 */
import type { AnyContract } from "../../contract/contract.ts";
import type { Observer } from "../../contract/observer.ts";
import type { MaybePromise } from "../../contract/schema.ts";
import { Fifo, Gate } from "../../data/queues.ts";
import { CatgaError } from "../../error.ts";
import { type Clock, delay } from "../../ports/clock.ts";
import type { LogLoss, LogReader, LogState, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { isReadable, readGroup } from "../format/group.ts";
import { endOf, sequenceOf } from "../format/group_text.ts";
import { categoryPattern } from "../format/names.ts";
import { StoredEvent } from "./stored_event.ts";

/** Options of an {@link EventFeed}. */
export interface EventFeedOptions {
  readonly contract: AnyContract;
  readonly namespace: string;
  readonly clock: Clock;
  readonly observer: Observer;
  /** Opens the stream that has the events. */
  stream(): MaybePromise<LogStream>;
  /** Maximum number of messages of the stream in memory; default 1,024. */
  readonly maxRecent?: number;
  /** Called when the last follower has left. */
  onUnused(): void;
}

/** A follower that waits for the next event, or for the end of the feed. */
export interface FeedFollower {
  /** Called at each new event and at the end of the feed; must not throw. */
  changed(): void;
}

/** The events of one message of the stream, in order. */
export interface StoredEvents {
  readonly sequence: number;
  readonly events: readonly StoredEvent[];
}

/** The newest events of one contract, for the followers in this process. */
export class EventFeed {
  readonly #options: EventFeedOptions;
  readonly #listeners = new Set<FeedFollower>();
  /** The newest messages of the stream with events of the contract. */
  readonly #recent = new Fifo<StoredEvents & { readonly bytes: number }>();
  #bytes = 0;
  /** `#recent` has all events of the contract in messages with a greater sequence. */
  #coveredAfter = Infinity;
  /** All messages up to this sequence have been read. */
  #readUpTo = 0;
  #stream: LogStream | undefined;
  /** Identity of the stream; see {@link LogState.created}. */
  #created = "";
  #reader: LogReader | undefined;
  readonly #started: Promise<void>;
  /** Number of losses of the stream so far; a follower that began before a loss ends. */
  #losses = 0;
  #lastLoss: CatgaError | undefined;
  #closed = false;
  readonly #storeReads = new Gate(MAX_STORE_READS);

  constructor(options: EventFeedOptions) {
    this.#options = options;
    this.#started = this.#start();
    this.#started.catch(() => {}); // each follower awaits it
  }

  /** Resolves when the feed reads. Rejects with a `CatgaError` if the stream cannot be reached. */
  get started(): Promise<void> {
    return this.#started;
  }

  /** Position of the newest event that was read, or of a later message of the stream that the reader has passed. */
  get end(): number {
    return endOf(Math.max(this.#readUpTo, this.#reader?.mark?.sequence ?? 0));
  }

  /** Number of times that the stream has lost messages. */
  get losses(): number {
    return this.#losses;
  }

  /** The last loss, as the error for followers. */
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

  /** Removes a follower; without the last follower, the feed ends. */
  remove(listener: FeedFollower): void {
    if (!this.#listeners.delete(listener) || this.#listeners.size > 0 || this.#closed) return;
    this.close();
    this.#options.onUnused();
  }

  /** Ends the feed: its followers end. Idempotent. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#reader?.close();
    this.#notify();
  }

  /**
   * Returns the first message in memory behind a sequence. `undefined`: there is none yet; `"in the store"`: earlier
   * messages behind that sequence must be read from the store first.
   */
  next(sequence: number): StoredEvents | undefined | "in the store" {
    if (sequence < this.#coveredAfter) return "in the store";
    const last = this.#recent.last;
    if (last === undefined || last.sequence <= sequence) return undefined;
    // most followers wait for the newest message
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
   * Reads messages behind a sequence from the store, in order, up to a limit of bytes. `upTo`: no event up to this
   * sequence is missing in `found`. Rejects with `LOG_MISMATCH` if some are lost.
   */
  async readStore(sequence: number): Promise<{ readonly found: StoredEvents[]; readonly upTo: number }> {
    const stream = this.#stream!; // followers read after the start only
    const leave = await this.#storeReads.enter();
    try {
      return await this.#readPart(stream, sequence);
    } finally {
      leave();
    }
  }

  async #readPart(
    stream: LogStream,
    sequence: number,
  ): Promise<{ readonly found: StoredEvents[]; readonly upTo: number }> {
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
        if (lost === undefined) return;
        failed = lossError(this.#options.contract, lost);
        done.resolve();
      },
      onFault: (error) => this.#fault("following", error),
      onMessage: (message) => {
        if (bytes >= MAX_STORE_READ_BYTES) return;
        const events = this.#eventsOf(message);
        if (events.length > 0) found.push({ sequence: message.sequence, events });
        upTo = message.sequence;
        bytes += message.data.length;
        if (bytes >= MAX_STORE_READ_BYTES || upTo > this.#coveredAfter) done.resolve();
      },
    });
    try {
      let over = false;
      done.promise.then(() => over = true);
      while (!over && !reader.caughtUp && !this.#closed) {
        await Promise.race([done.promise, delay(this.#options.clock, CAUGHT_UP_CHECK)]);
      }
      if (failed !== undefined) throw failed;
      // only messages of other subjects lie between
      if (bytes < MAX_STORE_READ_BYTES && reader.caughtUp) upTo = Math.max(upTo, end);
      return { found, upTo };
    } finally {
      reader.close();
    }
  }

  /** Throws `LOG_MISMATCH` if events behind a position may be missing now. */
  async checkPosition(position: number): Promise<void> {
    const { first, last } = await this.#state(this.#stream!);
    const sequence = sequenceOf(position);
    const { contract } = this.#options;
    // later events of the same message would be missing, too
    const wanted = position === endOf(sequence) ? sequence + 1 : sequence;
    if (sequence > last) throw lossError(contract, { reason: "truncated", after: sequence, next: last + 1 });
    if (wanted < first) throw lossError(contract, { reason: "expired", after: sequence, next: first });
  }

  /** The stream, once the feed has started. */
  get stream(): LogStream {
    return this.#stream!;
  }

  async #start(): Promise<void> {
    const stream = this.#stream = await this.#options.stream();
    const { created, last } = await this.#state(stream);
    this.#created = created;
    this.#coveredAfter = this.#readUpTo = last;
    if (this.#closed) return;
    this.#reader = stream.follow({
      subjects: [this.#pattern(stream)],
      after: { created, sequence: last },
      onStart: ({ lost, mark }) => {
        this.#created = mark.created;
        if (lost !== undefined) this.#lost(lost);
      },
      onFault: (error) => this.#fault("following", error),
      onMessage: (message) => this.#arrived(message),
    });
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
    this.#readUpTo = message.sequence;
    const events = this.#eventsOf(message);
    if (events.length === 0) return;
    const bytes = message.data.length;
    this.#recent.push({ sequence: message.sequence, events, bytes });
    this.#bytes += bytes;
    const { maxRecent = MAX_RECENT } = this.#options;
    while (this.#recent.size > maxRecent || (this.#bytes > MAX_RECENT_BYTES && this.#recent.size > 1)) {
      const oldest = this.#recent.shift()!; // not empty
      this.#bytes -= oldest.bytes;
      this.#coveredAfter = oldest.sequence;
    }
    this.#notify();
  }

  #eventsOf(message: StoredMessage): StoredEvent[] {
    const { contract, namespace } = this.#options;
    const group = readGroup(namespace, message);
    if (!isReadable(group)) {
      this.#fault(`reading message ${message.sequence}, which followers pass over:`, new Error(group.reason));
      return [];
    }
    return group.filter(({ category }) => category === contract.name).map((logged) =>
      new StoredEvent(contract, logged)
    );
  }

  /**
   * Handles a stream that was made anew, or has lost messages: positions that followers have seen may be used again, or
   * events be missing.
   */
  #lost(lost: LogLoss): void {
    while (this.#recent.size > 0) this.#recent.shift();
    this.#bytes = 0;
    this.#coveredAfter = this.#readUpTo = lost.next - 1;
    this.#losses++;
    this.#lastLoss = lossError(this.#options.contract, lost);
    this.#notify();
  }

  #notify(): void {
    for (const listener of [...this.#listeners]) listener.changed();
  }

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

/** Maximum number of messages of the stream in memory, each with up to 512 events. */
const MAX_RECENT = 1_024;
/** Maximum number of bytes of the messages in memory. */
const MAX_RECENT_BYTES = 4_194_304;
/** Maximum number of concurrent reads from the store by one feed; each has a consumer on the server. */
const MAX_STORE_READS = 16;
/** Bytes after which a read from the store ends; its last message may exceed them. */
const MAX_STORE_READ_BYTES = 262_144;
/** Interval between checks whether a read from the store has caught up, in ms. */
const CAUGHT_UP_CHECK = 10;
