/** Limits how much of the streams is read for one question of a browser, and says how much was read. */
import type { Clock } from "../../ports/clock.ts";
import { shownCount } from "../shown.ts";

/** The limit for one question of a browser: a number of bytes, and a time. */
export class ReadAllowance {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #until: number;
  #left = MAX_BYTES;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
    this.#until = clock.monotonic() + PATIENCE;
  }

  take(bytes: number): void {
    this.#left -= bytes;
  }

  get spent(): boolean {
    return this.#left <= 0 || this.#clock.monotonic() >= this.#until;
  }
}

/** Returns a text that says how many messages of a stream were read: the messages from `end` to its last one. */
export function shownPart({ first, last }: { readonly first: number; readonly last: number }, end: number): string {
  const [read, all] = [last + 1 - end, Math.max(0, last + 1 - first)];
  return read >= all ? `all ${shownCount(all)}` : `the last ${shownCount(read)} of ${shownCount(all)}`;
}

/** Maximum number of messages of a stream that are read for one question. */
export const MAX_MESSAGES = 10_000;
/** Maximum number of bytes of messages that are read for one question. */
const MAX_BYTES = 32 * 1_048_576;
const PATIENCE = 5_000; // ms
