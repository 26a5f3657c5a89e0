/** The place in the log that a rewind goes to. */
import { show } from "../../data/checks.ts";
import { CatgaError } from "../../error.ts";
import { type Clock, delay } from "../../ports/clock.ts";
import { type LogStream, MAX_SEQUENCE } from "../../ports/event_log.ts";
import { endOf } from "../format/group_text.ts";
import { messagePattern } from "../format/names.ts";

/**
 * The position behind which a subscription goes on: that of a number, or the one before the first message that was
 * stored at a time of this process's clock or later. Throws a `TypeError` or `RangeError` for another value.
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
  // messages have the server's time, which may be minutes away from that of this process
  const ahead = clock.now() - stream.serverTime;
  const time = to.getTime() - (Math.abs(ahead) < SAME ? 0 : ahead);
  const sequence = await firstAt(stream, clock, messagePattern(namespace, stream.name), time, state);
  return endOf(Math.min(sequence ?? state.last + 1, MAX_SEQUENCE) - 1);
}

/**
 * The sequence of the first message that was stored at a time or later: by bisection, because time stamps grow with
 * sequences.
 */
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
    // a server that lags behind may not have it yet
    if (message === undefined && !waited) {
      waited = true;
      await delay(clock, LAG);
    } else if (message === undefined || message.time >= time) {
      // a gap before it has no message
      if (message !== undefined) found = message.sequence;
      high = middle;
    } else low = message.sequence + 1;
  }
  return found;
}

/** Clocks that are less apart are taken for one, in ms: the time of a message names just that message then. */
const SAME = 1_000;
/** How far a server may lag behind, in ms. */
const LAG = 1_000;
