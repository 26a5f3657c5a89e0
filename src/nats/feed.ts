/**
 * The messages of a stream that match a filter: the last one of each subject, then every new one, in order and without
 * gaps. It is one consumer on the server: when a message is missing, the server is silent or the connection is lost the
 * feed breaks, for its owner to open another.
 */
import type { Msg, MsgHdrs, Subscription } from "@nats-io/nats-core";
import { type Timer, token } from "../ports/clock.ts";
import { type JetStream, JetStreamRefusal, recordType, type StreamRecord } from "./jetstream.ts";
import { readTtl } from "./expiry.ts";
import { connectionClosed, failure } from "./nats_error.ts";
import type { NatsTransport } from "./transport.ts";

/** How often the server sends a heartbeat when there is no message, in ms (nats.js requests 30 s). */
const HEARTBEAT = 1_500;
/** After this time without a message or heartbeat the consumer is considered lost, in ms. */
const SILENCE = 4_000;
/** A timer that is later than this, in ms, shows that this process was paused. */
const LATE = 250;
/** After this time without a subscriber the server deletes the consumer, in ms. */
const INACTIVE = 5_000;

/** The callbacks of a {@link Feed}. */
export interface FeedListener {
  /** A message of the stream. */
  onRecord(record: StreamRecord): void;
  /** All messages that existed at the start have been passed to `onRecord`. Called once. */
  onListed(): void;
  /** The feed has ended by itself. Called once, and last. */
  onBroken(why: string): void;
}

/** Options of {@link Feed.open}. */
export interface FeedOptions {
  /** Omits the values. */
  headersOnly?: boolean;
}

/** A consumer, and the subscription to which it delivers. */
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
  /** When the last message or heartbeat came, by the monotonic clock. */
  #lastSign: number;
  #received = 0;
  /** How many messages existed at the start; `Infinity` until the server has answered. */
  #expected = Infinity;
  #listed = false;
  #upTo = 0;
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

  /**
   * Calls back with the last message of each subject of `filter`; one that is written meanwhile may come twice. Rejects as `JetStream.createConsumer`
   * does, and with the refusal "no answer" when the feed breaks.
   */
  static async list(
    transport: NatsTransport,
    { js, name }: { readonly js: JetStream; readonly name: string },
    filter: string,
    limit: number,
    onRecord: (record: StreamRecord) => void,
    options?: FeedOptions,
  ): Promise<void> {
    const listed = Promise.withResolvers<void>();
    // it may reject before it is awaited
    listed.promise.catch(() => {});
    const feed = await Feed.open(transport, js, name, filter, limit, {
      onRecord,
      onListed: () => listed.resolve(),
      onBroken: (why) => listed.reject(new JetStreamRefusal("no answer", why)),
    }, options);
    await listed.promise.finally(() => feed.close());
  }

  private constructor(transport: NatsTransport, js: JetStream, stream: string, listener: FeedListener) {
    this.#transport = transport;
    this.#js = js;
    this.#stream = stream;
    this.#listener = listener;
    this.#name = `catga_${token(transport.random, 16)}`;
    // a user's permissions may allow subjects below this prefix only; the type of a connection does not have it
    const prefix = (transport.connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix;
    this.#inbox = transport.driver.createInbox(prefix);
    this.#lastSign = transport.clock.monotonic();
    this.#subscription = transport.connection.subscribe(this.#inbox, {
      // an error that is thrown here would end the connection's reader for good
      callback: (error, message) => {
        if (error) return this.#break(error.message);
        try {
          this.#receive(message);
        } catch (thrown) {
          this.#break((thrown as Error).message);
        }
      },
    });
    this.#stopStatus = transport.onStatus(() => this.#break("the connection was lost"));
  }

  /** Nothing that it has not passed on is there up to this revision; 0 before it knows. */
  get upTo(): number {
    return this.#upTo;
  }

  /** Ends the feed, and its consumer on the server. Idempotent; `onBroken` is not called. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#stopStatus();
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
    if (this.#created) this.#js.deleteConsumer(this.#stream, this.#name);
  }

  async #create(filter: string, limit: number, { headersOnly = false }: FeedOptions): Promise<void> {
    // without an answer the consumer may exist nevertheless
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
    }, limit);
    this.#checkSilence();
    this.#checkListed();
  }

  #receive(message: Msg): void {
    if (this.#ended) return;
    this.#lastSign = this.#transport.clock.monotonic();
    const headers = message.headers;
    const code = headers?.code ?? 0;
    if (headers !== undefined && code !== 0) return this.#control(message, headers, code);
    const position = parsePosition(message.reply ?? "");
    if (position === undefined) return;
    if (position.delivery !== this.#received + 1) return this.#break("a message was lost on the way");
    this.#received++;
    this.#upTo = position.revision;
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

  /** A status message of the server: 100 for heartbeats and flow control, any other code ends the feed. */
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
    // a heartbeat says that nothing is left to deliver: messages that were counted may have expired since
    if (this.#expected !== Infinity) this.#expected = Math.min(this.#expected, this.#received);
    this.#checkListed();
    const passed = Number(headers.get("Nats-Last-Stream"));
    if (!stalled && this.#listed && passed > this.#upTo) this.#upTo = passed;
  }

  #checkListed(): void {
    if (this.#listed || this.#ended || this.#expected === Infinity || this.#received < this.#expected) return;
    this.#listed = true;
    this.#listener.onListed();
  }

  #checkSilence(): void {
    if (this.#ended) return;
    const { clock } = this.#transport;
    const left = this.#lastSign + SILENCE - clock.monotonic();
    if (left <= 0) return this.#break(`no message or heartbeat for ${SILENCE} ms`);
    const due = clock.monotonic() + left;
    this.#timer = clock.after(left, () => {
      // this process was paused, and messages may wait in its socket: it gets the time to read them
      const now = clock.monotonic();
      if (now - due >= LATE) this.#lastSign = Math.max(this.#lastSign, now - SILENCE + HEARTBEAT);
      this.#checkSilence();
    }, { background: true });
  }

  #break(why: string): void {
    if (this.#ended) return;
    this.close();
    this.#listener.onBroken(why);
  }
}

/**
 * The position of a message in the stream: its reply subject is `$JS.ACK.<stream>.<consumer>.<deliveries>.<stream
 * sequence>.<consumer sequence>.<time>.<pending>`, or the same with domain and account after `ACK` and a token at the
 * end.
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
