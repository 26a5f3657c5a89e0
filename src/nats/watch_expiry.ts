/**
 * Removes the entries of a watch that have expired although the server still has them (`expiry.ts`): 100 to 200 ms
 * after its expiry an entry is removed from the store, at its revision, so that neither a wrong clock nor a late
 * message can remove an entry that was written again. The watch receives that removal, and reports it, like any other.
 *
 * An entry counts as expired by the server's clock, which is read again before a removal; or, by the monotonic clock,
 * when this process received it a ttl ago and no newer revision has come.
 */
import { fewAtOnce } from "../data/gate.ts";
import type { BucketStream } from "./bucket_stream.ts";
import { doubled, type Timer } from "../ports/clock.ts";
import { OnceAMinute } from "../ports/once_a_minute.ts";
import { remove } from "./removal.ts";
import { earlier, type WatchedEntries, type WatchedEntry } from "./watched_entries.ts";

/** Minimum time between two removals of expired entries, in ms. */
const SWEEP = 100;
/** Number of expired entries that are removed at once. */
const MAX_REMOVALS = 32;
/** First pause before a failed removal is tried again, in ms; `LAST_RETRY`: longest pause. */
const FIRST_RETRY = 1_000;
const LAST_RETRY = 30_000;

/** Options of {@link WatchExpiry}. */
export interface WatchExpiryOptions {
  /** True: an expired entry is reported as gone (`vanish`), and stays in the store. */
  readonly passive: boolean;
  /** Called with failed removals, and with the reason when the watch opens another feed. */
  readonly onNotice: (notice: string) => void;
  /** Signal that aborts when the watch ends. */
  readonly signal: AbortSignal;
}

/** Removes the expired entries of one watch. */
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
        this.schedule(clock.monotonic() + FIRST_RETRY);
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
    entry.end = this.#stream.transport.clock.monotonic() + doubled(entry.failures++, FIRST_RETRY, LAST_RETRY);
    this.schedule(entry.end);
  }

  /** Gives a notice at most once a minute: thousands of entries may expire while the store does not answer. */
  #notice(what: string, error: unknown): void {
    const { signal, onNotice } = this.#options;
    if (signal.aborted || !this.#notices.due(what)) return;
    onNotice(`${what} of ${this.#stream.name}, retrying: ${(error as Error).message}`);
  }
}
