/**
 * The messages of a stream on some subjects: the last of each, and then every one that comes, in order. One consumer on
 * the server, kept honest: a gap, silence and the loss of the link are told, and its owner opens another.
 */
import type { Msg, MsgHdrs, Subscription } from "@nats-io/nats-core";
import { type Timer, token } from "../ports/clock.ts";
import { type JetStream, recordType, type StreamRecord } from "./jetstream.ts";
import { readTtl } from "./expiry.ts";
import { connectionClosed, failure } from "./nats_error.ts";
import type { NatsTransport } from "./transport.ts";

/** How often the server says that there is nothing to say, in ms. nats.js asks for 30 s: as long are its silences. */
const HEARTBEAT = 1_500;
/** After this time without a word the consumer is lost, in ms. */
const SILENCE = 4_000;
/** How late a timer may be before its process is said to have stood still, in ms. */
const LATE = 250;
/** After this time without a listener the server drops the consumer, in ms. */
const INACTIVE = 5_000;

/** Whom a {@link Feed} tells. */
export interface FeedListener {
  /** A message of the stream. */
  onRecord(record: StreamRecord): void;
  /** All messages that were there at the start have been told. Once. */
  onListed(): void;
  /** Nothing more will come. Once. */
  onBroken(why: string): void;
}

/** Options of {@link Feed.open}. */
export interface FeedOptions {
  /** Leaves the values out. */
  headersOnly?: boolean;
}

/** A consumer, and the subscription that it delivers to. */
export class Feed {
  readonly #transport: NatsTransport;
  readonly #js: JetStream;
  readonly #stream: string;
  readonly #listener: FeedListener;
  readonly #name: string;
  readonly #inbox: string;
  readonly #subscription: Subscription;
  readonly #stopStatus: () => void;
  #timer: Timer | undefined;
  #heard: number;
  #received = 0;
  /** How many messages were there at the start; unknown until the server has answered. */
  #expected = Infinity;
  #listed = false;
  #created = false;
  #ended = false;

  /** Opens a feed of `filter`; rejects as `JetStream.createConsumer` does. */
  static async open(
    transport: NatsTransport,
    js: JetStream,
    stream: string,
    filter: string,
    limit: number,
    listener: FeedListener,
    options: FeedOptions = {},
  ): Promise<Feed> {
    let feed: Feed | undefined;
    try {
      feed = new Feed(transport, js, stream, listener);
      await feed.#create(filter, limit, options);
      return feed;
    } catch (error) {
      feed?.close();
      throw failure(error) === "closed" ? connectionClosed() : error;
    }
  }

  private constructor(transport: NatsTransport, js: JetStream, stream: string, listener: FeedListener) {
    this.#transport = transport;
    this.#js = js;
    this.#stream = stream;
    this.#listener = listener;
    this.#name = `catga_${token(transport.random, 16)}`;
    // replies and deliveries are allowed to users under their own prefix; the type of a connection does not tell it
    const prefix = (transport.connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;
    this.#inbox = transport.driver.createInbox(prefix);
    this.#heard = transport.clock.monotonic();
    this.#subscription = transport.connection.subscribe(this.#inbox, {
      // whatever is thrown in here would end the reader of the connection for good
      callback: (error, message) => {
        if (error) return this.#break(error.message);
        try {
          this.#hear(message);
        } catch (thrown) {
          this.#break((thrown as Error).message);
        }
      },
    });
    this.#stopStatus = transport.onStatus(() => this.#break("the connection was lost"));
  }

  /** Ends it, on the server too. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#stopStatus();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
    if (this.#created) this.#js.deleteConsumer(this.#stream, this.#name);
  }

  async #create(filter: string, limit: number, { headersOnly = false }: FeedOptions): Promise<void> {
    // even when no answer comes there may be one
    this.#created = true;
    this.#expected = await this.#js.createConsumer(this.#stream, {
      name: this.#name,
      filter_subject: filter,
      deliver_subject: this.#inbox,
      deliver_policy: "last_per_subject",
      ack_policy: "none",
      replay_policy: "instant",
      max_deliver: 1,
      mem_storage: true,
      headers_only: headersOnly,
      num_replicas: 1,
      flow_control: true,
      idle_heartbeat: HEARTBEAT * 1_000_000,
      inactive_threshold: INACTIVE * 1_000_000,
    } as { name: string; filter_subject: string }, limit);
    this.#watchSilence();
    this.#checkListed();
  }

  #hear(message: Msg): void {
    if (this.#ended) return;
    this.#heard = this.#transport.clock.monotonic();
    const headers = message.headers;
    const code = headers?.code ?? 0;
    if (headers !== undefined && code !== 0) return this.#control(message, headers, code);
    const position = parsePosition(message.reply ?? "");
    if (position === undefined) return;
    if (position.delivery !== this.#received + 1) return this.#break("a message was lost on the way");
    this.#received++;
    this.#listener.onRecord({
      subject: message.subject,
      revision: position.revision,
      type: headers === undefined ? "put" : recordType((name) => headers.get(name) || undefined),
      data: message.string(),
      stored: position.stored,
      ttl: headers === undefined ? undefined : readTtl(headers.get("Nats-TTL")),
    });
    if (position.pending === 0) this.#expected = Math.min(this.#expected, this.#received);
    this.#checkListed();
  }

  /** A message of the server's own: 100 for heartbeats and flow control, else the end. */
  #control(message: Msg, headers: MsgHdrs, code: number): void {
    if (code !== 100) return this.#break(headers.status);
    if (message.reply) {
      this.#transport.connection.publish(message.reply);
      return;
    }
    const stalled = headers.get("Nats-Consumer-Stalled");
    if (stalled) this.#transport.connection.publish(stalled);
    const delivered = Number(headers.get("Nats-Last-Consumer") || this.#received);
    if (delivered !== this.#received) return this.#break("a message was lost on the way");
    // heartbeats come when there is nothing to deliver; what was counted may have expired since
    if (this.#expected !== Infinity) this.#expected = Math.min(this.#expected, this.#received);
    this.#checkListed();
  }

  #checkListed(): void {
    if (this.#listed || this.#ended || this.#expected === Infinity || this.#received < this.#expected) return;
    this.#listed = true;
    this.#listener.onListed();
  }

  #watchSilence(): void {
    if (this.#ended) return;
    const { clock } = this.#transport;
    const left = this.#heard + SILENCE - clock.monotonic();
    if (left <= 0) return this.#break(`nothing was heard for ${SILENCE} ms`);
    const due = clock.monotonic() + left;
    this.#timer = clock.after(left, () => {
      // late: it is this process that stood still, and what was delivered may lie in its socket
      const now = clock.monotonic();
      if (now - due >= LATE) this.#heard = Math.max(this.#heard, now - SILENCE + HEARTBEAT);
      this.#watchSilence();
    }, { background: true });
  }

  #break(why: string): void {
    if (this.#ended) return;
    this.close();
    this.#listener.onBroken(why);
  }
}

/**
 * Where a message stands: its reply subject is `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream sequence>.<consumer
 * sequence>.<time>.<pending>`, or the same with domain and account after `ACK` and a token at the end.
 */
function parsePosition(
  reply: string,
): { revision: number; delivery: number; stored: number; pending: number } | undefined {
  const tokens = reply.split(".");
  if (tokens[0] !== "$JS" || tokens[1] !== "ACK" || tokens.length < 9) return undefined;
  const at = tokens.length === 9 ? 5 : 7;
  return {
    revision: Number(tokens[at]),
    delivery: Number(tokens[at + 1]),
    stored: Number(tokens[at + 2]) / 1e6,
    pending: Number(tokens[at + 3]),
  };
}
