/**
 * Reads batches of messages of a stream: from the stream's leader, or by direct get from any server that has the
 * stream.
 */
import type { Msg } from "@nats-io/nats-core";
import type { StoredMessage } from "../../ports/event_log.ts";
import { mayNot, type Violation } from "../../ports/transport.ts";
import type { DirectAnswer } from "../stream/jetstream.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import type { OwnedStream } from "../stream/owned_stream.ts";
import { connectionClosed, notConnected } from "../connection/nats_error.ts";
import { answererOf, DirectMessage, MessageTimes } from "../stream/stored_message.ts";

/** Reads the subjects that have messages and match a filter, from the stream's leader. */
export async function subjectsOf({ js, name }: OwnedStream, filter: string, limit: number): Promise<string[]> {
  const { state } = await js.manage((jsm) => jsm.streams.info(name, { subjects_filter: filter }), limit);
  return Object.keys(state.subjects ?? {});
}

/** Selects a batch of messages. */
export interface BatchRead {
  readonly subject: string;
  readonly from: number;
  /** Read messages stored at or after this time, in ms since 1970; absent: read from a sequence on. */
  readonly since?: number;
  readonly most: number;
  readonly onMessage?: ((message: StoredMessage) => void) | undefined;
}

/**
 * Reads a batch of messages from a server that may lag behind the leader, or from the leader: see `DirectReads`.
 * @decides stored messages are read in batches, which arrive by `jetstream.ts`
 */
export function readBatch(stream: OwnedStream, request: BatchRead, limit: number): Promise<StoredMessage[]> {
  const bytesOf = ({ found }: DirectBatch) => found.reduce((sum, { data }) => sum + data.length, 0);
  const direct = () => stream.js.reads.do(() => batchDirect(stream, request, limit), bytesOf);
  const ofLeader = async () => {
    const found = await batchOfLeader(stream, request, limit);
    if (request.onMessage !== undefined) found.forEach(request.onMessage);
    return found;
  };
  return stream.direct.read(stream.name, direct, ofLeader);
}

/**
 * Reads a batch from the stream's leader, which returns one message for each request: the first one from a sequence
 * on. So several requests are sent at once, also where the stream has many other messages between those of the
 * subject: at distances of some messages of the subject. An answer says that there is no further message between
 * the sequence asked for and its own; the ranges that no answer covers are asked for next, the first ones first.
 */
async function batchOfLeader(
  stream: OwnedStream,
  { subject: next_by_subj, from, since, most }: BatchRead,
  limit: number,
): Promise<StoredMessage[]> {
  const { clock } = stream.transport;
  const end = clock.monotonic() + limit;
  const one = (start: { readonly seq: number } | { readonly start_time: string }) =>
    stream.js.message(stream.name, { ...start, next_by_subj }, end - clock.monotonic());
  const ofTime = (time: number) =>
    one({ start_time: new Date(time).toISOString() }).catch((error) => {
      // a server that knows no start time refuses the request: earlier messages are then read, too
      if (error instanceof JetStreamRefusal && error.refusal === "other") return one({ seq: from });
      throw error;
    });
  const first = await (since === undefined ? one({ seq: from }) : ofTime(since));
  if (first === undefined) return [];
  const found = new Map<number, StoredMessage>();
  let unread: readonly Range[] = [[from, Infinity]];
  /** Notes that no message has a sequence from `asked` up to the one before that of `answer`. */
  const note = (asked: number, answer: StoredMessage | undefined) => {
    const { sequence = Infinity } = answer ?? {};
    if (sequence < asked) {
      throw new JetStreamRefusal("other", `a message before ${asked}, from which on it was asked for`);
    }
    if (answer !== undefined) found.set(sequence, answer);
    unread = unread.flatMap((range) => without(range, asked, sequence + 1));
  };
  /** Returns the messages found before the first range that is not read. */
  const batch = () => {
    const before = unread.length === 0 ? Infinity : unread[0][0];
    return [...found.values()].filter(({ sequence }) => sequence < before).sort((a, b) => a.sequence - b.sequence);
  };
  note(from, first);
  for (let atOnce = 2; unread.length > 0; atOnce = Math.min(2 * atOnce, AT_ONCE)) {
    const complete = batch();
    if (complete.length >= most) break;
    const sequences = [...found.keys()];
    const average = (Math.max(...sequences) - first.sequence) / Math.max(1, found.size - 1);
    const asked = startsIn(unread, {
      distance: average <= 1 ? 1 : Math.ceil(APART * average),
      most: Math.min(atOnce, most - complete.length),
      further: found.size < most,
    });
    let answers: (StoredMessage | undefined)[];
    try {
      answers = await Promise.all(asked.map((seq) => one({ seq })));
    } catch {
      break; // what was read is the batch; the next read meets the error again, if it lasts
    }
    // messages behind a missing one may have been stored after the server looked for that one, and others before them
    const missing = asked[answers.indexOf(undefined)] ?? Infinity;
    asked.forEach((seq, i) => seq < missing && note(seq, answers[i]));
    if (missing < Infinity) {
      note(missing, undefined);
      for (const sequence of found.keys()) if (sequence >= missing) found.delete(sequence);
    }
  }
  return batch().slice(0, most);
}

/** Sequences from the first one up to the one before the second. */
type Range = readonly [from: number, to: number];

/** Removes the sequences `from` to `to - 1` from a range. Returns the parts that are left: none, one or two. */
function without([first, end]: Range, from: number, to: number): Range[] {
  const left: Range[] = [[first, Math.min(end, from)], [Math.max(first, to), end]];
  return left.filter(([a, b]) => a < b);
}

/**
 * Returns up to `most` sequences to ask for: the first one of each range; then, if `further`, one at each `distance` in
 * the last range, which has no end; then the middle one of each other range.
 */
function startsIn(
  ranges: readonly Range[],
  { distance, most, further }: { readonly distance: number; readonly most: number; readonly further: boolean },
): readonly number[] {
  const starts = new Set(ranges.slice(0, most).map(([from]) => from));
  const [last, end] = ranges[ranges.length - 1]; // there is a range
  if (further && end === Infinity) { for (let at = last; starts.size < most; at += distance) starts.add(at); }
  for (const [from, to] of ranges) {
    if (starts.size < most && to < Infinity) starts.add(Math.floor((from + to) / 2));
  }
  return [...starts].sort((a, b) => a - b);
}

/**
 * Number of messages, on average, between two sequences that are asked for at once. The last request between two such
 * sequences finds nothing new: the more messages, the fewer such requests.
 */
const APART = 4;
/** Number of concurrent requests for a batch; more are not faster (measured with nats-server 2.15). */
const AT_ONCE = 16;

/**
 * Reads a batch of messages by direct get. The end of a batch is a message of its own; if that is lost, the messages
 * that have arrived are the batch. `getBatch` of the package does not notice a message lost in the middle
 * (docs/internals/packages.md, row `getbatch`).
 */
function batchDirect(stream: OwnedStream, request: BatchRead, limit: number): Promise<DirectBatch> {
  const { transport, name, js } = stream;
  const { connection, clock } = transport;
  if (transport.status.state !== "connected") return Promise.reject(notConnected(transport.status.state));
  const api = `$JS.API.DIRECT.GET.${name}`;
  const times = new MessageTimes();
  const found: StoredMessage[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<DirectBatch>();
  let settled = false;
  let by: string | undefined;
  const settle = (error?: Error) => {
    settled = true;
    if (error === undefined || found.length > 0 || by !== undefined) resolve({ found, by });
    else reject(error);
  };
  const receive = (message: Msg) => {
    if (settled) return;
    const stored = DirectMessage.of(message, times);
    if (stored === undefined) return settle(endOf(message, `no responders on ${api}`));
    // the answer names another preceding message than the one that arrived before it: a message was lost on the way
    if (stored.sequence < request.from || stored.before !== (found.at(-1)?.sequence ?? 0)) {
      return settle(new JetStreamRefusal("busy", "a message of a batch was lost"));
    }
    // all messages of a batch come from one stream; those of another one are not passed on
    by ??= answererOf(message);
    if (by !== name) return settle();
    found.push(stored);
    request.onMessage?.(stored);
    if (found.length >= request.most) settle();
  };
  const box = js.replies.open({ receive, failed: settle });
  const due = clock.monotonic() + limit;
  const silent = () => {
    settle(new JetStreamRefusal("no answer", `the request to ${api} timed out`, undefined, clock.monotonic() - due));
  };
  const timer = clock.after(limit, silent, { background: true });
  const stopStatus = transport.onStatus(({ state }) => reject(notConnected(state)));
  const stopViolation = transport.onViolation((violation: Violation) => {
    if (violation.subject === api) reject(mayNot(violation));
  });
  const { subject: next_by_subj, from: seq, since, most: batch } = request;
  const begin = since === undefined ? { seq } : { start_time: new Date(since).toISOString() };
  try {
    connection.publish(api, JSON.stringify({ ...begin, next_by_subj, batch, max_bytes: MAX_BATCH_BYTES }), {
      reply: box.reply,
    });
  } catch {
    reject(connectionClosed()); // the connection drains, or was just closed
  }
  return promise.finally(() => {
    timer.cancel();
    stopStatus();
    stopViolation();
    box.close();
  });
}

/** A batch that was read by direct get. */
type DirectBatch = DirectAnswer<StoredMessage[]>;

/** Maximum size of a batch, in bytes; a batch has one message at least. */
const MAX_BATCH_BYTES = 1024 * 1024;

/** Reads the message that ends a batch; `undefined`: it is the regular end. */
function endOf(message: Msg, nobody: string): JetStreamRefusal | undefined {
  const { headers } = message;
  const code = headers?.code ?? 0;
  // status 204: end of the batch; 404: there is no message
  if (code === 204 || code === 404) return undefined;
  if (code === 503) return new JetStreamRefusal("no responders", nobody);
  return new JetStreamRefusal("busy", `direct get: ${headers?.status ?? "no headers"}`);
}
