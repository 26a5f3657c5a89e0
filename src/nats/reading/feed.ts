/**
 * A feed: the messages of a stream that match a filter, first the last message of each subject, then every new one, in
 * order and without gaps. A feed is one consumer on the server. If a message is missing, the server is silent or the
 * connection is lost, the feed breaks; its user, such as a watch, then opens another. An ordered consumer of
 * `@nats-io/jetstream` would be silent for long (docs/internals/packages.md, row `ordered-push`).
 */
import type { StoredMessage } from "../../ports/event_log.ts";
import { JetStreamRefusal } from "../stream/jetstream_refusal.ts";
import type { OwnedStream } from "../stream/owned_stream.ts";
import { createConsumer, LogDelivery } from "./log_delivery.ts";
import { connectionClosed, failure } from "../connection/nats_error.ts";
import { DeliveredMessage } from "../stream/stored_message.ts";

/** The callbacks of a {@link Feed}. */
interface FeedCallbacks {
  onMessage(message: StoredMessage): void;
  /** Called once, when all messages that existed when the feed began were passed to `onMessage`. */
  onListed(): void;
  /** Called once, after all other callbacks, when the feed has ended by itself. */
  onBroken(why: string): void;
}

/** Options of {@link Feed.open}. */
interface FeedOptions {
  /** True to receive the messages without their values. */
  readonly headersOnly?: boolean;
}

/** Reads the messages of a stream that match a filter: the last of each subject, then each new message. */
export class Feed {
  readonly #stream: OwnedStream;
  readonly #listener: FeedCallbacks;
  readonly #stopStatus: () => void;
  readonly #stopViolation: () => void;
  #name: string | undefined;
  #delivery: LogDelivery | undefined;
  /** Revision behind which the feed ends. */
  #last = Infinity;
  #listed = false;
  /** Subject of the last flow control request: the server waits for a reply to it. */
  #awaited = "";
  #ended = false;

  /**
   * Opens a feed of the subjects that match `filter`, within `limit` ms; without the messages' data if `headersOnly`.
   * Rejects like `JetStream.createConsumer`.
   */
  static async open(
    stream: OwnedStream,
    filter: string,
    limit: number,
    listener: FeedCallbacks,
    { headersOnly = false }: FeedOptions = {},
  ): Promise<Feed> {
    const feed = new Feed(stream, listener);
    try {
      await feed.#open(
        { filter_subject: filter, deliver_policy: "last_per_subject", headers_only: headersOnly },
        limit,
      );
      return feed;
    } catch (error) {
      feed.close();
      throw failure(error) === "closed" ? connectionClosed() : error;
    }
  }

  /**
   * Calls `onMessage` with the last message of each subject that matches `filter` (twice for a subject that is written
   * during the listing), then ends. Rejects like `JetStream.createConsumer`, and with the refusal "no answer" if the
   * feed breaks.
   */
  static async list(
    stream: OwnedStream,
    filter: string,
    limit: number,
    onMessage: (message: StoredMessage) => void,
    options?: FeedOptions,
  ): Promise<void> {
    const listed = Promise.withResolvers<void>();
    // a rejection is handled here, because the promise may reject before anything awaits it
    listed.promise.catch(() => {});
    const feed = await Feed.open(stream, filter, limit, {
      onMessage,
      onListed: () => listed.resolve(),
      onBroken: (why) => listed.reject(new JetStreamRefusal("no answer", why)),
    }, options);
    await listed.promise.finally(() => feed.close());
  }

  private constructor(stream: OwnedStream, listener: FeedCallbacks) {
    this.#stream = stream;
    this.#listener = listener;
    this.#stopStatus = stream.transport.onStatus(() => this.#break("the connection was lost"));
    // NATS forbids this user to answer flow control requests, so no more messages come: the listing ends with the
    // messages received so far
    this.#stopViolation = stream.transport.onViolation(({ subject }) => {
      if (subject === this.#awaited) this.#tellListed();
    });
  }

  /** Revision up to which all messages were passed to `onMessage`; 0: not known yet. */
  get upTo(): number {
    return this.#delivery?.upTo ?? 0;
  }

  /**
   * Ends the feed, as {@link close} does, as soon as all messages up to this revision were passed to `onMessage`. If
   * the consumer stops delivering before, the feed breaks instead.
   */
  closeBehind(revision: number): void {
    this.#last = revision;
    this.#closeAtLast();
  }

  /** Ends the feed, and deletes its consumer on the server. `onBroken` is not called. Idempotent. */
  close(): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopStatus();
    this.#stopViolation();
    this.#delivery?.close();
    if (this.#name !== undefined) this.#stream.js.deleteConsumer(this.#stream.name, this.#name);
  }

  async #open(config: { readonly filter_subject: string; readonly [setting: string]: unknown }, limit: number) {
    const stream = this.#stream;
    const { expected } = await createConsumer(stream, config, limit, (name, inbox) => {
      this.#name = name;
      // subscribed before the consumer is made: its first messages come with its creation, not a round trip later; of a
      // consumer that another one replaces nothing was passed on
      this.#delivery?.close();
      this.#delivery = this.#subscribe({ stream, name, inbox, expected: undefined });
    });
    if (this.#ended) return;
    if (expected === 0) this.#tellListed();
    this.#delivery?.begin(expected);
  }

  #subscribe(consumer: ConstructorParameters<typeof LogDelivery>[1]): LogDelivery {
    const { transport } = this.#stream;
    return new LogDelivery(transport, consumer, {
      onMessage: (message, revision, stored) => {
        this.#listener.onMessage(new DeliveredMessage(message, revision, stored));
        this.#closeAtLast();
      },
      onFlow: (reply, stalled) => {
        if (stalled) this.#awaited = reply;
        transport.signal(reply);
      },
      onIdle: () => this.#closeAtLast(),
      onCaughtUp: () => this.#tellListed(),
      onBroken: (why) => this.#break(why),
    });
  }

  #closeAtLast(): void {
    if (this.upTo >= this.#last) this.close();
  }

  #tellListed(): void {
    if (this.#listed) return;
    this.#listed = true;
    this.#listener.onListed();
  }

  #break(why: string): void {
    if (this.#ended) return;
    this.close();
    this.#listener.onBroken(why);
  }
}
