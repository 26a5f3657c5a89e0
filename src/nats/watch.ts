/**
 * A watch that does not go silent. KV watches do (measured, nats.js 3.4 and nats-server 2.15): when their consumer is
 * lost, when their bucket is made anew, and after a reconnect over a dead link. So a feed is opened anew after each of
 * these, its listing is compared with what was told, and every few seconds the stream's leader is asked for its last
 * message.
 *
 * Nor does it believe an entry for longer than its ttl, which servers forget (`expiry.ts`): one whose time is over by the
 * server's clock, or that this process has seen unchanged for longer than its ttl, is removed by compare-and-set. The
 * receiver is told of that removal, as of every other one, so a wrong clock or a late message can end no live entry.
 */
import { delay, type Timer } from "../ports/clock.ts";
import { CatgaError } from "../error.ts";
import type { Change } from "../ports/key_value_store.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { MARGIN, type Stored } from "./expiry.ts";
import { Feed } from "./feed.ts";
import { JetStreamRefusal, type StreamRecord } from "./jetstream.ts";
import { prefixFilter, unpackValue } from "./key.ts";
import { connectionClosed } from "./nats_error.ts";
import { remove } from "./removal.ts";

/** How often the leader is asked, in ms. */
const AUDIT = 5_000;
/** How far a feed may be behind the leader, in ms. */
const LAG = 1_000;
/** How long the first feed may take to open, in ms. */
const OPEN_LIMIT = 5_000;
/** How long a question to the leader may take, in ms. */
const LOOKUP_LIMIT = 2_000;
/** How many vanished keys are looked up at once. */
const LOOKUPS = 32;
/** How long a deletion is remembered, lest a server that lags behind shows the entry again, in ms. */
const REMEMBERED = 10_000;
/** How often it is looked for entries whose time is over, at most, in ms. */
const SWEEP = 100;
/** When a removal that failed is tried again, in ms: at first, and at the latest. */
const AGAIN = 1_000;
const LATEST = 30_000;
/** How often one notice is repeated, in ms. */
const NOTICE = 60_000;

/** What to watch. */
export interface WatchRequest {
  readonly prefix: string;
  readonly onChange: (change: Change) => void;
  readonly signal: AbortSignal;
  /** Told why a feed was opened anew. */
  readonly onNotice: (notice: string) => void;
  /** Tells that an entry is over, and does not remove it. */
  readonly looksOn: boolean;
}

/** Does what `Bucket.watch` promises. Rejects with the signal's reason when that aborts before the current entries came. */
export async function watchBucket(stream: BucketStream, request: WatchRequest): Promise<void> {
  request.signal.throwIfAborted();
  await new Watch(stream, request).start();
}

/** An entry that is there. */
interface Known {
  readonly key: string;
  readonly revision: number;
  readonly record: Stored;
  /** Until when it may be believed, by the monotonic clock: as its stamp says, and at most unchanged since it was seen. */
  end: number;
  readonly bound: number;
  readonly seen: number;
  /** Whether the receiver knows of one under this key. */
  told: boolean;
  /** What it is told when the end of this one turns out to be yet to come. */
  doubted: string | undefined;
  /** How often it could not be removed. */
  failures: number;
}

class Watch {
  readonly #stream: BucketStream;
  readonly #request: WatchRequest;
  readonly #filter: string;
  /** By subject, what is there. */
  readonly #known = new Map<string, Known>();
  /** By subject, what it knows to be gone. */
  readonly #gone = new Map<string, { readonly revision: number; readonly at: number }>();
  /** The highest revision that came. */
  #seen = 0;
  /** When it is looked for entries whose time is over. */
  #next = Infinity;
  #timer: Timer | undefined;
  #burying: Promise<void> = Promise.resolve();
  readonly #end = new AbortController();
  /** The last notice, and when it was given, by the monotonic clock. */
  #noticed = { text: "", at: -Infinity };

  constructor(stream: BucketStream, request: WatchRequest) {
    this.#stream = stream;
    this.#request = request;
    this.#filter = stream.prefix + prefixFilter(request.prefix);
  }

  /** Resolves when the current entries have been told; goes on in the background. */
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
      // the end of a watch that has told the current entries is nobody's failure
      .catch((error) => first.reject(error))
      .finally(() => {
        signal.removeEventListener("abort", abort);
        stopStatus();
        this.#timer?.cancel();
      });
    return first.promise;
  }

  /** Round after round; rejects at the end, or when the first one fails. */
  async #run(onFirst: () => void): Promise<never> {
    const { clock, random } = this.#stream.transport;
    const end = clock.monotonic() + OPEN_LIMIT;
    let listed = false;
    for (let failures = 0;; failures++) {
      try {
        if (listed) await this.#link();
        await this.#round(() => {
          listed = true;
          failures = 0;
          onFirst();
        });
      } catch (error) {
        this.#end.signal.throwIfAborted();
        const { message } = error as Error;
        if (!listed && (error instanceof CatgaError || clock.monotonic() > end)) {
          throw error instanceof CatgaError
            ? error
            : unavailable(`${this.#filter} cannot be watched: ${message}`, error);
        }
        // a link that is lost tells of itself
        if (this.#stream.transport.status.state === "connected") {
          this.#notice(`watching ${this.#filter} anew: ${message}`);
        }
      }
      await delay(clock, random() * Math.min(2_000, 20 * 2 ** failures), this.#end.signal);
    }
  }

  /** The same one once a minute: what is wrong with a bucket stays so until somebody mends it. */
  #notice(text: string): void {
    const at = this.#stream.transport.clock.monotonic();
    if (text === this.#noticed.text && at - this.#noticed.at < NOTICE) return;
    this.#noticed = { text, at };
    this.#request.onNotice(text);
  }

  /** Waits until there is a link. */
  async #link(): Promise<void> {
    const { transport } = this.#stream;
    const signal = this.#end.signal;
    while (transport.status.state !== "connected") {
      signal.throwIfAborted();
      const { promise, resolve } = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise.finally(transport.onStatus(() => resolve()));
    }
  }

  /** One feed, from its opening to its end. Rejects with what ended it. */
  async #round(onListed: () => void): Promise<never> {
    const { transport, js, name } = this.#stream;
    const { clock } = transport;
    this.#end.signal.throwIfAborted();
    const over = new AbortController();
    const breakUp = (why: string) => over.abort(new Error(why));
    const end = () => over.abort(this.#end.signal.reason);
    this.#end.signal.addEventListener("abort", end, { once: true });
    const stopMade = this.#stream.onMade(() => breakUp("the bucket was lost and made anew"));
    const broken = new Promise<never>((_, reject) => {
      over.signal.addEventListener("abort", () => reject(over.signal.reason), { once: true });
    });
    // it may break while nobody waits
    broken.catch(() => {});
    const alive = <T>(work: Promise<T>): Promise<T> => Promise.race([broken, work]);

    const before = this.#seen;
    const present = new Set<string>();
    let vanished: string[] | undefined;
    const listed = Promise.withResolvers<void>();
    let feed: Feed | undefined;
    try {
      const opening = this.#stream.attempt((limit) =>
        Feed.open(transport, js, name, this.#filter, limit, {
          onRecord: (record) => {
            if (over.signal.aborted) return;
            if (vanished === undefined) present.add(record.subject);
            // of what had gone before it was watched nothing is told
            this.#apply(record, vanished !== undefined || (before > 0 && record.revision > before));
          },
          onListed: () => {
            vanished = [...this.#known.keys()].filter((subject) => !present.has(subject));
            listed.resolve();
          },
          onBroken: breakUp,
        }), { again: true });
      // one that opens when the round is over is closed at once
      opening.then((opened) => over.signal.aborted && opened.close(), () => {});
      feed = await alive(opening);
      await alive(listed.promise);
      await alive(this.#reportVanished(vanished ?? []));
      await alive(this.#sweep());
      onListed();
      while (true) {
        await delay(clock, AUDIT, over.signal);
        await alive(this.#audit(over.signal));
      }
    } finally {
      over.abort();
      stopMade();
      this.#end.signal.removeEventListener("abort", end);
      feed?.close();
    }
  }

  /** Tells what a message means, unless something newer was told of its key. */
  #apply(record: StreamRecord, news: boolean): void {
    const { subject, revision, type } = record;
    this.#seen = Math.max(this.#seen, revision);
    this.#stream.saw(revision);
    const known = this.#known.get(subject);
    const gone = this.#gone.get(subject)?.revision ?? 0;
    if (revision <= (known?.revision ?? (type === "put" ? 0 : gone))) return;
    const found = unpackValue(subject.slice(this.#stream.prefix.length), record.data);
    const key = known?.key ?? found?.key;
    if (key === undefined || !key.startsWith(this.#request.prefix)) return;
    if (type === "put") {
      // a value under a hash that cannot be read is somebody else's
      if (found === undefined) return;
      return this.#enter(record, key, found.value, { told: known?.told ?? false, back: revision <= gone });
    }
    this.#leave(subject, revision);
    if (known?.told ?? news) this.#tell({ type, key, revision });
  }

  /** An entry is there. `back`: it was gone, and a server has brought it back. */
  #enter(record: StreamRecord, key: string, value: string, { told, back }: { told: boolean; back: boolean }): void {
    const { subject, revision, stored, ttl } = record;
    const { transport: { clock }, time } = this.#stream;
    const now = clock.monotonic();
    const bound = now + (ttl ?? Infinity) + MARGIN;
    const stamped = time.endOf(record);
    // a stamp from the future, or none
    const end = stamped < bound ? stamped : bound;
    const doubted = end <= now && !back ? value : undefined;
    const loud = end > now && !back;
    this.#known.set(subject, {
      key,
      revision,
      record: { stored, ttl },
      end,
      bound,
      seen: now,
      told: told || loud,
      doubted,
      failures: 0,
    });
    this.#sweepAt(end);
    if (!loud) return;
    this.#gone.delete(subject);
    this.#tell({ type: "put", key, value, revision });
  }

  #leave(subject: string, revision: number): void {
    this.#known.delete(subject);
    this.#gone.set(subject, { revision, at: this.#stream.transport.clock.monotonic() });
  }

  #sweepAt(end: number): void {
    if (end >= this.#next || this.#end.signal.aborted) return;
    const { clock, random } = this.#stream.transport;
    this.#timer?.cancel();
    this.#next = end;
    // of several watches, which all see the same, one is the first
    const wait = Math.max(0, end - clock.monotonic()) + SWEEP * (1 + random());
    this.#timer = clock.after(wait, () => {
      this.#sweep().catch((error) => {
        this.#end.signal.aborted || this.#request.onNotice(`${this.#filter}: ${(error as Error).message}`);
        this.#sweepAt(clock.monotonic() + AGAIN);
      });
    }, { background: true });
  }

  /** Begins to remove the entries whose time is over, and tells those of which that turns out to be wrong. */
  async #sweep(): Promise<void> {
    const { transport: { clock, status }, time } = this.#stream;
    this.#timer?.cancel();
    this.#next = Infinity;
    // the next listing sweeps
    if (status.state !== "connected") return;
    const now = clock.monotonic();
    const due: [string, Known][] = [];
    for (const [subject, known] of this.#known) if (known.end <= now) due.push([subject, known]);
    let since = -Infinity;
    for (const [, { bound, seen }] of due) if (bound > now) since = Math.max(since, seen);
    if (since > -Infinity) await this.#stream.readTime(since);
    const over: [string, Known][] = [];
    for (const [subject, known] of due) {
      if (this.#known.get(subject) !== known) continue;
      const { key, revision, bound, record, doubted } = known;
      const stamped = time.endOf(record);
      if (bound <= now || stamped <= now) {
        // until it is known what came of its removal
        known.end = Infinity;
        over.push([subject, known]);
      } else {
        known.end = stamped < bound ? stamped : bound;
        known.doubted = undefined;
        if (doubted === undefined) continue;
        known.told = true;
        this.#gone.delete(subject);
        this.#tell({ type: "put", key, value: doubted, revision });
      }
    }
    if (over.length > 0) this.#burying = this.#burying.then(() => this.#bury(over));
    let next = Infinity;
    for (const { end } of this.#known.values()) if (end > now && end < next) next = end;
    this.#sweepAt(next);
  }

  /** Removes entries at their revisions. Never rejects: what could not be removed is tried again later. */
  async #bury(over: [string, Known][]): Promise<void> {
    const { transport: { clock, random } } = this.#stream;
    // others who watch the same begin with others of them
    for (let i = over.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [over[i], over[j]] = [over[j], over[i]];
    }
    if (this.#request.looksOn) {
      for (const [subject, known] of over) {
        if (this.#known.get(subject) !== known) continue;
        const { key, revision, told } = known;
        // not above its own: it may be written again, at the next
        this.#leave(subject, revision);
        if (told) this.#tell({ type: "vanish", key, revision });
      }
      return;
    }
    for (let i = 0; i < over.length && !this.#end.signal.aborted; i += LOOKUPS) {
      await Promise.all(
        over.slice(i, i + LOOKUPS).map(async ([subject, known]) => {
          if (this.#known.get(subject) !== known) return;
          const { key, revision } = known;
          try {
            const below = subject.slice(this.#stream.prefix.length);
            const removed = await remove(this.#stream, { subject: below, key, revision, overdue: true });
            // of a marker the feed tells; without one, or when another was faster, the leader does
            if (removed?.marker === undefined) await this.#reportVanished([subject]);
          } catch (error) {
            if (this.#end.signal.aborted) return;
            if (known.failures === 0) {
              this.#request.onNotice(`${key} is over and could not be removed: ${(error as Error).message}`);
            }
          }
          if (this.#known.get(subject) !== known) return;
          known.end = clock.monotonic() + Math.min(LATEST, AGAIN * 2 ** known.failures++);
          this.#sweepAt(known.end);
        }),
      );
    }
  }

  /** Asks the leader for keys that a listing did not have, for the server that listed may be behind. */
  async #reportVanished(subjects: readonly string[]): Promise<void> {
    const { js, name } = this.#stream;
    for (let i = 0; i < subjects.length; i += LOOKUPS) {
      await Promise.all(
        subjects.slice(i, i + LOOKUPS).map(async (subject) => {
          const known = this.#known.get(subject);
          const record = await js.last(name, subject, LOOKUP_LIMIT);
          if (record !== undefined) return this.#apply(record, true);
          // its marker has gone as well, or the bucket was made anew: whatever comes has a higher revision
          if (known === undefined || this.#known.get(subject) !== known) return;
          const revision = known.revision + 1;
          this.#leave(subject, revision);
          if (known.told) this.#tell({ type: "vanish", key: known.key, revision });
        }),
      );
    }
  }

  /** Rejects when the leader has what did not come, or no longer has what did. */
  async #audit(signal: AbortSignal): Promise<void> {
    const { transport: { clock }, js, name } = this.#stream;
    for (const [subject, { at }] of this.#gone) {
      if (clock.monotonic() - at > REMEMBERED) this.#gone.delete(subject);
    }
    await this.#stream.check();
    let last: StreamRecord | undefined;
    try {
      last = await js.last(name, this.#filter, LOOKUP_LIMIT);
    } catch (error) {
      // no leader at the moment, or none that answers: as long as the feed is heard it is not worse
      if (error instanceof JetStreamRefusal && error.refusal !== "no stream") return;
      throw error;
    }
    const revision = last?.revision ?? 0;
    if (revision > this.#seen) {
      await delay(clock, LAG, signal);
      if (revision > this.#seen) throw new Error(`revision ${revision} did not come`);
    } else if (revision < this.#seen) {
      // the last was a marker that has gone, or else the store has lost something
      let highest = 0;
      for (const known of this.#known.values()) highest = Math.max(highest, known.revision);
      if (revision < highest) throw new Error(`revision ${highest} has gone`);
    }
  }

  #tell(change: Change): void {
    this.#request.onChange(Object.freeze(change));
  }
}

function unavailable(message: string, cause: unknown): CatgaError {
  return new CatgaError("UNAVAILABLE", message, { retryable: true, cause });
}
