/**
 * The part of JetStream that buckets need: requests to `$JS.API`, and writes to a stream. What it does not do is thrown
 * as a `JetStreamRefusal`. It goes over `NatsConnection.request`, not over `@nats-io/jetstream`, which recognises
 * errors by `instanceof` (wrong with a connection from another copy of nats.js), drops the ttl at an update, and whose
 * consumers may be silent for a minute.
 */
import { Buffer } from "node:buffer";
import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import { CatgaError } from "../error.ts";
import { isForbidden, mayNot } from "../ports/transport.ts";
import { readTtl, ServerClock, type Stored } from "./expiry.ts";
import { JetStreamRefusal, parseAnswer } from "./jetstream_refusal.ts";
import { connectionClosed, connectionLost, failure, violation } from "./nats_error.ts";
import type { NatsTransport } from "./transport.ts";

/** A message of a stream. */
export interface StreamRecord extends Stored {
  readonly subject: string;
  readonly revision: number;
  /** What it does to the entry of its key. */
  readonly type: "put" | "delete" | "expire";
  readonly data: string;
}

/** The settings of a stream, by their names in the API. */
export interface StreamConfig {
  readonly [setting: string]: unknown;
  readonly name: string;
}

/** The settings of a consumer, by their names in the API. */
export interface ConsumerConfig {
  readonly [setting: string]: unknown;
  readonly name: string;
  readonly filter_subject?: string;
}

/** The part of the API's stream info that is used here. */
export interface StreamInfo {
  readonly config: Readonly<Record<string, unknown>>;
  readonly state: {
    readonly first_seq: number;
    readonly last_seq: number;
    readonly messages: number;
    readonly bytes: number;
  };
  readonly created: string;
  /** The wall clock of the stream's leader. */
  readonly ts?: string;
  /** When the request was sent, by the monotonic clock. */
  readonly asked: number;
}

/** How many consumers a new stream may have: nats-server 2.15 takes no limit as 1,000. */
const MAX_CONSUMERS = 100_000;

/** Requests to JetStream on one connection. Each takes at most `limit` ms. */
export class JetStream {
  readonly #transport: NatsTransport;
  /** The clock of whichever server answered last. */
  readonly #time: ServerClock;
  /** The direct gets that the server has forbidden on this connection. */
  readonly #forbidden = new Set<string>();

  constructor(transport: NatsTransport) {
    this.#transport = transport;
    this.#time = new ServerClock(transport.clock);
    // the user may have other permissions then
    transport.onStatus(() => this.#forbidden.clear());
  }

  /** The settings and state of a stream. */
  async info(stream: string, limit: number): Promise<StreamInfo> {
    return await this.#dated(`STREAM.INFO.${stream}`, undefined, limit);
  }

  /** Creates a stream, unless it exists with these settings. It may have 100,000 consumers, or as many as the account. */
  async createStream(config: StreamConfig, limit: number): Promise<StreamInfo> {
    const create = (settings: StreamConfig) => this.#dated(`STREAM.CREATE.${config.name}`, settings, limit);
    try {
      return await create({ ...config, max_consumers: MAX_CONSUMERS });
    } catch (error) {
      if (!(error instanceof JetStreamRefusal && error.refusal === "consumer limit")) throw error;
      return await create(config);
    }
  }

  /**
   * A server's wall clock, in ms since 1970: read now, or else as of an earlier answer about any stream; `undefined`
   * when no server has ever answered.
   */
  async time(limit: number): Promise<number | undefined> {
    const asked = this.#transport.clock.monotonic();
    if (!this.#time.freshSince(asked - limit)) {
      try {
        const answer = await this.request("$SYS.REQ.USER.INFO", "", undefined, limit);
        this.#time.read(answer.json<{ server?: { time?: string } }>().server?.time, asked);
      } catch (error) {
        // not permitted, or no answer: then the earlier reading has to do
        if (error instanceof CatgaError && error.code === "CLOSED") throw error;
      }
    }
    return this.#time.known ? this.#time.at(this.#transport.clock.monotonic()) : undefined;
  }

  async #dated(operation: string, body: unknown, limit: number): Promise<StreamInfo> {
    const asked = this.#transport.clock.monotonic();
    const info = { ...await this.api(operation, body, limit) as StreamInfo, asked };
    this.#time.read(info.ts, asked);
    return info;
  }

  /** Creates a consumer of a stream. Resolves with the number of messages that it has to deliver. */
  async createConsumer(stream: string, config: ConsumerConfig, limit: number): Promise<number> {
    const filter = config.filter_subject === undefined ? "" : `.${config.filter_subject}`;
    const subject = `CONSUMER.CREATE.${stream}.${config.name}${filter}`;
    const answer = await this.api(subject, { stream_name: stream, config, action: "create" }, limit);
    const { num_pending, delivered } = answer as { num_pending: number; delivered?: { consumer_seq: number } };
    return num_pending + (delivered?.consumer_seq ?? 0);
  }

  /** Requests the end of a consumer, and does not wait for it: a consumer without a subscriber ends by itself. */
  deleteConsumer(stream: string, name: string): void {
    if (this.#transport.status.state !== "connected") return;
    try {
      this.#transport.connection.publish(`$JS.API.CONSUMER.DELETE.${stream}.${name}`);
    } catch {
      // the connection is closing
    }
  }

  /** The last message on a subject (wildcards allowed), from the stream's leader. */
  async last(stream: string, subject: string, limit: number): Promise<StreamRecord | undefined> {
    const answer = await this.api(`STREAM.MSG.GET.${stream}`, { last_by_subj: subject }, limit, [10037]);
    if (answer === undefined) return undefined;
    const { message } = answer as {
      message: { subject: string; seq: number; hdrs?: string; data?: string; time: string };
    };
    const headers = message.hdrs === undefined ? "" : Buffer.from(message.hdrs, "base64").toString();
    const header = (name: string) => new RegExp(`^${name}: *(.*?)\\r?$`, "m").exec(headers)?.[1];
    return {
      subject: message.subject,
      revision: message.seq,
      type: recordType(header),
      data: Buffer.from(message.data ?? "", "base64").toString(),
      stored: Date.parse(message.time),
      ttl: readTtl(header("Nats-TTL")),
    };
  }

  /**
   * Erases the message of a revision; `false` when there is none. Unlike a marker it needs no room, and no watch
   * receives it.
   */
  async erase(stream: string, revision: number, limit: number): Promise<boolean> {
    try {
      await this.api(`STREAM.MSG.DELETE.${stream}`, { seq: revision, no_erase: true }, limit);
      return true;
    } catch (error) {
      // 10043, or 10057 with the store's own words for an unknown sequence, which differ in a cluster
      const none = /found|EOF|deleted message/;
      if (error instanceof JetStreamRefusal && error.refusal === "other" && none.test(error.message)) return false;
      throw error;
    }
  }

  /**
   * Reads by direct get, or from the leader if the NATS user may not: JetStream sends the answer of a direct get, as it is
   * stored, to whatever subject the request names, so that only users who may do everything to JetStream have this permission.
   * `kind`: the requests that share a permission; the first that is refused is the last one on a connection.
   */
  async direct<T>(kind: string, read: () => Promise<T>, readLeader: () => Promise<T>): Promise<T> {
    if (!this.#forbidden.has(kind)) {
      try {
        return await read();
      } catch (error) {
        if (!(error instanceof CatgaError && isForbidden(error))) throw error;
        this.#forbidden.add(kind);
      }
    }
    return await readLeader();
  }

  /**
   * The last message on a subject, from any server that has the stream: it may lag behind the leader, which answers {@link direct
   * users without the permission}.
   */
  lastDirect(stream: string, subject: string, limit: number): Promise<StreamRecord | undefined> {
    return this.direct(
      `${stream}.>`,
      () => this.#lastDirect(stream, subject, limit),
      () => this.last(stream, subject, limit),
    );
  }

  async #lastDirect(stream: string, subject: string, limit: number): Promise<StreamRecord | undefined> {
    const answer = await this.request(`$JS.API.DIRECT.GET.${stream}.${subject}`, "", undefined, limit);
    const headers = answer.headers;
    const revision = Number(headers?.get("Nats-Sequence") ?? 0);
    if (headers === undefined || revision === 0) {
      if (headers?.code === 404) return undefined;
      throw new JetStreamRefusal("busy", `direct get: ${headers?.status}`);
    }
    const header = (name: string) => headers.get(name) || undefined;
    return {
      subject,
      revision,
      type: recordType(header),
      data: answer.string(),
      stored: Date.parse(headers.get("Nats-Time-Stamp")),
      ttl: readTtl(header("Nats-TTL")),
    };
  }

  /** Writes to a stream. Resolves with the revision. */
  async write(
    subject: string,
    data: string,
    headers: Readonly<Record<string, string>>,
    limit: number,
  ): Promise<number> {
    const made = this.#transport.driver.headers();
    for (const [name, value] of Object.entries(headers)) made.set(name, value);
    const answer = parseAnswer(await this.request(subject, data, made, limit)) as { seq?: number };
    // another client subscribes to the bucket's subjects, and replied
    if (typeof answer.seq !== "number") {
      throw new JetStreamRefusal("other", `no acknowledgement: ${JSON.stringify(answer)}`);
    }
    return answer.seq;
  }

  /** A request to the API; `undefined` for an error whose code is in `none`. */
  async api(operation: string, body: unknown, limit: number, none: readonly number[] = []): Promise<unknown> {
    const text = body === undefined ? "" : JSON.stringify(body);
    return parseAnswer(await this.request(`$JS.API.${operation}`, text, undefined, limit), none);
  }

  /**
   * A request that ends with its limit, or at once when the connection is lost. Rejects with a {@link
   * JetStreamRefusal}, or a `CatgaError` when there is no connection.
   */
  request(subject: string, data: string, headers: MsgHdrs | undefined, limit: number): Promise<Msg> {
    const { connection, status } = this.#transport;
    if (status.state !== "connected") return Promise.reject(this.#noConnection());
    return new Promise((resolve, reject) => {
      const stop = this.#transport.onStatus(() => {
        stop();
        reject(this.#noConnection());
      });
      const options = { timeout: Math.max(1, Math.ceil(limit)), ...(headers === undefined ? {} : { headers }) };
      connection.request(subject, data, options).then(
        (answer) => {
          stop();
          resolve(answer);
        },
        (error) => {
          stop();
          reject(this.#refusal(subject, error));
        },
      );
    });
  }

  #refusal(subject: string, error: unknown): Error {
    switch (failure(error)) {
      case "no responders":
        return new JetStreamRefusal("no responders", `no responders on ${subject}`, error);
      case "timeout":
        return new JetStreamRefusal("no answer", `the request to ${subject} timed out`, error);
      case "too large":
        return new JetStreamRefusal("too large", (error as Error).message, error);
      case "closed":
        return connectionClosed();
      case "forbidden":
        return mayNot(violation(error) ?? { operation: "publish", subject }, error);
      default:
        return new JetStreamRefusal("other", (error as Error).message, error);
    }
  }

  #noConnection(): CatgaError {
    return this.#transport.status.state === "closed" ? connectionClosed() : connectionLost();
  }
}

/** What a message does to the entry of its key, by its headers. */
export function recordType(header: (name: string) => string | undefined): StreamRecord["type"] {
  const reason = header("Nats-Marker-Reason");
  if (reason === "MaxAge") return "expire";
  const operation = header("KV-Operation");
  return reason !== undefined || operation === "PURGE" || operation === "DEL" ? "delete" : "put";
}
