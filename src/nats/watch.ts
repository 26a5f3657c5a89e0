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
import { CatgaError, unavailable } from "../error.ts";
import { backoff, delay, OnceAMinute } from "../ports/clock.ts";
import type { StoredMessage } from "../ports/event_log.ts";
import type { Change } from "../ports/key_value_store.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { Feed } from "./feed.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import { prefixFilter } from "./key_subject.ts";
import type { NatsLogReader } from "./log_reader.ts";
import { connectionClosed } from "./nats_error.ts";
import { recordOf } from "./stored_message.ts";
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
      await delay(clock, backoff(random, failures, 20, 2_000), this.#end.signal);
    }
  }

  /**
   * Follows one feed (the watch's own consumer), from its opening to its end. Rejects with the error that ended the
   * feed.
   */
  async #follow(onListed: () => void): Promise<never> {
    const { transport } = this.#stream;
    const { clock } = transport;
    const leave = await this.#stream.beginnings.enter(this.#end.signal);
    if (this.#openBy === Infinity) this.#openBy = clock.monotonic() + OPEN_LIMIT;
    let beginning = true;
    const begun = () => {
      if (beginning) leave();
      beginning = false;
    };
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#end.signal]);
    const breakOff = (why: string) => over.abort(new Error(why));
    const stopRecreated = this.#stream.onRecreated(() => breakOff("the bucket was lost and made anew"));
    const broken = new Promise<never>((_, reject) => {
      signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    });
    // a rejection is handled here, because the promise may reject while nothing awaits it
    broken.catch(() => {});
    const unlessBroken = <T>(work: Promise<T>): Promise<T> => Promise.race([broken, work]);

    const before = this.#entries.lastRevision;
    const present = new Set<string>();
    let missing: string[] | undefined;
    const listed = Promise.withResolvers<void>();
    let feed: Feed | undefined;
    let reader: NatsLogReader | undefined;
    let received = 0;
    // for a while the feed and the reader both deliver the same messages, each in order
    const receive = (message: StoredMessage, reportRemoval: boolean) => {
      if (message.sequence <= received) return;
      received = message.sequence;
      this.#entries.apply(recordOf(message), reportRemoval);
    };
    const stopStatus = transport.onStatus(() => breakOff("the connection was lost"));
    try {
      const opening = this.#stream.attempt((limit) =>
        Feed.open(this.#stream, this.#filter, limit, {
          onMessage: (message) => {
            if (signal.aborted) return;
            if (missing === undefined) present.add(message.subject);
            // a removal that happened before the watch began is not reported
            const reportRemoval = missing !== undefined || (before > 0 && message.sequence > before);
            receive(message, reportRemoval);
          },
          onListed: () => {
            missing = [...this.#entries.subjects()].filter((subject) => !present.has(subject));
            listed.resolve();
          },
          onBroken: breakOff,
        })
      );
      // close a feed that opens after the end of the watch
      opening.then((opened) => signal.aborted && opened.close(), () => {});
      feed = await unlessBroken(opening);
      await unlessBroken(listed.promise);
      await unlessBroken(this.#entries.confirmMissing(missing ?? []));
      await unlessBroken(this.#expiry.sweep());
      onListed();
      begun();
      await delay(clock, SETTLED, signal);
      while (true) {
        reader ??= await this.#readBehind(feed, (message) => receive(message, true), breakOff);
        await delay(clock, AUDIT, signal);
        await unlessBroken(this.#audit(signal, reader));
      }
    } finally {
      begun();
      over.abort();
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
    const [{ NatsLogReader }, consumers] = await Promise.all([import("./log_reader.ts"), this.#stream.consumers()]);
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
