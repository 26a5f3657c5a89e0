/**
 * Decides if events of a contract may have expired behind a place before they were read. A stream does not say what it
 * has removed, and a place has no time. What tells the place's age is the oldest message of any contract that is
 * younger than the contract's `keep`: if it is not behind the next place, everything behind the place is as young, and
 * no event there has expired. Otherwise the place is older than `keep`, or the messages that would show that it is
 * younger are gone, and events may have expired behind it.
 */
import type { LogStream } from "../../ports/event_log.ts";

/**
 * Returns true if events may have expired behind the sequence `after` that a reader behind it has not read. `young`:
 * sequence of the oldest message that cannot have expired ({@link oldestYoung}); without one, of the next message of
 * the stream.
 */
export function mayHaveExpired(after: number, young: number): boolean {
  return young > after + 1;
}

/**
 * Reads the sequence of the oldest message, of any contract, that is younger than `keep` by `margin` ms at least;
 * `undefined`: there is none, or the server that answered does not have it yet. Rejects like `LogStream.read`.
 */
export async function oldestYoung(stream: LogStream, keep: number, margin: number): Promise<number | undefined> {
  await stream.measureTime();
  // by the upper bound of the server's time more messages may have expired than by the lower one
  const since = Math.max(0, Math.floor(stream.latestServerTime) - keep + margin);
  const [message] = await stream.read(">", { since, most: 1 });
  return message?.sequence;
}
