/**
 * The entries of a watch as reported to its receiver. Each change is reported once, and for each key only with growing
 * revisions, whichever server delivers it and however late. Also computes when an entry expires, which entries of
 * `@nats-io/kv` do not (docs/internals/packages.md, row `watch`), and removes those that have expired.
 */
import { fewAtOnce } from "../../data/gate.ts";
import type { Change } from "../../ports/key_value_store.ts";
import { type BucketStream, remove } from "./bucket_stream.ts";
import { MARGIN, type StoredTime } from "../stream/expiry.ts";
import { subjectBelow, unpackValue } from "./key_subject.ts";
import type { JetStream } from "../stream/jetstream.ts";
import type { StreamRecord } from "../stream/stored_message.ts";
import type { NatsTransport } from "../connection/transport.ts";
import { doubled, OnceAMinute, type Timer } from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";

/** Number of keys missing from a listing that are looked up at once. */
const LOOKUPS = 32;
/** Timeout of a request to the stream's leader, in ms. */
export const LOOKUP_LIMIT = 2_000;
/** Time for which a removal is remembered, in ms, so that a server that lags behind does not bring the entry back. */
const REMEMBERED = 10_000;

/** An entry that was received and not removed since. Another revision of the same key is another object. */
export interface WatchedEntry {
  readonly subject: string;
  readonly key: string;
  readonly revision: number;
  readonly record: StoredTime;
  /** Time at which this process received the entry, by the monotonic clock. */
  readonly receivedAt: number;
  /**
   * Latest time at which the entry expires, by the monotonic clock: `receivedAt` plus ttl and margin. This limit holds
   * even if the entry's time of storing is wrong.
   */
  readonly latestEnd: number;
  /** Time at which the entry expires, by the monotonic clock: `latestEnd`, or earlier by the server's clock. */
  end: number;
  /** True if an entry of this key was reported to the receiver. */
  reported: boolean;
  /**
   * Value of an entry that seemed expired when it was received. It is reported if the server's clock shows that the
   * entry is alive. `undefined`: the value was reported, or must not be.
   */
  withheld: string | undefined;
  /** Number of failed attempts to remove the entry. */
  failures: number;
}

/** Options of {@link WatchedEntries}. */
interface WatchedEntriesOptions {
  /** Prefix of the keys that are watched. */
  readonly prefix: string;
  /** Called with every change of the watched entries. */
  readonly onChange: (change: Change) => void;
  /** Called with the time at which a received entry expires, by the monotonic clock. */
  readonly onEnd: (end: number) => void;
}

/** The members of a `BucketStream` that are used here. */
type WatchedBucket = Pick<BucketStream, "name" | "prefix" | "serverClock" | "noteRevision"> & {
  readonly transport: Pick<NatsTransport, "clock">;
  readonly js: Pick<JetStream, "last">;
};

/** The entries of one watch, across all of the watch's feeds. */
export class WatchedEntries {
  readonly #bucket: WatchedBucket;
  readonly #options: WatchedEntriesOptions;
  /** Present entries by subject. */
  readonly #present = new Map<string, WatchedEntry>();
  /** Removed entries by subject: revision and time of each removal. */
  readonly #removed = new Map<string, { readonly revision: number; readonly at: number }>();
  #lastRevision = 0;

  constructor(bucket: WatchedBucket, options: WatchedEntriesOptions) {
    this.#bucket = bucket;
    this.#options = options;
  }

  /** Highest revision that the watch has received; 0 before the first. */
  get lastRevision(): number {
    return this.#lastRevision;
  }

  /** Highest revision among the entries that are present; 0 if there are none. */
  get highestPresent(): number {
    let highest = 0;
    for (const { revision } of this.#present.values()) highest = Math.max(highest, revision);
    return highest;
  }

  /** Subjects of the entries that are present. */
  subjects(): IterableIterator<string> {
    return this.#present.keys();
  }

  /**
   * Applies a message of the bucket's stream, and reports the change, unless a newer change of the key was reported.
   * The removal of an entry that was never reported is reported only with `reportRemoval`. `skips`: true if earlier
   * messages of the key may not have come, as in a listing.
   */
  apply(record: StreamRecord, reportRemoval: boolean, skips = false): void {
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
      // the data under a hashed subject cannot be unpacked: it was not written by Catga
      if (found === undefined) return;
      const resurrected = revision <= removed;
      return this.#put(record, key, found.value, { reported, resurrected, overdue: this.#isOverdue(entry, skips) });
    }
    this.#remove(subject, revision);
    const note = type === "delete" && found?.value ? { note: found.value } : {};
    if (entry === undefined ? reportRemoval : reported) this.#report({ type, key, revision, ...note });
  }

  /**
   * Looks up keys that a listing lacked at the stream's leader, because the listing server may lag behind. Reports as
   * vanished those that the leader does not have either. Rejects if the leader does not answer.
   */
  async confirmMissing(subjects: readonly string[]): Promise<void> {
    const { js, name } = this.#bucket;
    await fewAtOnce(subjects, LOOKUPS, async (subject) => {
      const entry = this.#present.get(subject);
      const record = await js.last(name, subject, LOOKUP_LIMIT);
      if (record !== undefined) return this.apply(record, true);
      // the marker of the removal has expired, or the bucket was made anew: the next write has a higher revision
      if (entry !== undefined && this.has(entry)) this.vanish(entry, entry.revision + 1);
    });
  }

  /** Returns true if this entry is present, at this revision. */
  has(entry: WatchedEntry): boolean {
    return this.#present.get(entry.subject) === entry;
  }

  /** Returns the entries that have expired by now. */
  due(now: number): WatchedEntry[] {
    return [...this.#present.values()].filter(({ end }) => end <= now);
  }

  /** Returns the next time at which an entry expires; `Infinity`: none will. `now`: by the monotonic clock. */
  nextEnd(now: number): number {
    let next = Infinity;
    for (const { end } of this.#present.values()) if (end > now && end < next) next = end;
    return next;
  }

  /** Sets a later expiry of an entry; if the entry's value was withheld, reports it. */
  prolong(entry: WatchedEntry, end: number): void {
    const { subject, key, revision, withheld } = entry;
    entry.end = end;
    if (withheld === undefined) return;
    entry.withheld = undefined;
    entry.reported = true;
    this.#removed.delete(subject);
    this.#report({ type: "put", key, value: withheld, revision, overdue: true });
  }

  /** Removes an entry from this list, and reports at this revision that it has vanished. */
  vanish({ subject, key, reported }: WatchedEntry, revision: number): void {
    this.#remove(subject, revision);
    if (reported) this.#report({ type: "vanish", key, revision });
  }

  /** Forgets removals that are so old that no server lags behind them any more. */
  forgetRemovals(): void {
    const now = this.#bucket.transport.clock.monotonic();
    for (const [subject, { at }] of this.#removed) if (now - at > REMEMBERED) this.#removed.delete(subject);
  }

  /**
   * Adds an entry, and reports it unless it has expired. `reported`: true if an earlier value of the key was reported.
   * `resurrected`: the entry had been removed, and a server has restored it; it will be removed again, and is not
   * reported. `overdue`: what the entry has replaced may have expired by now.
   */
  #put(
    record: StreamRecord,
    key: string,
    value: string,
    { reported, resurrected, overdue }: { reported: boolean; resurrected: boolean; overdue: boolean },
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
    this.#report({ type: "put", key, value, revision, ...(overdue ? { overdue } : {}) });
  }

  /** Returns true if an entry that has just been replaced may have expired by now, by the server's clock. */
  #isOverdue(replaced: WatchedEntry | undefined, skips: boolean): boolean {
    if (skips || replaced === undefined) return skips;
    const { stored, ttl } = replaced.record;
    if (ttl === undefined) return false;
    const { transport: { clock }, serverClock } = this.#bucket;
    const left = stored + ttl - serverClock.latest(clock.monotonic());
    return !(left > Math.min(CLOCKS_APART, ttl / 3)); // `left` is NaN before the first reading of the server's clock
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
 * Returns the earlier of two times at which an entry expires: `stamped`, by the server's clock, and `latestEnd`. If
 * `stamped` is `NaN` (the server's clock is not known yet), returns `latestEnd`.
 */
export function earlier(stamped: number, latestEnd: number): number {
  return stamped < latestEnd ? stamped : latestEnd;
}

/**
 * Time before the end of an entry's ttl from which it may have expired, in ms, at most a third of the ttl: the clocks
 * of the servers of a cluster may differ.
 */
const CLOCKS_APART = 1_000;
/** Minimum time between two removals of expired entries, in ms. */
const SWEEP = 100;
/** Number of expired entries that are removed at once. */
const MAX_REMOVALS = 32;

/** Options of {@link WatchExpiry}. */
export interface WatchExpiryOptions {
  /** True: an expired entry is reported as gone (`vanish`), and stays in the store. */
  readonly passive: boolean;
  /** Called with failed removals, and with the reason when the watch opens another feed. */
  readonly onNotice: (notice: string) => void;
  /** Signal that aborts when the watch ends. */
  readonly signal: AbortSignal;
}

/**
 * Removes the entries of one watch that have expired although the server still has them (`expiry.ts`): 100 to 200 ms
 * after its expiry an entry is removed from the store, at its revision, so that neither a wrong clock nor a late
 * message can remove an entry that was written again. The watch receives that removal, and reports it, like any other.
 *
 * An entry counts as expired by the server's clock, which is read again before a removal; or, by the monotonic clock,
 * when this process received it a ttl ago and no newer revision has come.
 */
export class WatchExpiry {
  readonly #stream: BucketStream;
  readonly #entries: WatchedEntries;
  readonly #options: WatchExpiryOptions;
  readonly #notices: OnceAMinute;
  /** Time of the next check for expired entries, by the monotonic clock. */
  #next = Infinity;
  #timer: Timer | undefined;
  /** The removals under way, one group after the other. */
  #removals: Promise<void> = Promise.resolve();

  constructor(stream: BucketStream, entries: WatchedEntries, options: WatchExpiryOptions) {
    this.#stream = stream;
    this.#entries = entries;
    this.#options = options;
    this.#notices = new OnceAMinute(stream.transport.clock);
  }

  /** Checks for expired entries soon after `end` (monotonic clock), unless a check is due before. */
  schedule(end: number): void {
    if (end >= this.#next || this.#options.signal.aborted) return;
    const { clock, random } = this.#stream.transport;
    this.#timer?.cancel();
    this.#next = end;
    // the wait is random, because several watches of a bucket see the same entries: the first one removes them
    const wait = Math.max(0, end - clock.monotonic()) + SWEEP * (1 + random());
    this.#timer = clock.after(wait, () => {
      this.sweep().catch((error) => {
        this.#notice("cannot read the time of the server", error);
        this.schedule(clock.monotonic() + PAUSES.refused[0]);
      });
    }, { background: true });
  }

  /**
   * Starts to remove the expired entries, and reports entries that were not reported because they seemed expired, and
   * turn out to be alive. Rejects if the server's clock cannot be read.
   */
  async sweep(): Promise<void> {
    const { transport: { clock, status }, serverClock } = this.#stream;
    this.#timer?.cancel();
    this.#next = Infinity;
    // nothing to do: the feed that is opened after the reconnect checks again
    if (status.state !== "connected") return;
    const now = clock.monotonic();
    const due = this.#entries.due(now);
    // if an entry has expired only by the server's clock, that clock must have been read after the entry was received
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
      // an entry is not due again before its removal has succeeded or failed
      entry.end = Infinity;
      over.push(entry);
    }
    if (over.length > 0) this.#removals = this.#removals.then(() => this.#end(over));
    this.schedule(this.#entries.nextEnd(now));
  }

  /** Cancels the next check for expired entries. */
  stop(): void {
    this.#timer?.cancel();
  }

  /** Removes expired entries from the store. Never rejects: failed removals are tried again later. */
  async #end(over: WatchedEntry[]): Promise<void> {
    if (this.#options.passive) {
      for (const entry of over) {
        // the removal is reported with the revision that the entry has: a revision higher by one may belong to a new
        // write of the key
        if (this.#entries.has(entry)) this.#entries.vanish(entry, entry.revision);
      }
      return;
    }
    this.#shuffle(over);
    await fewAtOnce(over, MAX_REMOVALS, (entry) => this.#remove(entry));
  }

  /** Shuffles entries, so that several watches of a bucket begin with different entries. */
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
      // the watch will receive the marker; if there is none, or another client was faster, the leader is asked
      if (removed?.marker === undefined) await this.#entries.confirmMissing([subject]);
    } catch (error) {
      this.#notice("cannot remove expired entries", error);
    }
    if (!this.#entries.has(entry)) return;
    entry.end = this.#stream.transport.clock.monotonic() + doubled(entry.failures++, ...PAUSES.refused);
    this.schedule(entry.end);
  }

  /** Gives a notice at most once a minute: thousands of entries may expire while the store does not answer. */
  #notice(what: string, error: unknown): void {
    const { signal, onNotice } = this.#options;
    if (signal.aborted || !this.#notices.due(what)) return;
    onNotice(`${what} of ${this.#stream.name}, retrying: ${(error as Error).message}`);
  }
}
