/** Finds the position in the log to which an operator rewinds a subscription. */
import { show } from "../../data/checks.ts";
import { CatgaError } from "../../error.ts";
import { type Clock, delay } from "../../ports/clock.ts";
import { type LogStream, MAX_SEQUENCE, MAX_SERVER_LAG } from "../../ports/event_log.ts";
import { endOf } from "../format/group_text.ts";
import { messagePattern } from "../format/names.ts";

/**
 * Returns the position behind which a rewound subscription goes on: `to` itself if it is a number; for a date, the
 * position before the first message stored at or after that time of this process's clock. Throws a `TypeError` or
 * `RangeError` for another value.
 */
export async function placeOf(
  stream: LogStream | undefined,
  { namespace, clock }: { readonly namespace: string; readonly clock: Clock },
  to: number | Date,
): Promise<number> {
  if (typeof to === "number") {
    if (Number.isSafeInteger(to) && to >= 0) return to;
    throw new RangeError(`rewind: a position is a whole number from 0; got ${to}`);
  }
  if (!(to instanceof Date) || Number.isNaN(to.getTime())) {
    throw new TypeError(`rewind: to must be "start", a position, or a valid Date; got ${show(to)}`);
  }
  const state = await stream?.state();
  if (stream === undefined || state === undefined) return 0;
  await stream.measureTime();
  // time stamps of messages are by the server's clock, which may be minutes away from this process's clock
  const ahead = clock.now() - stream.serverTime;
  const time = to.getTime() - (Math.abs(ahead) < SAME ? 0 : ahead);
  const sequence = await firstAt(stream, clock, messagePattern(namespace, stream.name), time, state);
  return endOf(Math.min(sequence ?? state.last + 1, MAX_SEQUENCE) - 1);
}

/** Finds the sequence of the first message stored at or after a time, by bisection: time stamps grow with sequences. */
async function firstAt(
  stream: LogStream,
  clock: Clock,
  subject: string,
  time: number,
  { first, last }: { first: number; last: number },
): Promise<number | undefined> {
  let [low, high, found]: [number, number, number?] = [first, last + 1];
  let waited = false;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    const [message] = await stream.read(subject, { from: middle, most: 1 });
    if (message !== undefined && message.sequence < middle) {
      throw new CatgaError(
        "INVALID_MESSAGE",
        `the log ${stream.name} answered with an earlier message than it was asked for`,
      );
    }
    // the server that answered may lag behind its stream's leader, and not have the message yet
    if (message === undefined && !waited) {
      waited = true;
      await delay(clock, MAX_SERVER_LAG);
    } else if (message === undefined || message.time >= time) {
      // no message of the subject lies between `middle` and the message found
      if (message !== undefined) found = message.sequence;
      high = middle;
    } else low = message.sequence + 1;
  }
  return found;
}

/**
 * Clocks of this process and of the server that differ by less than this many ms count as equal: a date copied from a
 * message's time stamp then finds exactly that message.
 */
const SAME = 1_000;
