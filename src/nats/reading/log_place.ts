/**
 * Finds the place at which a reader of a stream goes on: behind the message that it read last, unless the stream was
 * made anew or has lost that message. This is decided by the stream's creation time, its last sequence, and the time
 * of the message read last. A consumer of `@nats-io/jetstream` would miss messages: docs/internals/packages.md, row
 * `ordered-pull`.
 */
import { delay } from "../../ports/clock.ts";
import {
  type LogLoss,
  type LogMark,
  type LogState,
  readBy,
  SERVERS_APART,
  type StoredMessage,
} from "../../ports/event_log.ts";
import type { StreamInfo } from "../stream/jetstream.ts";
import type { OwnedStream } from "../stream/owned_stream.ts";

/**
 * Time for which a stream's last sequence may be below that of a message read from it, in ms: a new leader in a
 * cluster may still be applying its log.
 */
const BEHIND = 2_000;
/** Pause before the stream's leader is asked again for the last sequence, in ms. */
const AGAIN = 100;

/** Place at which a reader goes on, and the loss of messages, if there was one. */
export interface LogPlace {
  readonly mark: LogMark;
  readonly state: LogState;
  readonly lost: LogLoss | undefined;
}

/**
 * Finds the place behind the mark `after` (the message read last). Rejects like `LogStream.state`, and with the
 * signal's reason.
 */
export async function findPlace(
  stream: OwnedStream,
  after: LogMark | undefined,
  signal: AbortSignal,
): Promise<LogPlace> {
  const { clock } = stream.transport;
  const end = clock.monotonic() + BEHIND;
  while (true) {
    const state = await readState(stream);
    const { created, first, last } = state;
    const goOn = (sequence: number, reason?: LogLoss["reason"]): LogPlace => ({
      mark: reason === undefined && after !== undefined ? after : { created, sequence },
      state,
      lost: reason && { reason, after: after?.sequence ?? 0, next: sequence + 1 },
    });
    if (after === undefined) return goOn(first - 1);
    if (after.created !== created) return goOn(first - 1, "remade");
    if (last < after.sequence) {
      if (clock.monotonic() >= end) {
        return goOn(await lastAt(stream, readBy(after), state), "truncated");
      }
      await delay(clock, AGAIN, signal);
      continue;
    }
    const replaced = await findReplaced(stream, after, state);
    if (replaced !== undefined) return goOn(replaced, "replaced");
    if (first > after.sequence + 1) return goOn(first - 1, "expired");
    return goOn(after.sequence);
  }
}

/** Reads the state of a stream from its leader; if the stream is lost, creates it anew. */
export async function readState(stream: OwnedStream): Promise<LogState> {
  return toState(stream, await stream.info());
}

/** Converts an answer of JetStream's API to a stream's state. */
export function toState(stream: OwnedStream, info: StreamInfo): LogState {
  const { messages, bytes, first_seq: first, last_seq: last } = info.state;
  const maxBytes = Number(info.config.max_bytes ?? -1);
  stream.noteRevision(last);
  return {
    created: info.created,
    first: messages === 0 ? last + 1 : first,
    last,
    messages,
    bytes,
    maxBytes: maxBytes > 0 ? maxBytes : undefined,
    discard: info.config.discard === "new" ? "new" : "old",
    now: stream.serverClock.at(stream.transport.clock.monotonic()),
  };
}

/**
 * Detects that the stream has another message at the sequence of the message that was read last. In that case returns
 * the last sequence whose message is not younger than the message read last, so that no message stored after the loss
 * is skipped; `undefined`: no message was replaced.
 */
async function findReplaced(stream: OwnedStream, after: LogMark, state: LogState): Promise<number | undefined> {
  const { sequence, time } = after;
  const by = readBy(after);
  if (by === Infinity || state.messages === 0) return undefined;
  const found = await messageFrom(stream, sequence);
  if (found === undefined) return undefined;
  const isThere = found.sequence === sequence;
  // if the message read last has expired, `found` is the message after it: the stream is another one if that message is
  // older than the message read last
  const replaced = time === undefined
    ? isThere && found.time > by + 2 * SERVERS_APART
    : isThere
    ? Math.abs(found.time - time) > 1
    : found.time < time - 1;
  return replaced ? await lastAt(stream, by, state) : undefined;
}

/**
 * Finds the last sequence whose message was stored at or before a time; if there is none, the first sequence minus 1.
 */
async function lastAt(stream: OwnedStream, time: number, state: LogState): Promise<number> {
  if (time === Infinity) return state.last;
  let [least, most] = [state.first - 1, state.last];
  while (least < most) {
    const middle = Math.ceil((least + most) / 2);
    const at = await messageFrom(stream, middle);
    if (at === undefined || at.time > time) most = middle - 1;
    else least = middle;
  }
  return least;
}

/** Reads the first message at or behind a sequence, from the leader. */
export async function messageFrom(stream: OwnedStream, sequence: number): Promise<StoredMessage | undefined> {
  const which = { seq: sequence, next_by_subj: ">" };
  return await stream.attempt((limit) => stream.js.message(stream.name, which, limit));
}
