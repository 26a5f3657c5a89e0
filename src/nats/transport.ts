/** The transport port on a NATS connection. */
import type { NatsConnection, Status } from "@nats-io/nats-core";
import { type Clock, delay, type Random, systemClock, systemRandom, type Timer } from "../ports/clock.ts";
import { CatgaError } from "../error.ts";
import {
  checkHeader,
  checkPattern,
  checkSubject,
  type PublishOptions,
  type ServerInfo,
  type SubscribeOptions,
  type Subscription,
  type Transport,
  type TransportMessage,
  type TransportStatus,
  type Violation,
} from "../ports/transport.ts";
import type { NatsLink } from "./connection.ts";
import { destroySocket } from "./dead_link.ts";
import type { Driver } from "./driver.ts";
import { NatsMessage } from "./message.ts";
import { connectionClosed, failure, tooLarge, violation } from "./nats_error.ts";
import { SubscriptionHandle } from "./subscription.ts";

/** How long {@link NatsTransport.close} waits for the server to take what was published, in ms. */
const CLOSE_LIMIT = 2_000;

/** How long nats.js may take to end a link that it found dead, in ms. */
const STALE_LIMIT = 1_000;

/** Options of a {@link NatsTransport}. */
export interface NatsTransportOptions {
  /** Gets what a subscription's callback throws, and errors that the server reports; `console.error`. */
  onError?: (error: unknown) => void;
  /** Gets what the server does not let this user do; as errors to `onError`. */
  onForbidden?: (violation: Violation) => void;
}

/**
 * Messages over NATS core.
 *
 * While nats.js says that the link is down nothing is handed to it, for it would take messages without a limit and send
 * some of them seconds later (measured). What was published just before that moment may be lost.
 */
export class NatsTransport implements Transport {
  readonly clock: Clock = systemClock;
  readonly random: Random = systemRandom();
  /** The connection, for the key-value store that shares it. */
  readonly connection: NatsConnection;
  /** The client of nats.js that the connection is spoken to with. */
  readonly driver: Driver;
  readonly #owned: boolean;
  readonly #onError: (error: unknown) => void;
  readonly #onForbidden: ((violation: Violation) => void) | undefined;
  readonly #listeners = new Set<(status: TransportStatus) => void>();
  readonly #subscriptions = new Set<SubscriptionHandle>();
  #status: TransportStatus = Object.freeze({ state: "connected", generation: 1 });
  #maxPayload = 1_048_576;
  #server: ServerInfo = Object.freeze({ id: "", clustered: false });
  #info: unknown;
  #checkedSubject: string | undefined;
  /** The last reply subject but for its last token; empty while there was none of several tokens. */
  #checkedReply = "";
  #closing: Promise<void> | undefined;
  #stale: Timer | undefined;
  readonly #events: AsyncIterable<Status>;

  /** Takes over a link of `connectNats`. */
  constructor(link: NatsLink, options: NatsTransportOptions = {}) {
    this.connection = link.connection;
    this.driver = link.driver;
    this.#owned = link.owned;
    this.#onError = options.onError ?? ((error) => console.error(error));
    this.#onForbidden = options.onForbidden;
    this.#events = this.connection.status();
    this.#follow().catch((error) => this.#onError(error));
    this.connection.closed().then((error) => this.#move("closed", error ?? undefined), this.#onError);
    // a connection that was given may be reconnecting at this moment; only its ping tells
    if (!link.owned) {
      this.connection.rtt().catch(() => {
        if (this.#status.generation === 1) this.#move("disconnected");
      });
    }
  }

  get maxPayload(): number {
    this.#learn();
    return this.#maxPayload;
  }

  get status(): TransportStatus {
    return this.#status;
  }

  /**
   * `clustered` relies on what the server's INFO says: the name of a cluster or super-cluster, or other servers to
   * connect to. A server with leaf nodes, or one that is a leaf node of others, cannot be told from a lone one.
   */
  get server(): ServerInfo {
    this.#learn();
    return this.#server;
  }

  onStatus(listener: (status: TransportStatus) => void): () => void {
    // a function of its own, so that one listener may be given twice
    const own = (status: TransportStatus) => listener(status);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  publish(subject: string, data: string | Uint8Array, options?: PublishOptions): void {
    // most messages go where the last one went
    if (subject !== this.#checkedSubject) {
      checkSubject(subject);
      this.#checkedSubject = subject;
    }
    const reply = options?.reply;
    if (reply !== undefined) this.#checkReply(reply);
    const headers = options?.headers === undefined ? undefined : this.#headers(options.headers);
    if (this.#status.state !== "connected") {
      if (this.#status.state === "closed" || this.#closing !== undefined) throw connectionClosed();
      const size = byteLength(data) + (headers === undefined ? 0 : byteLength(`${headers}`));
      if (size > this.#maxPayload) throw tooLarge(size, this.#maxPayload);
      return;
    }
    if (this.#closing !== undefined) throw connectionClosed();
    // nats.js keeps a reference to the bytes until the end of the turn
    const payload = typeof data === "string" ? data : data.slice();
    try {
      if (headers !== undefined) this.connection.publish(subject, payload, { reply, headers });
      else if (reply !== undefined) this.connection.publish(subject, payload, { reply });
      else this.connection.publish(subject, payload);
    } catch (error) {
      switch (failure(error)) {
        case "too large":
          throw tooLarge(byteLength(data) + (headers === undefined ? 0 : byteLength(`${headers}`)), this.maxPayload);
        case "closed":
          throw connectionClosed();
        default:
          throw error;
      }
    }
  }

  subscribe(subject: string, options: SubscribeOptions, onMessage: (message: TransportMessage) => void): Subscription {
    checkPattern(subject, options.queue);
    if (this.#status.state === "closed" || this.#closing !== undefined) throw connectionClosed();
    const subscription = this.connection.subscribe(subject, {
      queue: options.queue,
      // whatever is thrown in here would end the reader of the connection for good
      callback: (error, message) => {
        try {
          if (error) this.#complain(error);
          else onMessage(new NatsMessage(message));
        } catch (thrown) {
          this.#onError(thrown);
        }
      },
    });
    const handle = new SubscriptionHandle(subscription, () => this.#subscriptions.delete(handle));
    this.#subscriptions.add(handle);
    return handle;
  }

  async flush(): Promise<void> {
    if (this.#status.state === "closed" || this.#closing !== undefined) throw connectionClosed();
    if (this.#status.state === "disconnected") throw lost();
    let stop = () => {};
    // nats.js rejects a flush only at its next dial
    const broken = new Promise<never>((_, reject) => {
      stop = this.onStatus((status) => {
        if (status.state !== "connected") reject(status.state === "closed" ? connectionClosed() : lost());
      });
    });
    try {
      await Promise.race([this.connection.flush(), broken]);
    } catch (error) {
      if (error instanceof CatgaError) throw error;
      throw failure(error) === "closed" ? connectionClosed() : lost(error);
    } finally {
      stop();
    }
  }

  close(): Promise<void> {
    return this.#closing ??= this.#close();
  }

  async #close(): Promise<void> {
    const connected = this.#status.state === "connected";
    if (!this.#owned) {
      for (const subscription of [...this.#subscriptions]) subscription.close();
      if (connected) await this.#atMost(this.connection.flush());
      // the iterator of nats.js has it, its type does not say so
      (this.#events as { stop?(): void }).stop?.();
      this.#move("closed");
      return;
    }
    if (this.#status.state === "closed") return;
    // draining delivers what the server has sent, and flushes; it rejects while disconnected
    if (connected) await this.#atMost(this.connection.drain());
    // drains nothing, ends the dialling, and does not wait for the network
    await this.connection.close();
    this.#move("closed");
  }

  /** Waits for what may fail or hang when the link breaks: then there is nothing more to hand over. */
  async #atMost(work: Promise<void>): Promise<void> {
    const limit = new AbortController();
    const stop = this.onStatus((status) => status.state !== "connected" && limit.abort());
    try {
      await Promise.race([work, delay(this.clock, CLOSE_LIMIT, limit.signal)]);
    } catch {
      // disconnected in between: what was not taken is lost, as `publish` says
    } finally {
      stop();
      limit.abort();
      work.catch(() => {});
    }
  }

  async #follow(): Promise<void> {
    for await (const event of this.#events) {
      switch (event.type) {
        case "staleConnection":
          this.#move("disconnected");
          this.#stale = this.clock.after(STALE_LIMIT, () => destroySocket(this.connection), { background: true });
          break;
        case "disconnect":
        case "forceReconnect":
        // said at each attempt, so that nothing we missed lasts
        case "reconnecting":
          this.#stale?.cancel();
          this.#move("disconnected");
          break;
        case "reconnect":
          this.#move("connected");
          break;
        case "error":
          this.#complain(event.error);
          break;
      }
    }
  }

  /** The server reports an error. Those of a subscription come twice, to its callback as well. */
  #complain(error: Error): void {
    const forbidden = this.#onForbidden && violation(error);
    if (forbidden === undefined) this.#onError(error);
    else this.#onForbidden!(forbidden);
  }

  /** The one place where the status changes. */
  #move(state: TransportStatus["state"], error?: Error): void {
    const before = this.#status;
    // nats.js says "reconnect" twice when a connection was lost during a dial
    if (before.state === state || before.state === "closed") return;
    if (state === "closed") this.#stale?.cancel();
    const generation = state === "connected" ? before.generation + 1 : before.generation;
    this.#status = Object.freeze({ state, generation, ...(error === undefined ? {} : { error }) });
    for (const listener of [...this.#listeners]) listener(this.#status);
  }

  /** Reads the server's INFO when there is a new one. */
  #learn(): void {
    // `undefined` while disconnected: what was known stays
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

  /** Most have the last one's subject but for a number at the end. */
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

function lost(cause?: unknown): CatgaError {
  return new CatgaError("UNAVAILABLE", "the connection to NATS is lost; it is being made anew", {
    retryable: true,
    cause,
  });
}

const encoder = new TextEncoder();

function byteLength(data: string | Uint8Array): number {
  return typeof data === "string" ? encoder.encode(data).length : data.length;
}
