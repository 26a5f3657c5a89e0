/**
 * Reads batches of messages of a stream: from the stream's leader, or by direct get from any server that has the
 * stream.
 */
import type { Msg } from "@nats-io/nats-core";
import type { StoredMessage } from "../ports/event_log.ts";
import { mayNot, type Violation } from "../ports/transport.ts";
import { JetStreamRefusal } from "./jetstream_refusal.ts";
import type { OwnedStream } from "./owned_stream.ts";
import { connectionClosed, notConnected } from "./nats_error.ts";
import { DirectMessage, MessageTimes } from "./stored_message.ts";

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
 * Reads a batch of messages from a server that may lag behind the leader; from the leader if a replica is known to
 * stand still.
 */
export function readBatch(stream: OwnedStream, request: BatchRead, limit: number): Promise<StoredMessage[]> {
  const bytesOf = (messages: readonly StoredMessage[]) => messages.reduce((sum, { data }) => sum + data.length, 0);
  const direct = () => stream.js.reads.do(() => batchDirect(stream, request, limit), bytesOf);
  const ofLeader = async () => {
    const found = await batchOfLeader(stream, request, limit);
    if (request.onMessage !== undefined) found.forEach(request.onMessage);
    return found;
  };
  return stream.hasStaleReplica ? ofLeader() : stream.js.direct(stream.name, direct, ofLeader);
}

/**
 * Reads a batch from the stream's leader, which returns one message for each request. Where messages are dense,
 * several requests are sent at once, one for each sequence.
 */
async function batchOfLeader(
  stream: OwnedStream,
  { subject: next_by_subj, from, since, most }: BatchRead,
  limit: number,
): Promise<StoredMessage[]> {
  const { clock } = stream.transport;
  const end = clock.monotonic() + limit;
  const found: StoredMessage[] = [];
  const one = (start: { readonly seq: number } | { readonly start_time: string }) =>
    stream.js.message(stream.name, { ...start, next_by_subj }, end - clock.monotonic());
  const first = (time: number) =>
    one({ start_time: new Date(time).toISOString() }).catch((error) => {
      // a server that takes no time here refuses the request: the messages before it are read, too
      if (error instanceof JetStreamRefusal && error.refusal === "other") return one({ seq: from });
      throw error;
    });
  for (let next = from, atOnce = 1; found.length < most;) {
    const asked = since !== undefined && found.length === 0
      ? [first(since)]
      : Array.from({ length: atOnce }, (_, n) => one({ seq: next + n }));
    let answers: (StoredMessage | undefined)[];
    try {
      answers = await Promise.all(asked);
    } catch (error) {
      if (found.length > 0) break;
      throw error;
    }
    let fresh = 0;
    for (const message of answers) {
      // stop at the first gap: the answers behind the gap may have messages that were stored after the server looked
      // for the missing one
      if (message === undefined) return found.slice(0, most);
      if (message.sequence < next) continue;
      found.push(message);
      next = message.sequence + 1;
      fresh++;
    }
    if (fresh === 0) throw new JetStreamRefusal("other", `a message before ${next}, from which on it was asked for`);
    atOnce = fresh === atOnce ? Math.min(2 * fresh, AT_ONCE) : fresh;
  }
  return found.slice(0, most);
}

/** Number of concurrent requests for a batch; more are not faster (measured with nats-server 2.15). */
const AT_ONCE = 16;

/**
 * Reads a batch of messages by direct get. The end of a batch is a message of its own; if that is lost, the messages
 * that have arrived are the batch. `getBatch` of the package does not notice a message lost in the middle
 * (docs/internals/packages.md, row `getbatch`).
 */
function batchDirect(stream: OwnedStream, request: BatchRead, limit: number): Promise<StoredMessage[]> {
  const { transport, name, js } = stream;
  const { connection, clock } = transport;
  if (transport.status.state !== "connected") return Promise.reject(notConnected(transport.status.state));
  const api = `$JS.API.DIRECT.GET.${name}`;
  const times = new MessageTimes();
  const found: StoredMessage[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<StoredMessage[]>();
  let settled = false;
  const settle = (error?: Error) => {
    settled = true;
    if (error === undefined || found.length > 0) resolve(found);
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
