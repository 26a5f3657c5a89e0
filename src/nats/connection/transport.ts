/**
 * The transport port on a NATS connection: publishes and subscribes. nats.js subscribes again after a reconnect; a
 * subscription that the server has ended for lack of a permission is made again by its `SubscriptionHandle`.
 */
import type { Msg, MsgCallback, MsgHdrs, NatsConnection, Subscription as NatsSubscription } from "@nats-io/nats-core";
import { tooLarge } from "../../data/message_room.ts";
import { byteLength } from "../../data/utf8.ts";
import {
  type Clock,
  delay,
  doubled,
  EndingClock,
  type Random,
  systemClock,
  systemRandom,
  type Timer,
} from "../../ports/clock.ts";
import { PAUSES } from "../../ports/repeat.ts";
import type {
  ServerInfo,
  SubscribeOptions,
  Subscription,
  Transport,
  TransportMessage,
  TransportPublishOptions,
  TransportStatus,
  Violation,
} from "../../ports/transport.ts";
import { ConnectionStatus, type NatsLink } from "./connection.ts";
import type { Driver } from "./driver.ts";
import { connectionClosed, connectionLost, failure, notConnected, violation } from "./nats_error.ts";
import { checkHeader, checkPattern, checkSubject } from "../../data/checks.ts";
import { isSubscriptionLimit, RefusedSubscriptions } from "./refused_subscriptions.ts";
import { type SplitReport, StoreDomain } from "./store_domain.ts";
import { type SettingsReport, WrongSettings } from "./wrong_settings.ts";
import { type TextMessage, TextPublisher } from "./text_publisher.ts";

/** Time for which {@link NatsTransport.close} waits until the server has received all published messages, in ms. */
const CLOSE_LIMIT = 2_000;

/** Options of a {@link NatsTransport}. */
export interface NatsTransportOptions {
  /**
   * Called with errors that a subscription's callback throws, and errors that the server reports; default:
   * `console.error`.
   */
  onError?: (error: unknown) => void;
  /**
   * Called with each permission that the NATS user turns out to lack (except the one for direct gets, which is never
   * needed); absent: `onError` is called instead.
   */
  onForbidden?: (violation: Violation) => void;
  /** Called each time when the namespace is found to be in another JetStream domain, too. */
  onSplit?: (split: SplitReport) => void;
  /** Called when a stream is found to have wrong settings, and when it has its right settings again. */
  onSettings?: (report: SettingsReport) => void;
}

/**
 * Sends and receives messages over NATS core. While the status is not `connected`, published messages are dropped:
 * nats.js would buffer them without a limit, and discard them, or send some of them seconds later
 * (docs/internals/packages.md, row `core-outage`). Messages published shortly before a disconnection may be lost.
 * @decides messages are published and subscribed to over NATS; how long closing waits for what was published
 */
export class NatsTransport implements Transport {
  /** Clock whose timers end when the transport is closed. */
  readonly clock: Clock;
  readonly #clock: EndingClock;
  readonly random: Random = systemRandom();
  /** The connection, for the key-value store that shares it. */
  readonly connection: NatsConnection;
  /** The client of nats.js that opened the connection. */
  readonly driver: Driver;
  /** The streams of which this connection has found wrong settings. */
  readonly wrongSettings: WrongSettings;
  /** The JetStream domain of the streams and buckets of this connection. */
  readonly storeDomain: StoreDomain;
  readonly #owned: boolean;
  readonly #onError: (error: unknown) => void;
  readonly #onForbidden: ((violation: Violation) => void) | undefined;
  readonly #onViolation = new Set<(violation: Violation) => void>();
  readonly #subscriptions = new Set<SubscriptionHandle>();
  readonly #refused: RefusedSubscriptions;
  readonly #status: ConnectionStatus;
  #maxPayload = 1_048_576;
  #server: ServerInfo = Object.freeze({ id: "", clustered: false });
  #info: unknown;
  #checkedSubject: string | undefined;
  /** Last reply subject that was checked, without its last token; empty: none with several tokens was checked yet. */
  #checkedReply = "";
  #closing: Promise<void> | undefined;
  readonly #texts: TextPublisher | undefined;

  /** Uses an open connection that `connectNats` has returned. */
  constructor(link: NatsLink, options: NatsTransportOptions = {}) {
    this.clock = this.#clock = new EndingClock(systemClock);
    this.wrongSettings = new WrongSettings(this.clock, options.onSettings ?? (() => {}));
    this.storeDomain = new StoreDomain(this.clock, options.onSplit ?? (() => {}));
    this.connection = link.connection;
    this.driver = link.driver;
    this.#owned = link.owned;
    this.#onError = options.onError ?? ((error) => console.error(error));
    this.#onForbidden = options.onForbidden;
    this.#texts = TextPublisher.of(link.connection);
    this.#refused = new RefusedSubscriptions(link.connection, this.clock, this);
    this.#status = new ConnectionStatus(link, this.clock, {
      onError: (error) => this.#report(error),
      onFailure: this.#onError,
    });
    this.#status.onChange(({ state }) => {
      if (state !== "connected") return this.#texts?.drop();
      this.storeDomain.connected();
      for (const subscription of this.#subscriptions) subscription.again();
    });
  }

  get maxPayload(): number {
    this.#readInfo();
    return this.#maxPayload;
  }

  get status(): TransportStatus {
    return this.#status.current;
  }

  /**
   * The server to which this process is connected. `clustered`: true if the server's INFO names a cluster, a
   * super-cluster, or other servers to connect to. A server with leaf nodes, or a leaf node itself, looks like a
   * single server.
   */
  get server(): ServerInfo {
    this.#readInfo();
    return this.#server;
  }

  get domain(): string | undefined {
    return this.storeDomain.own;
  }

  onStatus(listener: (status: TransportStatus) => void): () => void {
    return this.#status.onChange(listener);
  }

  /** Resolves when the transport is connected, or the signal aborts. */
  async connected(signal: AbortSignal): Promise<void> {
    while (this.status.state !== "connected" && !signal.aborted) {
      const { promise, resolve } = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => resolve(), { once: true });
      await promise.finally(this.onStatus(() => resolve()));
    }
  }

  /**
   * Calls the listener when the server reports that it has forbidden an operation to the NATS user, which is the only
   * answer to a forbidden publication. Returns a function that removes the listener.
   */
  onViolation(listener: (violation: Violation) => void): () => void {
    this.#onViolation.add(listener);
    return () => this.#onViolation.delete(listener);
  }

  publish(subject: string, data: string | Uint8Array, options?: TransportPublishOptions): void {
    // fast path: most messages have the same subject as the last message
    if (subject !== this.#checkedSubject) {
      checkSubject(subject);
      this.#checkedSubject = subject;
    }
    const reply = options?.reply;
    if (reply !== undefined) this.#checkReply(reply);
    const headers = options?.headers === undefined ? undefined : this.#headers(options.headers);
    if (this.#status.current.state !== "connected") {
      if (this.#status.current.state === "closed" || this.#closing !== undefined) throw connectionClosed();
      const size = sizeOf(data, headers);
      if (size > this.#maxPayload) throw tooLarge(MESSAGE, size, this.#maxPayload, "send");
      return;
    }
    if (this.#closing !== undefined) throw connectionClosed();
    // the bytes are copied, because nats.js keeps a reference to them until the end of the turn
    const payload = typeof data === "string" ? data : data.slice();
    try {
      if (headers !== undefined) {
        this.connection.publish(subject, payload, reply === undefined ? { headers } : { reply, headers });
      } else if (reply !== undefined) this.connection.publish(subject, payload, { reply });
      else this.connection.publish(subject, payload);
    } catch (error) {
      switch (failure(error)) {
        case "too large":
          throw tooLarge(MESSAGE, sizeOf(data, headers), this.maxPayload, "send");
        case "closed":
          throw connectionClosed();
        default:
          throw error;
      }
    }
    if (options?.now) this.#texts?.write();
  }

  /**
   * Publishes a message at the end of this turn of the event loop, together with others of the turn; in all other
   * respects like {@link NatsTransport.publish}. For many small messages whose order relative to `publish` does not
   * matter. The subject must have been checked.
   */
  publishText(message: TextMessage): void {
    const texts = this.#texts;
    const { subject, reply, headers, text } = message;
    if (texts === undefined || headers !== undefined && !isAscii(headers)) {
      return this.publish(subject, text, headers === undefined ? { reply } : { reply, headers });
    }
    const { state } = this.#status.current;
    if (state === "closed" || this.#closing !== undefined) throw connectionClosed();
    const size = texts.publish(message, this.maxPayload);
    if (size > 0) throw tooLarge(MESSAGE, size, this.#maxPayload, "send");
    // the message was valid, but the transport is not connected: the message is dropped, as `publish` would drop it
    if (state !== "connected") texts.drop();
  }

  subscribe(subject: string, options: SubscribeOptions, onMessage: (message: TransportMessage) => void): Subscription {
    checkPattern(subject, options.queue);
    return this.keep(subject, { receive: (message) => onMessage(new NatsMessage(message)) }, options);
  }

  /**
   * Subscribes like {@link NatsTransport.subscribe}, with the same options, but passes messages of nats.js to
   * `subscriber`. The subject must have been checked.
   */
  keep(
    subject: string,
    subscriber: SubscriptionCallbacks,
    { queue, optional = false }: SubscribeOptions = {},
  ): Subscription {
    if (this.#status.current.state === "closed" || this.#closing !== undefined) throw connectionClosed();
    const handle = new SubscriptionHandle(this, subject, {
      ...subscriber,
      optional,
      subscribe: () =>
        // errors are caught: an error thrown in this callback would end the connection's reader for good
        this.listen(subject, (error, message) => {
          try {
            if (error) this.#report(error);
            else subscriber.receive(message);
          } catch (thrown) {
            this.#onError(thrown);
          }
        }, queue),
      allowed: () => {
        subscriber.allowed?.();
        // another subscription is allowed again: permissions are often restored together, so all forbidden
        // subscriptions are made again
        for (const each of this.#subscriptions) each.again();
      },
      ended: () => this.#subscriptions.delete(handle),
    });
    this.#subscriptions.add(handle);
    return handle;
  }

  /**
   * Subscribes with a callback of nats.js, which must not throw. Throws `CLOSED` if the connection drains (the user
   * may drain a connection of his own).
   */
  listen(subject: string, callback: MsgCallback<Msg>, queue?: string): NatsSubscription {
    try {
      return this.connection.subscribe(subject, queue === undefined ? { callback } : { queue, callback });
    } catch (error) {
      throw failure(error) === "closed" ? connectionClosed() : error;
    }
  }

  /** Makes a new subject for answers. */
  inbox(): string {
    return this.driver.createInbox(this.#inboxPrefix);
  }

  /** Publishes an empty message; does nothing if the connection is lost, drains or is closed. */
  signal(subject: string): void {
    if (this.#status.current.state !== "connected") return;
    try {
      this.connection.publish(subject);
    } catch (error) {
      if (failure(error) !== "closed") throw error;
    }
  }

  async flush(): Promise<void> {
    if (this.#status.current.state === "closed" || this.#closing !== undefined) throw connectionClosed();
    if (this.#status.current.state === "disconnected") throw connectionLost();
    this.#texts?.flush();
    await this.unlessLost(
      this.connection.flush().catch((error) => {
        throw failure(error) === "closed" ? connectionClosed() : connectionLost(error);
      }),
    );
  }

  /**
   * Settles as `work` does, or rejects as soon as the connection is lost; nats.js itself would reject at its next
   * attempt to connect (docs/internals/packages.md, row `core-lost`).
   */
  unlessLost<T>(work: Promise<T>): Promise<T> {
    const { promise, resolve, reject } = Promise.withResolvers<T>();
    const stop = this.onStatus(({ state }) => state !== "connected" && reject(notConnected(state)));
    work.then(resolve, reject);
    return promise.finally(stop);
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    const connected = this.#status.current.state === "connected";
    if (connected) this.#texts?.flush();
    if (!this.#owned) {
      for (const subscription of [...this.#subscriptions]) subscription.close();
      if (connected) await this.#atMost(this.connection.flush());
      this.#status.close();
      this.#clock.end();
      return;
    }
    if (this.#status.current.state !== "closed") {
      // a drain delivers the messages that the server has sent, and flushes; while disconnected it would reject
      if (connected) await this.#atMost(this.connection.drain());
      // `close` drains nothing, stops dialling, and does not wait for the network
      await this.connection.close();
    }
    this.#status.close();
    this.#clock.end();
  }

  /**
   * Waits until `work` has ended, at most until the limit or the loss of the connection; `work` may fail, or hang at
   * a loss.
   */
  async #atMost(work: Promise<void>): Promise<void> {
    const limit = new AbortController();
    const stop = this.onStatus((status) => status.state !== "connected" && limit.abort());
    try {
      await Promise.race([work, delay(this.clock, CLOSE_LIMIT, limit.signal)]);
    } catch {
      // `work` has failed, or the connection was lost before `work` ended: messages that the server has not received
      // are lost, as {@link Transport.publish} says
    } finally {
      stop();
      limit.abort();
      work.catch(() => {});
    }
  }

  /**
   * Reports an error that the server has sent. An error of a subscription also arrives at the subscription's own
   * callback.
   */
  #report(error: Error): void {
    if (isSubscriptionLimit(error)) {
      const refused = this.#refused.refused(error);
      return refused === undefined ? undefined : this.#onError(refused);
    }
    const forbidden = violation(error);
    if (forbidden?.operation === "subscribe") {
      for (const each of this.#subscriptions) if (each.subject === forbidden.subject) each.forbid(error);
    }
    if (forbidden !== undefined) { for (const listener of [...this.#onViolation]) listener(forbidden); }
    // a missing permission for direct gets is not reported: reads then use the stream's leader
    if (forbidden?.subject.startsWith("$JS.API.DIRECT.GET.")) return;
    // nor is one to ask for services, which a node does only to notice that its namespace is split
    if (forbidden?.operation === "publish" && forbidden.subject === "$SRV.PING") return this.storeDomain.forbid();
    if (forbidden === undefined || this.#onForbidden === undefined) this.#onError(error);
    // the report names the pattern of all inboxes, because each inbox has a random name
    else if (forbidden.operation === "subscribe" && forbidden.subject.startsWith(`${this.#inboxPrefix}.`)) {
      this.#onForbidden({ operation: "subscribe", subject: `${this.#inboxPrefix}.>` });
    } else this.#onForbidden(forbidden);
  }

  /** Prefix of the subjects for answers; a user's permissions may allow only subjects below it. */
  get #inboxPrefix(): string {
    // cast: the type of a connection lacks its options
    return (this.connection as { options?: { inboxPrefix?: string } }).options?.inboxPrefix ?? "_INBOX";
  }

  /** Parses the server's INFO if it has changed. */
  #readInfo(): void {
    // `undefined` while disconnected: the last INFO then stays valid
    const info = this.connection.info;
    if (info === undefined || info === this.#info) return;
    this.#info = info;
    this.#maxPayload = info.max_payload;
    this.#server = Object.freeze({
      id: info.server_id,
      clustered: (info.cluster ?? "") !== "" || (info.connect_urls?.length ?? 0) > 1,
      ...(info.client_ip === undefined ? {} : { clientAddress: info.client_ip }),
    });
  }

  /** Checks a reply subject. Fast path: most differ from the last one only by the number at the end. */
  #checkReply(reply: string): void {
    const dot = reply.lastIndexOf(".");
    if (
      reply.startsWith(this.#checkedReply) && this.#checkedReply.length === dot + 1 &&
      /^\w+$/.test(reply.slice(dot + 1))
    ) {
      return;
    }
    checkSubject(reply);
    this.#checkedReply = reply.slice(0, dot + 1);
  }

  #headers(headers: Readonly<Record<string, string>>) {
    const entries = Object.entries(headers);
    if (entries.length === 0) return undefined;
    const made = this.driver.headers();
    for (const [name, value] of entries) {
      checkHeader(name, value);
      made.append(name, value);
    }
    return made;
  }
}

function isAscii(headers: Readonly<Record<string, string>>): boolean {
  for (const name in headers) if (!/^[ -~]*$/.test(headers[name])) return false;
  return true;
}

function sizeOf(data: string | Uint8Array, headers: MsgHdrs | undefined): number {
  const size = typeof data === "string" ? byteLength(data) : data.length;
  return headers === undefined ? size : size + byteLength(`${headers}`);
}

/** Callbacks of a subscription. */
interface SubscriptionCallbacks {
  receive(message: Msg): void;
  /** Called when the server has ended the subscription, because the NATS user lacks the permission. */
  forbidden?(error: Error): void;
  /** Called when a subscription that the server had ended exists again. */
  allowed?(): void;
}

/** Dependencies of a {@link SubscriptionHandle} on its transport. */
interface SubscriptionHandleOptions extends Omit<SubscriptionCallbacks, "receive"> {
  readonly optional: boolean;
  subscribe(): NatsSubscription;
  /** Called when the subscription has ended; perhaps twice. */
  ended(): void;
}

/**
 * A subscription of nats.js that can be ended in any state of its connection without an error. If the server ends it
 * for lack of a permission (which a reload of the server's configuration may restore), it is made again at a reconnect,
 * when another subscription is allowed again, and, unless it is optional, after pauses that grow from 1 s to 30 s.
 */
class SubscriptionHandle implements Subscription {
  readonly subject: string;
  readonly #transport: Pick<Transport, "clock" | "flush">;
  readonly #options: SubscriptionHandleOptions;
  #subscription: NatsSubscription;
  #draining: Promise<void> | undefined;
  #ended = false;
  /** True from the moment at which the server has ended the subscription until it certainly exists again. */
  forbidden = false;
  #timer: Timer | undefined;
  /** Number of times that the server has ended the subscription since it last existed. */
  #failures = 0;

  constructor(
    transport: Pick<Transport, "clock" | "flush">,
    subject: string,
    options: SubscriptionHandleOptions,
  ) {
    this.#transport = transport;
    this.subject = subject;
    this.#options = options;
    this.#subscription = options.subscribe();
  }

  /**
   * Makes the subscription again after a pause. Call when the server has ended it for lack of a permission, which
   * nats.js reports twice.
   */
  forbid(error: Error): void {
    if (this.#ended || this.#timer !== undefined) return;
    this.forbidden = true;
    this.#options.forbidden?.(error);
    if (this.#options.optional) return;
    const pause = doubled(this.#failures++, ...PAUSES.refused);
    this.#timer = this.#transport.clock.after(pause, () => this.again(), { background: true });
  }

  /** Makes the subscription again now, if the server has ended it for lack of a permission. */
  again(): void {
    if (!this.forbidden || this.#ended) return;
    this.#timer?.cancel();
    this.#timer = undefined;
    let made: NatsSubscription;
    try {
      this.#unsubscribe();
      made = this.#subscription = this.#options.subscribe();
    } catch {
      // the connection drains: no new subscription is possible
      return;
    }
    // if the server denied the subscription, its report would come before its answer to this flush
    this.#transport.flush().then(() => {
      if (made !== this.#subscription || made.isClosed()) return;
      this.forbidden = false;
      this.#failures = 0;
      this.#options.allowed?.();
    }, () => {
      // the connection was lost: the subscription is made again at the reconnect
    });
  }

  drain(): Promise<void> {
    return this.#draining ??= this.#drain();
  }

  async #drain(): Promise<void> {
    this.#end();
    try {
      if (!this.#subscription.isClosed()) await this.#subscription.drain();
    } catch {
      // the connection was closed during the drain: nothing is left to deliver
    } finally {
      this.#options.ended();
    }
  }

  close(): void {
    this.#end();
    this.#options.ended();
    this.#unsubscribe();
  }

  #end(): void {
    this.#ended = true;
    this.#timer?.cancel();
  }

  #unsubscribe(): void {
    if (!this.#subscription.isClosed()) this.#subscription.unsubscribe();
  }
}

/** A message of nats.js as a `TransportMessage`. Headers are decoded at each access, and not before. */
export class NatsMessage implements TransportMessage {
  readonly #message: Msg;

  /** Wraps a message, without reading it. */
  constructor(message: Msg) {
    this.#message = message;
  }

  get subject(): string {
    return this.#message.subject;
  }

  get data(): Uint8Array {
    return this.#message.data;
  }

  get reply(): string | undefined {
    return this.#message.reply || undefined;
  }

  get headers(): Readonly<Record<string, string>> | undefined {
    const headers = this.#message.headers;
    if (headers === undefined || headers.keys().length === 0) return undefined;
    return Object.fromEntries(headers.keys().map((name) => [name, headers.get(name)]));
  }

  get noResponders(): boolean {
    if (this.#message.data.length > 0) return false;
    const { headers } = this.#message;
    // a message that a stream delivers is never a bounce, even if it has the status 503, which servers before 2.15
    // store as well
    return headers?.code === 503 && !headers.has("Nats-Stream");
  }
}

/** Name of what has a size, in errors. */
const MESSAGE = "a message with its headers";
