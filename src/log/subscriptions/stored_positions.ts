/** Reads the messages of single positions, for a leader that takes over what its predecessor left open. */
import { delay } from "../../ports/clock.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { readAgain } from "./store.ts";

/** Options of {@link storedMessages}. */
export interface StoredMessagesOptions {
  readonly stream: LogStream;
  readonly clock: Clock;
  /** The pattern of the subjects of all categories. */
  readonly subject: string;
  /** In order, each once. */
  readonly sequences: readonly number[];
  readonly signal: AbortSignal;
  fault(error: unknown): void;
}

/**
 * Resolves with the messages of these sequences; those that the stream has no longer are missing. Waits for a store
 * that is not there, and for servers that lag behind. Rejects when the signal aborts.
 */
export async function storedMessages(options: StoredMessagesOptions): Promise<StoredMessage[]> {
  const { stream, clock, subject, sequences, signal } = options;
  const found: StoredMessage[] = [];
  let empty = 0;
  for (let at = 0; at < sequences.length;) {
    const from = sequences[at];
    const most = near(sequences, at);
    const read = await readAgain(options, () => stream.read(subject, { from, most }));
    const last = read.at(-1);
    if (last === undefined) {
      // the end of the stream, or a server that has not got so far
      if (++empty > TRIES && await readAgain(options, () => stream.state()) !== undefined) break;
      await delay(clock, PAUSE, signal);
      continue;
    }
    empty = 0;
    const wanted = new Set(sequences.slice(at, at + most));
    found.push(...read.filter(({ sequence }) => wanted.has(sequence)));
    while (at < sequences.length && sequences[at] <= last.sequence) at++;
  }
  return found;
}

/** How many messages are read at once from here: those up to the last sequence that is near. */
function near(sequences: readonly number[], at: number): number {
  let last = at;
  while (
    last + 1 < sequences.length && sequences[last + 1] - sequences[last] <= GAP &&
    sequences[last + 1] - sequences[at] < MOST
  ) last++;
  return sequences[last] - sequences[at] + 1;
}

const PAUSE = 200; // ms
/** How often nothing is found before that is believed. */
const TRIES = 10;
const GAP = 16;
const MOST = 200;
