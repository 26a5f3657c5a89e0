/**
 * Positions: which event of which message of the stream. A message holds up to 512 events, so a position is its sequence and, in
 * the lowest 10 bits, the index in it. Sequences begin with a time in ms (41 bits): a position is a safe integer.
 */

/** Events in one message, at most. */
export const MOST_IN_GROUP = 512;

/** The position of an event. */
export function positionOf(sequence: number, index: number): number {
  return sequence * SCALE + index;
}

/** The greatest position in a message: all of its events are at or before it. */
export function endOf(sequence: number): number {
  return positionOf(sequence, SCALE - 1);
}

/** The sequence of the message that an event is in. */
export function sequenceOf(position: number): number {
  return Math.floor(position / SCALE);
}

/** The index of an event in its message. */
export function indexOf(position: number): number {
  return position % SCALE;
}

const SCALE = 1_024;
