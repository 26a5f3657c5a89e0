/**
 * An entry of a bucket that this process wrote with a nonce of its own in the text: the record of a lock that the
 * process holds, its place in a lock's queue, its claim of a command's id. Compare-and-set decides every race. The
 * nonce shows whose entry it is, even if the acknowledgement of a write was lost. The table has the two states of the
 * entry, what the store then has under its key, and how the other state is reached.
 *
 * | state  | in the store                                              | next state                                   |
 * | ------ | --------------------------------------------------------- | -------------------------------------------- |
 * | `held` | this entry, at `revision` or, if an acknowledgement was   | `gone`: a read shows the entry of another    |
 * |        | lost, at a later one                                      | process, or none                             |
 * | `gone` | the entry of another process, or none                     | `held`: a write creates this entry           |
 *
 * The entry's lease ends when `left` is 0 or less, in either state: its holder then gives up, and needs no answer of
 * the store for that.
 *
 * When to renew is not decided here, because the three holders promise different things. A lock (`locks/held_key.ts`)
 * is renewed by a timer of its own, again and again until its lease ends, and gets a new token when it is confirmed. A
 * claim (`claims/held_claim.ts`) is renewed by the wheel of deadlines, as there may be thousands, and may store its
 * result after it was lost. A place in a queue (`locks/waiter.ts`) has no lease to lose: its first write makes it, and
 * it is written until its waiter is over.
 *
 * An entry is written twice if it may have replaced an expired one, because the store may lose the first of these two
 * writes. With replicas, nats-server (2.15) removes an expired entry by storing a marker, which removes every earlier
 * message of the key. If a client writes over the expired entry while its marker is being stored, the write is
 * acknowledged, and the marker removes the new entry, too. The second write is safe: the server refuses it until the
 * marker is stored, and makes no marker for an entry that has been replaced.
 */
import { between, type Clock, elapsed, type Stamp, stamp } from "../../ports/clock.ts";
import { isCatgaError } from "../../error.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import type { Bucket, Entry } from "../../ports/key_value_store.ts";
import type { AnswerTimeouts } from "./answer_timeouts.ts";
import { staleAnswer } from "./ambiguous_writes.ts";

/** Dependencies of a {@link LeasedEntry}. */
interface LeasingStore {
  readonly clock: Clock;
  readonly answers: AnswerTimeouts;
  bucket(): MaybePromise<Bucket>;
}

/**
 * An entry of this process in the store, with its last known revision and its lease.
 * @decides how an entry under a nonce is renewed, found again after a lost acknowledgement, or given up
 */
export class LeasedEntry {
  readonly key: string;
  readonly #store: LeasingStore;
  readonly #ttl: number;
  readonly #isOwn: (text: string) => boolean;
  #revision: number;
  #sent: Stamp;
  /** Text of the last failed renewal since a successful one; `undefined`: none has failed. */
  #failure: string | undefined;

  /**
   * `isOwn`: returns true for a stored text that this process may overwrite. `revision`: the revision that the next
   * write expects the key to have, of this process's own entry or of another's that is to be replaced; 0: the key has
   * no entry. `sent`: when that revision was written, or an earlier time if this is not known; for revision 0 the
   * present. The lease counts from `sent` until a write is acknowledged. If it has ended by then, the entry with that
   * revision may have expired, so the write is made twice.
   */
  constructor(
    store: LeasingStore,
    key: string,
    ttl: number,
    { revision, sent, isOwn }: { revision: number; sent: Stamp; isOwn: (text: string) => boolean },
  ) {
    this.#store = store;
    this.key = key;
    this.#ttl = ttl;
    this.#isOwn = isOwn;
    this.#revision = revision;
    this.#sent = sent;
  }

  /** Last known revision of the entry; 0: it is not in the store. */
  get revision(): number {
    return this.#revision;
  }

  /** Time at which the entry's last acknowledged write was sent. */
  get sent(): Stamp {
    return this.#sent;
  }

  /** Remaining time of the entry's lease, in ms; 0 or less once it has ended. */
  get left(): number {
    return this.leftAt(stamp(this.#store.clock));
  }

  /** Returns {@link LeasedEntry.left} at `now`, for a caller that has just read the clocks. */
  leftAt(now: Stamp): number {
    return left(now, this.#sent, this.#ttl);
  }

  /** Text for an error that says why the lease has ended. */
  get overdue(): string {
    const since = Math.round(elapsed(this.#store.clock, this.#sent)).toLocaleString("en");
    const why = this.#failure === undefined ? "" : ` (${this.#failure})`;
    return `it could not be renewed for ${since} ms, of a ttl of ${this.#ttl.toLocaleString("en")} ms${why}`;
  }

  /**
   * Forgets the entry's revision, so that the next write creates the entry. Call when the entry is known not to be in
   * the store.
   */
  forget(): void {
    this.#revision = 0;
  }

  /**
   * Writes the entry with this text, again or for the first time, within `limit` ms. For the outcome see
   * {@link LeasedEntry.change}.
   */
  async renew(limit: number, text: (revision: number) => string): Promise<"written" | Gone> {
    try {
      return await this.change(limit, (bucket, revision) => {
        const options = { ttl: this.#ttl };
        return revision === 0
          ? bucket.create(this.key, text(revision), options)
          : bucket.update(this.key, text(revision), revision, options);
      });
    } catch (error) {
      if (isCatgaError(error)) this.#failure = error.message;
      throw error;
    }
  }

  /**
   * Performs a write at the last known revision, again and again until its outcome is known. `write` resolves with the
   * entry's new revision; with true, if the write leaves no entry; or with another value, if the entry has another
   * revision than expected. In the last case the entry is read. If it is this process's own (the acknowledgement of an
   * earlier write was lost, so the entry's age is unknown), it is written again; otherwise this method resolves with
   * {@link Gone}. An entry that may have expired before this write was acknowledged is written once more, because the
   * store may remove the first of these writes. Rejects as `write` does, and with `UNAVAILABLE` if the write or the
   * read takes longer than `limit` ms, or if the entry still has the revision that was expected: the server that
   * answered the read lags behind, or the store is removing the entry. `now`: a moment before the write, if the caller
   * has just read the clocks.
   */
  async change(
    limit: number,
    write: (bucket: Bucket, revision: number) => Promise<number | boolean | undefined>,
    now?: Stamp,
  ): Promise<"written" | Gone> {
    const { clock, answers } = this.#store;
    const opening = this.#store.bucket();
    const bucket = opening instanceof Promise ? await opening : opening;
    let again = false;
    for (let sent = now ?? stamp(clock);; sent = stamp(clock)) {
      const replaces = this.#revision > 0;
      const written = await answers.within(limit, write(bucket, this.#revision), sent.monotonic);
      if (typeof written === "number") {
        again = !again && replaces && this.left <= 0;
        this.#revision = written;
        if (again) continue; // the lease begins with the second write, because this one may be removed
        this.#sent = sent;
        this.#failure = undefined;
      }
      if (written) return "written";
      const found = await answers.within(limit, bucket.get(this.key));
      // the store also refuses writes at the present revision while it removes the entry
      if (found?.revision === this.#revision) throw staleAnswer();
      if (found === undefined || !this.#isOwn(found.value)) return { found };
      this.#revision = found.revision;
    }
  }
}

/**
 * Result of a write that found the process's own entry gone. `found`: the entry of another in its place; `undefined`:
 * none.
 */
export interface Gone {
  readonly found: Entry | undefined;
}

/**
 * Returns the margin: the time before the end of the ttl at which a lease ends, in ms. 1 s, or a third of a ttl below 3
 * s.
 */
export function margin(ttl: number): number {
  return Math.min(1_000, ttl / 3);
}

/**
 * Returns the remaining time of a lease at `now`, in ms; 0 or less once it has ended. `since`: time at which the
 * entry's write was sent; `ttl`: time to live of the entry, in ms.
 * @decides how long a holder may rely on what it wrote, by its own clocks
 */
export function left(now: Stamp, since: Stamp, ttl: number): number {
  return ttl - margin(ttl) - between(since, now);
}
