/** What a subscription's parking is made of, and what it is told about a message. */
import type { Clock } from "../../ports/clock.ts";
import type { Bucket } from "../../ports/key_value_store.ts";
import type { LoggedMessage } from "../format/logged_message.ts";

/** What a `Parking` is made of. */
export interface ParkingOptions {
  /** The bucket `parked` of the namespace. */
  readonly bucket: Bucket;
  readonly clock: Clock;
  /** The subscription. */
  readonly service: string;
  readonly name: string;
  readonly generation: number;
  /** The leader's. */
  readonly token: number;
  /** How many messages may be parked, dead letters included. */
  readonly most: number;
  /** The longest pause between attempts at messages of a category, in ms: no entry waits longer, whatever it says. */
  longest(category: string): number;
  /** Called when `next` returns an entry again. */
  onRunnable(): void;
  /** Gets what goes on all the same: entries that cannot be read, writes that fail and are made again. */
  fault(error: unknown): void;
  /** Called before a dead letter is tried again; when it rejects, that is reported, and done again later. */
  onReplay?(message: LoggedMessage): Promise<void>;
  /** Called before a message that has ended, or was discarded, is removed. Never rejects. */
  onRemove?(position: number): Promise<void>;
}

/** Of an attempt that failed, or of a message that is parked behind others. */
export interface ParkedState {
  /** Attempts that were made. */
  readonly attempts: number;
  readonly error?: { readonly code: string; readonly message: string } | undefined;
  /** When it is to be tried, in ms since 1970; as soon as it is the first of its key. */
  readonly due?: number | undefined;
  /** Makes it a dead letter. */
  readonly dead?: boolean | undefined;
}
