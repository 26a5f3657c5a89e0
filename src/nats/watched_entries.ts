/**
 * The entries of a watch as they were reported to its receiver: each change is reported once, for one key only with
 * revisions that grow, whichever server delivers it and however late. And when an entry expires.
 */
import { fewAtOnce } from "../data/queues.ts";
import type { Change } from "../ports/key_value_store.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { MARGIN, type StoredTime } from "./expiry.ts";
import { subjectBelow, unpackValue } from "./key_subject.ts";
import type { JetStream } from "./jetstream.ts";
import type { StreamRecord } from "./stored_message.ts";
import type { NatsTransport } from "./transport.ts";
import { OnceAMinute } from "../ports/once_a_minute.ts";
import type { Timer } from "../ports/clock.ts";
import { remove } from "./sweeper.ts";

/** Missing keys that are looked up at once. */
const LOOKUPS = 32;
/** How long the stream's leader may take to answer, in ms. */
export const LOOKUP_LIMIT = 2_000;
/** How long a removal is remembered, so that a server that lags behind does not bring the entry back, in ms. */
const REMEMBERED = 10_000;

/** An entry that was received and not removed since. Another revision of its key is another object. */
interface WatchedEntry {
  readonly subject: string;
  readonly key: string;
  readonly revision: number;
  readonly record: StoredTime;
  /** When this process received it, by the monotonic clock. */
  readonly receivedAt: number;
  /** A ttl and the margin after `receivedAt`: the latest end, whatever the time of storing says. */
  readonly latestEnd: number;
  /** When it expires, by the monotonic clock: at `latestEnd`, or before that, by the server's clock. */
  end: number;
  /** True if an entry of this key was reported to the receiver. */
  reported: boolean;
  /** The value, if it seemed expired when it was received: reported if the server's clock shows that it is alive. */
  withheld: string | undefined;
  /** Attempts to remove it that have failed. */
  failures: number;
}

/** Options of {@link WatchedEntries}. */
interface WatchedEntriesOptions {
  /** Prefix of the watched keys. */
  readonly prefix: string;
  /** Gets every change. */
  readonly onChange: (change: Change) => void;
  /** Called with the `end` of each entry that is received. */
  readonly onEnd: (end: number) => void;
}

/** The part of a `BucketStream` that is used here. */
type WatchedBucket = Pick<BucketStream, "name" | "prefix" | "serverClock" | "noteRevision"> & {
  readonly transport: Pick<NatsTransport, "clock">;
  readonly js: Pick<JetStream, "last">;
};

/** The entries of one watch, over all of its feeds. */
export class WatchedEntries {
  readonly #bucket: WatchedBucket;
  readonly #options: WatchedEntriesOptions;
  /** Keyed by subject. */
  readonly #present = new Map<string, WatchedEntry>();
  /** By subject, the revision at which an entry was removed. */
  readonly #removed = new Map<string, { readonly revision: number; readonly at: number }>();
  #lastRevision = 0;

  constructor(bucket: WatchedBucket, options: WatchedEntriesOptions) {
    this.#bucket = bucket;
    this.#options = options;
  }

  /** The highest revision that was received; 0 before the first. */
  get lastRevision(): number {
    return this.#lastRevision;
  }

  /** The highest revision of the entries that are present; 0 without any. */
  get highestPresent(): number {
    let highest = 0;
    for (const { revision } of this.#present.values()) highest = Math.max(highest, revision);
    return highest;
  }

  /** The subjects of the entries that are present. */
  subjects(): IterableIterator<string> {
    return this.#present.keys();
  }

  /**
   * Takes a message of the stream, and reports the change unless a newer one of its key was reported. The removal of an
   * entry that was never reported is reported only with `reportRemoval`.
   */
  apply(record: StreamRecord, reportRemoval: boolean): void {
    const { subject, revision, type } = record;
    const below = subjectBelow(this.#bucket.prefix, subject);
    if (below === undefined) return;
    this.#lastRevision = Math.max(this.#lastRevision, revision);
    this.#bucket.noteRevision(revision);
    const entry = this.#present.get(subject);
    const removed = this.#removed.get(subject)?.revision ?? 0;
    if (revision <= (entry?.revision ?? (type === "put" ? 0 : removed))) return;
    const found = unpackValue(below, record.data);
    const key = entry?.key ?? found?.key;
    if (key === undefined || !key.startsWith(this.#options.prefix)) return;
    const reported = entry?.reported ?? false;
    if (type === "put") {
      // a value under a hash that cannot be unpacked was not written by Catga
      if (found === undefined) return;
      return this.#put(record, key, found.value, { reported, resurrected: revision <= removed });
    }
    this.#remove(subject, revision);
    const note = type === "delete" && found?.value ? { note: found.value } : {};
    if (entry === undefined ? reportRemoval : reported) this.#report({ type, key, revision, ...note });
  }

  /**
   * Asks the stream's leader for keys that a listing did not contain, because the server that listed may lag behind,
   * and reports those that it does not have either. Rejects when the leader does not answer.
   */
  async confirmMissing(subjects: readonly string[]): Promise<void> {
    const { js, name } = this.#bucket;
    await fewAtOnce(subjects, LOOKUPS, async (subject) => {
      const entry = this.#present.get(subject);
      const record = await js.last(name, subject, LOOKUP_LIMIT);
      if (record !== undefined) return this.apply(record, true);
      // its marker has expired, or the bucket was made anew: the next write has a higher revision
      if (entry !== undefined && this.has(entry)) this.vanish(entry, entry.revision + 1);
    });
  }

  /** Returns true if an entry is present, at this revision. */
  has(entry: WatchedEntry): boolean {
    return this.#present.get(entry.subject) === entry;
  }

  /** The entries whose `end` has come. */
  due(now: number): WatchedEntry[] {
    return [...this.#present.values()].filter(({ end }) => end <= now);
  }

  /** The first `end` that is still to come; `Infinity` without any. */
  nextEnd(now: number): number {
    let next = Infinity;
    for (const { end } of this.#present.values()) if (end > now && end < next) next = end;
    return next;
  }

  /** Moves the end of an entry, and reports it if it was withheld. */
  prolong(entry: WatchedEntry, end: number): void {
    const { subject, key, revision, withheld } = entry;
    entry.end = end;
    if (withheld === undefined) return;
    entry.withheld = undefined;
    entry.reported = true;
    this.#removed.delete(subject);
    this.#report({ type: "put", key, value: withheld, revision });
  }

  /** Removes an entry here, and reports that it has vanished, at this revision. */
  vanish({ subject, key, reported }: WatchedEntry, revision: number): void {
    this.#remove(subject, revision);
    if (reported) this.#report({ type: "vanish", key, revision });
  }

  /** Forgets removals that no server can be behind any more. */
  forgetRemovals(): void {
    const now = this.#bucket.transport.clock.monotonic();
    for (const [subject, { at }] of this.#removed) if (now - at > REMEMBERED) this.#removed.delete(subject);
  }

  /**
   * `resurrected`: the entry was removed, and a server has restored it. It is expected to be removed again, silently.
   */
  #put(
    record: StreamRecord,
    key: string,
    value: string,
    { reported, resurrected }: { reported: boolean; resurrected: boolean },
  ): void {
    const { subject, revision, stored, ttl } = record;
    const { transport: { clock }, serverClock } = this.#bucket;
    const receivedAt = clock.monotonic();
    const latestEnd = receivedAt + (ttl ?? Infinity) + MARGIN;
    const end = earlier(serverClock.endOf(record), latestEnd);
    const report = end > receivedAt && !resurrected;
    this.#present.set(subject, {
      subject,
      key,
      revision,
      record: { stored, ttl },
      receivedAt,
      latestEnd,
      end,
      reported: reported || report,
      withheld: end <= receivedAt && !resurrected ? value : undefined,
      failures: 0,
    });
    this.#options.onEnd(end);
    if (!report) return;
    this.#removed.delete(subject);
    this.#report({ type: "put", key, value, revision });
  }

  #remove(subject: string, revision: number): void {
    this.#present.delete(subject);
    this.#removed.set(subject, { revision, at: this.#bucket.transport.clock.monotonic() });
  }

  #report(change: Change): void {
    this.#options.onChange(Object.freeze(change));
  }
}

/**
 * The end by the server's clock, unless that is unknown (`NaN`) or after `latestEnd`, because the message is from the
 * future.
 */
function earlier(stamped: number, latestEnd: number): number {
  return stamped < latestEnd ? stamped : latestEnd;
}

// Removes the entries of a watch that have expired although the server still has them (`expiry.ts`): 100 to 200 ms
// after its end an entry is removed from the store, at its revision, so that neither a wrong clock nor a late message
// can remove an entry that was written again. The feed delivers that removal, and the watch reports it, as any other.
//
// An entry has expired by the server's clock, which is read again before that is relied on; or by the monotonic clock,
// a ttl after this process received it, if it has not changed since.

/** The time between two sweeps, at least, in ms. */
const SWEEP = 100;
/** When a removal that failed is tried again, in ms: after the first failure, and at the latest. */
const FIRST_RETRY = 1_000;
const LAST_RETRY = 30_000;

/** Options of {@link WatchExpiry}. */
export interface WatchExpiryOptions {
  /** Reports that an entry has vanished, and leaves it in the store. */
  readonly passive: boolean;
  /** Gets the removals that failed, and why a feed is opened anew. */
  readonly onNotice: (notice: string) => void;
  /** Aborts with the watch. */
  readonly signal: AbortSignal;
}

/** The expiry of the entries of one watch. */
export class WatchExpiry {
  readonly #stream: BucketStream;
  readonly #entries: WatchedEntries;
  readonly #options: WatchExpiryOptions;
  readonly #notices: OnceAMinute;
  /** When the next sweep is due, by the monotonic clock. */
  #next = Infinity;
  #timer: Timer | undefined;
  /** The removals under way, one sweep's after the other's. */
  #removals: Promise<void> = Promise.resolve();

  constructor(stream: BucketStream, entries: WatchedEntries, options: WatchExpiryOptions) {
    this.#stream = stream;
    this.#entries = entries;
    this.#options = options;
    this.#notices = new OnceAMinute(stream.transport.clock);
  }

  /** Sweeps soon after `end`, by the monotonic clock, unless a sweep is due before. */
  schedule(end: number): void {
    if (end >= this.#next || this.#options.signal.aborted) return;
    const { clock, random } = this.#stream.transport;
    this.#timer?.cancel();
    this.#next = end;
    // at random: of several watches of a bucket, all of which see the same, one is the first and removes the entry
    const wait = Math.max(0, end - clock.monotonic()) + SWEEP * (1 + random());
    this.#timer = clock.after(wait, () => {
      this.sweep().catch((error) => {
        this.#notice("cannot read the time of the server", error);
        this.schedule(clock.monotonic() + FIRST_RETRY);
      });
    }, { background: true });
  }

  /**
   * Starts to remove the entries that have expired, and reports those that were withheld and prove to be alive. Rejects
   * when the server's clock cannot be read.
   */
  async sweep(): Promise<void> {
    const { transport: { clock, status }, serverClock } = this.#stream;
    this.#timer?.cancel();
    this.#next = Infinity;
    // the feed that is opened after the reconnect sweeps
    if (status.state !== "connected") return;
    const now = clock.monotonic();
    const due = this.#entries.due(now);
    // the server's clock must have been read after the entries that have expired by it alone were received
    let since = -Infinity;
    for (const { latestEnd, receivedAt } of due) if (latestEnd > now) since = Math.max(since, receivedAt);
    if (since > -Infinity) await this.#stream.readServerClock(since);
    const over: WatchedEntry[] = [];
    for (const entry of due) {
      if (!this.#entries.has(entry)) continue;
      const stamped = serverClock.endOf(entry.record);
      if (entry.latestEnd > now && !(stamped <= now)) {
        this.#entries.prolong(entry, earlier(stamped, entry.latestEnd));
        continue;
      }
      // not due again before its removal has succeeded or failed
      entry.end = Infinity;
      over.push(entry);
    }
    if (over.length > 0) this.#removals = this.#removals.then(() => this.#end(over));
    this.schedule(this.#entries.nextEnd(now));
  }

  /** Cancels the next sweep. */
  stop(): void {
    this.#timer?.cancel();
  }

  /** Never rejects: removals that fail are tried again later. */
  async #end(over: WatchedEntry[]): Promise<void> {
    if (this.#options.passive) {
      for (const entry of over) {
        // at its own revision: the next one may be that of a new write
        if (this.#entries.has(entry)) this.#entries.vanish(entry, entry.revision);
      }
      return;
    }
    this.#shuffle(over);
    await fewAtOnce(over, LOOKUPS, (entry) => this.#remove(entry));
  }

  /** Several watches of a bucket begin with different entries. */
  #shuffle(entries: WatchedEntry[]): void {
    const { random } = this.#stream.transport;
    for (let i = entries.length - 1; i > 0; i--) {
      const j = Math.floor(random() * (i + 1));
      [entries[i], entries[j]] = [entries[j], entries[i]];
    }
  }

  async #remove(entry: WatchedEntry): Promise<void> {
    if (this.#options.signal.aborted || !this.#entries.has(entry)) return;
    const { subject, key, revision } = entry;
    try {
      const below = subject.slice(this.#stream.prefix.length);
      const removed = await remove(this.#stream, { subject: below, key, revision, expired: true });
      // the feed delivers a marker; without one, or when another client was faster, the leader is asked
      if (removed?.marker === undefined) await this.#entries.confirmMissing([subject]);
    } catch (error) {
      this.#notice("cannot remove expired entries", error);
    }
    if (!this.#entries.has(entry)) return;
    entry.end = this.#stream.transport.clock.monotonic() + Math.min(LAST_RETRY, FIRST_RETRY * 2 ** entry.failures++);
    this.schedule(entry.end);
  }

  /** Once a minute: thousands of entries may expire while the store does not answer. */
  #notice(what: string, error: unknown): void {
    const { signal, onNotice } = this.#options;
    if (signal.aborted || !this.#notices.due(what)) return;
    onNotice(`${what} of ${this.#stream.name}, retrying: ${(error as Error).message}`);
  }
}
