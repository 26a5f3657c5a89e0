/** When a leader writes its record: soon after something has changed, not too often, and regularly, because the record is its lease. */
import type { Clock } from "../../ports/clock.ts";
import type { SubscriptionRecord } from "../format/subscription_record.ts";
import type { Lease } from "./lease.ts";

/** What a {@link Recording} is made of. */
export interface RecordingOptions {
  readonly lease: Lease;
  readonly clock: Clock;
  /** The record as it is to be written now; `last`: with all that is open, for a successor. */
  record(last: boolean): SubscriptionRecord;
  /** A record is stored. */
  onStored(record: SubscriptionRecord): void;
  /** Another node leads. */
  onDeposed(): void;
}

/** The writes of one leader, one at a time. */
export class Recording {
  readonly #options: RecordingOptions;
  #writing: Promise<boolean> | undefined;
  /** When the last write ended. */
  #written: number;
  #dirty = true;
  /** The greatest revision of the record that was seen. */
  #seen = 0;

  constructor(options: RecordingOptions) {
    this.#options = options;
    this.#written = options.clock.monotonic();
  }

  /** Something has changed. */
  touch(): void {
    this.#dirty = true;
  }

  /** The record has this revision now: another node may have written it. */
  onRevision(revision: number): void {
    this.#seen = Math.max(this.#seen, revision);
    if (this.#writing === undefined && this.#seen > this.#options.lease.revision) this.#dirty = true;
  }

  /** To be called every 100 ms: writes when it is time. */
  tick(now: number): void {
    if (this.#writing === undefined && now - this.#written >= (this.#dirty ? LEAST : MOST)) void this.write();
  }

  /**
   * Writes the record, with this change, after the write that is under way, which may have found out what others have put into it.
   * Resolves with whether it is stored. Never rejects.
   */
  async write(changed: () => Partial<SubscriptionRecord> = () => UNCHANGED): Promise<boolean> {
    while (this.#writing !== undefined) await this.#writing;
    const { lease, clock, onStored, onDeposed } = this.#options;
    if (lease.deposed) return false;
    const change = changed();
    const record = { ...this.#options.record(change.leader === ""), ...change };
    this.#dirty = false;
    this.#writing = lease.write(record);
    const stored = await this.#writing;
    this.#writing = undefined;
    this.#written = clock.monotonic();
    if (!stored || this.#seen > lease.revision) this.#dirty = true;
    if (stored) onStored(record);
    if (lease.deposed) onDeposed();
    return stored;
  }
}

const UNCHANGED = Object.freeze({});
/** The record is written at most, and at least, so often, in ms. */
const LEAST = 100;
const MOST = 1_000;
