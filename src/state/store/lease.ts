/**
 * How long a process may rely on an entry that it wrote with a ttl: one margin less than the ttl, counted from before
 * the write was sent, by whichever clock is further on. So a lease ends in this process before its entry can expire in
 * the store.
 */
import { type Clock, elapsed, type Stamp, stamp, type Timer } from "../../ports/clock.ts";
import { type CatgaError, isCatgaError, unavailable } from "../../error.ts";
import { isForbidden } from "../../ports/transport.ts";
import type { MaybePromise } from "../../contract/schema.ts";
import type { Bucket, Entry } from "../../ports/key_value_store.ts";

/** How long before the end of its ttl a lease ends, in ms: 1 s, or a third of a ttl below 3 s. */
export function margin(ttl: number): number {
  return Math.min(1_000, ttl / 3);
}

/** Ms that are left of the lease of an entry whose write was sent at `since`; 0 or less once it has ended. */
export function left(clock: Clock, since: Stamp, ttl: number): number {
  return ttl - margin(ttl) - elapsed(clock, since);
}

/** A holder of a lease, which is checked when a clock jumps: timers do not notice that a machine slept. */
export interface Leased {
  /** Loses the lease if it has ended. */
  check(): void;
}

/** Checks all leases of a node when the wall clock jumps ahead. One timer for all of them, and none without a lease. */
export class JumpWatch {
  readonly #clock: Clock;
  readonly #leased = new Set<Leased>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Its node stops: the timer goes with the last lease. */
  close(): void {
    this.#closed = true;
    this.#rest();
  }

  add(leased: Leased): void {
    this.#leased.add(leased);
    if (this.#timer === undefined) this.#compareLater(stamp(this.#clock));
  }

  delete(leased: Leased): void {
    this.#leased.delete(leased);
    if (this.#closed) this.#rest();
  }

  #rest(): void {
    if (this.#leased.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #compareLater(last: Stamp): void {
    const due = this.#clock.monotonic() + INTERVAL;
    this.#timer = this.#clock.after(INTERVAL, () => {
      this.#timer = undefined;
      if (this.#leased.size === 0) return;
      const now = stamp(this.#clock);
      const gained = now.wall - last.wall - (now.monotonic - last.monotonic);
      // after a pause this timer is one of the first to run: renewals are due later
      const stoodStill = now.monotonic - due > LATE;
      if (gained > JUMP || stoodStill) { for (const leased of [...this.#leased]) leased.check(); }
      // without a jump `last` stays, so that a slow drift adds up to one
      this.#compareLater(Math.abs(gained) > JUMP ? now : last);
    }, { background: true });
  }
}

const INTERVAL = 250; // ms
const JUMP = 50; // ms that the wall clock may gain before leases are checked
const LATE = 250; // ms that the timer may be late before the process is said to have stood still

// Time limits for answers of the store. One timer serves all calls of a node, because nearly all answers come within a
// millisecond.

interface PendingStoreCall {
  readonly due: number;
  readonly timeOut: () => void;
}

/** The calls to the store that a node waits for. */
export class AnswerTimeouts {
  readonly #clock: Clock;
  readonly #pending = new Set<PendingStoreCall>();
  #timer: Timer | undefined;
  #closed = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Its node stops: the timer goes with the last call. */
  close(): void {
    this.#closed = true;
    this.#rest();
  }

  /**
   * Settles as the call does. Rejects with `UNAVAILABLE` between `limit` and `limit` + 50 ms without an answer: one
   * that was lost would take much longer to fail.
   */
  within<T>(limit: number, call: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const pending = {
        due: this.#clock.monotonic() + limit,
        timeOut: () => {
          const message = `no answer from the store in ${limit} ms; a write may have happened`;
          reject(unavailable(message));
        },
      };
      this.#pending.add(pending);
      if (this.#timer === undefined) this.#tick();
      const settled = () => {
        this.#pending.delete(pending);
        if (this.#closed) this.#rest();
      };
      call.then(settled, settled);
      call.then(resolve, reject);
    });
  }

  #rest(): void {
    if (this.#pending.size > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #tick(): void {
    this.#timer = this.#clock.after(TICK, () => {
      this.#timer = undefined;
      const now = this.#clock.monotonic();
      for (const pending of this.#pending) {
        if (pending.due > now) continue;
        this.#pending.delete(pending);
        pending.timeOut();
      }
      if (this.#pending.size > 0) this.#tick();
    }, { background: true });
  }
}

const TICK = 50; // ms

// Failures after which nobody knows whether the store did what it was asked: the acknowledgement may have been lost.
// Such a write is read back, or made again by compare-and-set.

/** Returns true if a call failed without an answer of the store: a write may have happened. */
export function isAmbiguous(error: unknown): boolean {
  return isCatgaError(error) && error.code === "UNAVAILABLE" && !isForbidden(error);
}

// An entry that this process wrote under a nonce of its own: the record of a lock that it holds, its place in a queue,
// the claim of an id. Compare-and-set decides every race, and the nonce shows whose entry it is, whichever
// acknowledgements are lost.
//
// | state | what the store has | next |
// | ------ | ---------------------------------------------------------- | ---------------------------------------------
// |
// | `held` | this entry, at `revision` or, without an acknowledgement, | `held` by each write; `gone` when a read |
// | | at a later one | shows the entry of another, or none |
// | `gone` | the entry of another, or none | `held` by a write without a revision |
//
// Its lease ends when `left` is 0 or less, in either state: whoever has it gives up then, and needs no answer for that.

/** Dependencies of a {@link LeasedEntry}. */
interface LeasingStore {
  readonly clock: Clock;
  readonly answers: AnswerTimeouts;
  bucket(): MaybePromise<Bucket>;
}

/** The entry, and what is known about it. */
export class LeasedEntry {
  readonly key: string;
  readonly #store: LeasingStore;
  readonly #ttl: number;
  readonly #isOwn: (text: string) => boolean;
  #revision: number;
  #sent: Stamp;
  /** What the last renewal failed with, since it was renewed. */
  #failure: string | undefined;

  /**
   * `isOwn` returns whether a text is one that this process may overwrite. `revision`: 0 for an entry that is not
   * written yet; `sent`: when its write was sent.
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

  /** The last known revision; 0 while it is not in the store. */
  get revision(): number {
    return this.#revision;
  }

  /** When its last acknowledged write was sent. */
  get sent(): Stamp {
    return this.#sent;
  }

  /** Ms that are left of its lease; 0 or less once it has ended. */
  get left(): number {
    return left(this.#store.clock, this.#sent, this.#ttl);
  }

  /** Why a lease that has ended was lost. */
  get overdue(): string {
    const since = Math.round(elapsed(this.#store.clock, this.#sent)).toLocaleString("en");
    const why = this.#failure === undefined ? "" : ` (${this.#failure})`;
    return `it could not be renewed for ${since} ms, of a ttl of ${this.#ttl.toLocaleString("en")} ms${why}`;
  }

  /** It is not in the store: the next write creates it. */
  forget(): void {
    this.#revision = 0;
  }

  /** Writes it again with this text, or for the first time, within `limit` ms. As {@link LeasedEntry.change}. */
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
   * Makes a write at the last known revision, until the store has said what became of it: `write` resolves with a new
   * revision, with `true`, or with what is neither when the entry is at another revision. It is read back then, and an
   * own entry, whose acknowledgement was lost and whose age is therefore unknown, is written again. Rejects as `write`
   * does, and with `UNAVAILABLE` when the write, or the read, takes longer than `limit` ms.
   */
  async change(
    limit: number,
    write: (bucket: Bucket, revision: number) => Promise<number | boolean | undefined>,
  ): Promise<"written" | Gone> {
    const { clock, answers } = this.#store;
    const opening = this.#store.bucket();
    const bucket = opening instanceof Promise ? await opening : opening;
    while (true) {
      const sent = stamp(clock);
      const written = await answers.within(limit, write(bucket, this.#revision));
      if (typeof written === "number") {
        this.#revision = written;
        this.#sent = sent;
        this.#failure = undefined;
      }
      if (written) return "written";
      const found = await answers.within(limit, bucket.get(this.key));
      if (found === undefined || !this.#isOwn(found.value)) return { found };
      if (found.revision === this.#revision) throw staleAnswer();
      this.#revision = found.revision;
    }
  }
}

/** Another's entry, or none, is in the place of one's own. */
export interface Gone {
  readonly found: Entry | undefined;
}

/** The failure of a read that contradicts the write before it: another try may reach the stream's leader. */
export function staleAnswer(): CatgaError {
  return unavailable("the store's answer came from a server that lags behind");
}
