/**
 * A watch of a bucket that does not fall silent: changes are reported after a reconnect, after the consumer was lost
 * and after the bucket was made anew, all of which silence the watches of `@nats-io/kv` (docs/internals/packages.md,
 * row `kv-watch`).
 *
 * A watch opens a feed (a consumer of its own), and soon reads on with a consumer that it shares with other watches
 * (`shared_consumer.ts`). When either breaks, the watch opens another feed, and compares the feed's listing with the
 * entries that were reported (`watched_entries.ts`). Every 5 s it compares the messages that have come with the last
 * message that the stream's leader has. Entries that have expired by the rule of `expiry.ts` are removed from the store
 * (`watched_entries.ts`).
 */
import { CatgaError, unavailable } from "../../error.ts";
import { backoff, delay, OnceAMinute } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import type { Change } from "../../ports/key_value_store.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { Feed } from "../reading/feed.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import { prefixFilter } from "./key_subject.ts";
import type { NatsLogReader } from "../reading/log_reader.ts";
import { connectionClosed } from "../connection/nats_error.ts";
import { recordOf } from "../stream/stored_message.ts";
import { LOOKUP_LIMIT, WatchedEntries, WatchExpiry, type WatchExpiryOptions } from "./watched_entries.ts";

/** Interval between comparisons of a watch with the stream's leader, in ms. */
const AUDIT = 5_000;
/** Maximum delay of a watch behind the stream's leader, in ms. */
const MAX_WATCH_LAG = 1_000;
/** Time for which a watch keeps its own feed before it shares a consumer, in ms: many watches end soon. */
const SETTLED = 2_000;
/** Timeout for opening the first feed of a watch, in ms. */
const OPEN_LIMIT = 5_000;

/** Options of {@link watchBucket}. */
interface BucketWatchOptions extends WatchExpiryOptions {
  readonly prefix: string;
  readonly onChange: (change: Change) => void;
}

/**
 * Watches a bucket; implements `Bucket.watch`. Rejects with the signal's reason if the signal aborts before the
 * present entries were reported.
 */
export async function watchBucket(stream: BucketStream, request: BucketWatchOptions): Promise<void> {
  request.signal.throwIfAborted();
  await new Watch(stream, request).start();
}

class Watch {
  readonly #stream: BucketStream;
  readonly #request: BucketWatchOptions;
  readonly #filter: string;
  readonly #entries: WatchedEntries;
  readonly #expiry: WatchExpiry;
  /** Aborts when the caller's signal does, or when the connection is closed. */
  readonly #end = new AbortController();
  /** Deadline for opening the first feed, by the monotonic clock; `Infinity`: the feed still waits for its turn. */
  #openBy = Infinity;
  /** Limits how often notices are repeated. */
  readonly #notices: OnceAMinute;

  constructor(stream: BucketStream, request: BucketWatchOptions) {
    const { prefix, onChange, onNotice, passive } = request;
    this.#stream = stream;
    this.#request = request;
    this.#notices = new OnceAMinute(stream.transport.clock);
    this.#filter = stream.prefix + prefixFilter(prefix);
    this.#entries = new WatchedEntries(stream, { prefix, onChange, onEnd: (end) => this.#expiry.schedule(end) });
    this.#expiry = new WatchExpiry(stream, this.#entries, { passive, onNotice, signal: this.#end.signal });
  }

  /** Starts the watch. Resolves when the present entries have been reported; the watch goes on in the background. */
  start(): Promise<void> {
    const { signal } = this.#request;
    const { transport } = this.#stream;
    const first = Promise.withResolvers<void>();
    const abort = () => this.#end.abort(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    const stopStatus = transport.onStatus(({ state }) => {
      if (state === "closed") this.#end.abort(connectionClosed());
    });
    if (transport.status.state === "closed") this.#end.abort(connectionClosed());
    this.#run(() => first.resolve())
      // has no effect after `first` has resolved: the end of a watch is not a failure
      .catch((error) => first.reject(error))
      .finally(() => {
        signal.removeEventListener("abort", abort);
        stopStatus();
        this.#expiry.stop();
      });
    return first.promise;
  }

  /**
   * Opens one feed (consumer of this watch alone) after another. Rejects when the watch ends, or if the first feed
   * cannot be opened in time.
   */
  async #run(onFirst: () => void): Promise<never> {
    const { clock, random } = this.#stream.transport;
    let listed = false;
    for (let failures = 0;; failures++) {
      try {
        if (listed) await this.#stream.transport.connected(this.#end.signal);
        await this.#follow(() => {
          listed = true;
          failures = 0;
          onFirst();
        });
      } catch (error) {
        this.#end.signal.throwIfAborted();
        const { message } = error as Error;
        if (!listed && (error instanceof CatgaError || clock.monotonic() > this.#openBy)) {
          if (error instanceof CatgaError) throw error;
          const text = `${this.#filter} cannot be watched: ${message}`;
          throw unavailable(text, { cause: error });
        }
        const notice = `watching ${this.#filter} anew: ${message}`;
        const { state } = this.#stream.transport.status;
        // the notice comes at most once a minute, and only while connected: the transport reports a lost connection;
        // wrong settings of a bucket stay until an operator corrects them
        if (state === "connected" && this.#notices.due(notice)) this.#request.onNotice(notice);
      }
      await delay(clock, backoff(random, failures, ...PAUSES.watch), this.#end.signal);
    }
  }

  /**
   * Follows one feed (the watch's own consumer), from its opening to its end. Rejects with the error that ended the
   * feed.
   */
  async #follow(onListed: () => void): Promise<never> {
    const { transport, beginnings } = this.#stream;
    const { clock } = transport;
    const leave = await beginnings.enter(this.#end.signal);
    if (this.#openBy === Infinity) this.#openBy = clock.monotonic() + OPEN_LIMIT;
    const period = new FeedPeriod(this.#end.signal);
    const { signal, breakOff } = period;
    const stopRecreated = this.#stream.onRecreated(() => breakOff("the bucket was lost and made anew"));
    const stopStatus = transport.onStatus(() => breakOff("the connection was lost"));
    let received = 0;
    // for a while the feed and the reader both deliver the same messages, each in order
    const receive = (message: StoredMessage, reportRemoval: boolean, skips = false) => {
      if (message.sequence <= received) return;
      received = message.sequence;
      this.#entries.apply(recordOf(message), reportRemoval, skips);
    };
    let feed: Feed | undefined;
    let reader: NatsLogReader | undefined;
    try {
      try {
        const listing = new FeedListing(this.#entries);
        const opening = this.#stream.attempt((limit) =>
          Feed.open(this.#stream, this.#filter, limit, {
            onMessage: (message) => signal.aborted || receive(message, listing.note(message), listing.skips),
            onListed: () => listing.end(),
            onBroken: breakOff,
          })
        );
        // close a feed that opens after the end of the watch
        opening.then((opened) => signal.aborted && opened.close(), () => {});
        feed = await period.unlessBroken(opening);
        await period.unlessBroken(listing.over);
        await period.unlessBroken(this.#entries.confirmMissing(listing.missing));
        await period.unlessBroken(this.#expiry.sweep());
        onListed();
      } finally {
        leave();
      }
      await delay(clock, SETTLED, signal);
      while (true) {
        reader ??= await this.#readBehind(feed, (message) => receive(message, true), breakOff);
        await delay(clock, AUDIT, signal);
        await period.unlessBroken(this.#audit(signal, reader));
      }
    } finally {
      period.end();
      stopRecreated();
      stopStatus();
      reader?.close();
      feed?.close();
    }
  }

  /**
   * Reads on behind a feed that has listed its entries, with a reader that shares a consumer with other watches. Closes
   * the feed when it has reached the place at which the reader has begun: if it stands still before, a marker that
   * has expired meanwhile is missing. Returns `undefined` if the feed's position is not known yet. `onBroken` is
   * called if the reader can no longer read; the caller must close the reader even then.
   */
  async #readBehind(
    feed: Feed,
    onMessage: (message: StoredMessage) => void,
    onBroken: (why: string) => void,
  ): Promise<NatsLogReader | undefined> {
    // loaded here, not with this file, because a node starts without it, and many watches end before they need it
    const [{ NatsLogReader }, consumers] = await Promise.all([
      import("../reading/log_reader.ts"),
      this.#stream.consumers(),
    ]);
    const { created } = this.#stream;
    if (created === undefined || feed.upTo === 0) return undefined;
    let begun = false;
    const reader: NatsLogReader = new NatsLogReader(consumers, {
      subjects: [this.#filter],
      after: { created, sequence: feed.upTo },
      onMessage,
      onStart: ({ state, lost }) => {
        // after an interruption all entries must be listed again, because removals leave no lasting trace
        if (begun) return onBroken("the consumer was lost");
        // "expired" is no loss: the missing messages are of other keys, or were passed on by the feed
        if (lost !== undefined && lost.reason !== "expired") return onBroken("the bucket has lost entries");
        begun = true;
        feed.closeBehind(state.last);
      },
      onFault: ({ message }) => {
        // faults of the reader before it has begun are ignored: until then the feed delivers the changes
        if (begun && reader.fault !== undefined) onBroken(message);
      },
    });
    return reader;
  }

  /**
   * Compares the watch with the stream's leader. Rejects if the leader has a message that did not arrive, or lacks an
   * entry that did, or if the bucket's stream was changed.
   */
  async #audit(signal: AbortSignal, reader: NatsLogReader | undefined): Promise<void> {
    const { transport: { clock }, js, name } = this.#stream;
    this.#entries.forgetRemovals();
    await this.#stream.check();
    // the highest revision is read before the leader is asked: messages that arrive while the answer is under way may
    // be newer than the answer
    const before = this.#entries.highestPresent;
    // this watch knows no entry, so the store cannot have lost one of its entries; that new messages are missing is
    // noticed where they are delivered (`log_delivery.ts`)
    if (reader?.caughtUp && before === 0) return;
    let last;
    try {
      last = await js.last(name, this.#filter, LOOKUP_LIMIT);
    } catch (error) {
      // without a leader nothing can be compared; heartbeats show that the feed is alive
      if (error instanceof JetStreamRefusal && error.refusal !== "no stream") return;
      throw error;
    }
    const revision = last?.revision ?? 0;
    if (revision > this.#entries.lastRevision) {
      await delay(clock, MAX_WATCH_LAG, signal);
      if (revision > this.#entries.lastRevision) throw new Error(`revision ${revision} did not come`);
    } else if (revision < this.#entries.lastRevision) {
      // the leader lacks the last message that was received: either it was a marker, and has expired, or the store has
      // lost an entry
      const highest = Math.min(before, this.#entries.highestPresent);
      if (revision < highest) throw new Error(`revision ${highest} has gone`);
    }
  }
}

/** The time for which a watch follows one feed: it ends when the feed breaks, or with the watch. */
class FeedPeriod {
  readonly #over = new AbortController();
  /** Aborts when the period ends, and when the watch does. */
  readonly signal: AbortSignal;
  readonly #broken: Promise<never>;

  constructor(end: AbortSignal) {
    this.signal = AbortSignal.any([this.#over.signal, end]);
    this.#broken = new Promise<never>((_, reject) => {
      this.signal.addEventListener("abort", () => reject(this.signal.reason), { once: true });
    });
    // a rejection is handled here, because the promise may reject while nothing awaits it
    this.#broken.catch(() => {});
  }

  readonly breakOff = (why: string): void => this.#over.abort(new Error(why));

  end(): void {
    this.#over.abort();
  }

  /** Resolves or rejects as `work` does; rejects as soon as the period ends. */
  unlessBroken<T>(work: Promise<T>): Promise<T> {
    return Promise.race([this.#broken, work]);
  }
}

/** The present entries, which a feed delivers first; they show which of the entries that were reported have gone. */
class FeedListing {
  readonly #entries: WatchedEntries;
  /** Revision of the last message that was received before; 0: the watch begins with this listing. */
  readonly #before: number;
  readonly #present = new Set<string>();
  readonly #over = Promise.withResolvers<void>();
  #missing: readonly string[] | undefined;

  constructor(entries: WatchedEntries) {
    this.#entries = entries;
    this.#before = entries.lastRevision;
  }

  /** Resolves when the listing has ended. */
  get over(): Promise<void> {
    return this.#over.promise;
  }

  /** Subjects of the reported entries that the listing does not have; empty until it has ended. */
  get missing(): readonly string[] {
    return this.#missing ?? [];
  }

  /** True while the feed lists entries of a watch that was interrupted: changes before them may be missing. */
  get skips(): boolean {
    return this.#missing === undefined && this.#before > 0;
  }

  /**
   * Notes a message of the feed. Returns true if the message's removal of an entry is reported: one that happened
   * before the watch began is not.
   */
  note({ subject, sequence }: StoredMessage): boolean {
    if (this.#missing !== undefined) return true;
    this.#present.add(subject);
    return this.#before > 0 && sequence > this.#before;
  }

  end(): void {
    this.#missing = [...this.#entries.subjects()].filter((subject) => !this.#present.has(subject));
    this.#over.resolve();
  }
}
