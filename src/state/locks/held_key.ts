/** A key that this node holds: its renewal, its loss, its end. */
import { delay, type Timer } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import { releaseOrHandOver } from "./release.ts";
import { elapsed, type Leased, left, type Stamp, stamp } from "../store/lease.ts";
import { lockLost } from "./lock_error.ts";
import { ANSWER_LIMIT, type LockHost } from "./lock_host.ts";
import { type LockRecord, readLockRecord, writeLockRecord } from "./lock_record.ts";

/** From its acquisition to its release or loss. */
export class HeldKey implements Leased {
  readonly key: string;
  readonly record: LockRecord;
  /** The revision of the acquisition. */
  readonly token: number;
  /** Called once, when it is lost. */
  onLost: ((error: CatgaError) => void) | undefined;
  readonly #host: LockHost;
  readonly #ended: (held: HeldKey) => void;
  #revision: number;
  #sent: Stamp;
  #lost: CatgaError | undefined;
  /** The store has it as somebody else's, or not at all. */
  #gone = false;
  #released: Promise<void> | undefined;
  #renewing: Promise<void> | undefined;
  #timer: Timer | undefined;

  /** `revision` is that of a record which expires no earlier than its ttl after `sent`. `ended` is called at its end. */
  constructor(
    host: LockHost,
    key: string,
    record: LockRecord,
    held: { revision: number; sent: Stamp; ended: (held: HeldKey) => void },
  ) {
    this.#host = host;
    this.key = key;
    this.record = record;
    this.token = this.#revision = held.revision;
    this.#sent = held.sent;
    this.#ended = held.ended;
    host.jumps.add(this);
    this.#rest();
  }

  /** Why it is not held any more, when it was lost. */
  get lost(): CatgaError | undefined {
    return this.#lost;
  }

  /** The last revision that is known to be this holder's. */
  get revision(): number {
    return this.#revision;
  }

  /** Whether little of its time is left, so that it must be renewed before anybody relies on it. */
  get stale(): boolean {
    return left(this.#host.clock, this.#sent, this.record.ttl) < this.record.ttl / 3;
  }

  /** Renews it now. `false` when it is lost. */
  async confirm(): Promise<boolean> {
    this.#timer?.cancel();
    await this.#renew();
    return this.#lost === undefined;
  }

  check(): void {
    const { clock } = this.#host;
    if (left(clock, this.#sent, this.record.ttl) > 0) return;
    const since = Math.round(elapsed(clock, this.#sent)).toLocaleString("en");
    this.lose(`it could not be renewed for ${since} ms, of a ttl of ${this.record.ttl.toLocaleString("en")} ms`);
  }

  /** It is not to be relied on any more. */
  lose(why: string): void {
    if (this.#lost !== undefined || this.#released !== undefined) return;
    this.#lost = lockLost(this.key, why, this.#host.node);
    this.#end();
    this.onLost?.(this.#lost);
  }

  /** Gives it to who waits for it. Nothing when it is somebody else's by now. Idempotent. */
  release(): Promise<void> {
    return this.#released ??= this.#release();
  }

  async #release(): Promise<void> {
    if (this.#lost === undefined) this.#end();
    // the revision of a renewal under way is the one to remove
    await this.#renewing;
    if (!this.#gone) await releaseOrHandOver(this.#host, this.key, this.record, this.#revision);
  }

  #end(): void {
    this.#timer?.cancel();
    this.#host.jumps.delete(this);
    this.#ended(this);
  }

  /** Until the next renewal. */
  #rest(): void {
    const { clock } = this.#host;
    const wait = this.record.ttl / 3 - elapsed(clock, this.#sent);
    this.#timer = clock.after(Math.max(0, wait), () => void this.#renew(), { background: true });
  }

  #renew(): Promise<void> {
    return this.#renewing ??= this.#tryToRenew().finally(() => {
      this.#renewing = undefined;
      if (this.#holding) this.#rest();
    });
  }

  get #holding(): boolean {
    return this.#lost === undefined && this.#released === undefined;
  }

  /** Ends when it is renewed, lost or released. Never rejects. */
  async #tryToRenew(): Promise<void> {
    const { clock, random } = this.#host;
    const { ttl } = this.record;
    const end = clock.after(Math.max(0, left(clock, this.#sent, ttl)), () => this.check(), { background: true });
    try {
      while (this.#holding) {
        try {
          if (await this.#write()) return;
          this.#gone = true;
          return this.lose("its record is gone or another's; this process, or its way to the store, stood still");
        } catch (error) {
          if (error instanceof CatgaError && error.code === "CLOSED") return this.lose("the connection is closed");
          // no answer: a lease that ends says so itself
          await delay(clock, Math.min(500, ttl / 20) * (0.5 + random()));
          this.check();
        }
      }
    } finally {
      end.cancel();
    }
  }

  /** `false` when the record is another's. Rejects when that is not known. */
  async #write(): Promise<boolean> {
    const { clock, keys } = this.#host;
    const { nonce, ttl } = this.record;
    const limit = Math.min(ANSWER_LIMIT, ttl / 6);
    const renewed = writeLockRecord({ ...this.record, token: this.token });
    const bucket = await this.#host.bucket();
    const name = keys.holder(this.key);
    while (true) {
      const sent = stamp(clock);
      const writing = bucket.update(name, renewed, this.#revision, { ttl });
      const revision = await this.#host.answers.within(limit, writing);
      if (revision !== undefined) {
        this.#revision = revision;
        this.#sent = sent;
        // an answer that comes too late is of no use
        this.check();
        return true;
      }
      const entry = await this.#host.answers.within(limit, bucket.get(name));
      if (entry === undefined || readLockRecord(entry.value)?.nonce !== nonce) return false;
      if (entry.revision === this.#revision) {
        throw new CatgaError("UNAVAILABLE", "a server that lags behind answered", { retryable: true });
      }
      // a renewal whose acknowledgement was lost: when it was sent is not known, so it is renewed again
      this.#revision = entry.revision;
    }
  }
}
