/**
 * The record of a subscription in the hands of its leader: it writes it by compare-and-set, and finds out when another node has taken
 * it. A write that fails shows nothing by itself, because over elections of the store's servers many fail without a rival: it is read
 * back, and only another leader's name in the record ends the lead.
 */
import type { Clock } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import {
  readSubscriptionRecord,
  type SubscriptionRecord,
  writeSubscriptionRecord,
} from "../format/subscription_record.ts";

/** What a {@link Lease} is made of. */
export interface LeaseOptions {
  readonly bucket: Bucket;
  readonly key: string;
  readonly clock: Clock;
  /** The record as it was written at the takeover, and its revision. */
  readonly record: SubscriptionRecord;
  readonly revision: number;
  /** When that write was sent, by the monotonic clock. */
  readonly since: number;
  /** Gets what others have put into the record: requests, and categories that are new. */
  onChange(record: SubscriptionRecord): void;
  fault(error: unknown): void;
}

/** Who leads, as long as it writes. */
export class Lease {
  readonly token: number;
  readonly #options: LeaseOptions;
  #revision: number;
  /** When the last write that succeeded was sent. */
  #renewed: number;
  #over = false;

  constructor(options: LeaseOptions) {
    this.#options = options;
    this.token = this.#revision = options.revision;
    this.#renewed = options.since;
  }

  get revision(): number {
    return this.#revision;
  }

  /** Another node leads. */
  get deposed(): boolean {
    return this.#over;
  }

  /** Whether nobody else can lead yet: others wait longer than this before they take a record that stands still. */
  get holds(): boolean {
    return !this.#over && this.#options.clock.monotonic() - this.#renewed < HOLD;
  }

  /**
   * Writes the record; one call at a time. Resolves with whether it is stored; never rejects. When it is not, another call may
   * succeed, unless {@link Lease.deposed}.
   */
  async write(record: SubscriptionRecord): Promise<boolean> {
    const { bucket, key, clock } = this.#options;
    if (this.#over) return false;
    const sent = clock.monotonic();
    try {
      const written = await bucket.update(key, writeSubscriptionRecord(record), this.#revision);
      if (written === undefined) {
        await this.readBack();
        return false;
      }
      this.#revision = written;
      this.#renewed = sent;
      return true;
    } catch (error) {
      this.#options.fault(error);
      await this.readBack();
      return false;
    }
  }

  /** Reads the record: whether this node leads still, and what others have put into it. Never rejects. */
  async readBack(): Promise<void> {
    const { bucket, key, record: { service, name, leader }, fault, onChange } = this.#options;
    try {
      const entry = await bucket.get(key);
      if (this.#over) return;
      if (entry === undefined) {
        // it was deleted: what this leader knows is all there is
        this.#revision =
          await bucket.create(key, writeSubscriptionRecord({ ...this.#options.record, token: this.token })) ??
            this.#revision;
        return;
      }
      const stored = readSubscriptionRecord(service, name, entry.value);
      if (typeof stored !== "string" && stored.leader !== leader) {
        this.#over = true;
        return;
      }
      this.#revision = entry.revision;
      if (typeof stored === "string") fault(new Error(`the record was overwritten with an invalid one: ${stored}`));
      else onChange(stored);
    } catch (error) {
      fault(error);
    }
  }

  /** Ends it, here only. */
  close(): void {
    this.#over = true;
  }
}

/** How long a leader may go on without a write, in ms: less than the time after which others take over. */
const HOLD = 2_400;
