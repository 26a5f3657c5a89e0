/**
 * JetStream, as far as buckets need it: JSON requests to `$JS.API`, writes to a stream, and what they answer. Spoken over
 * `NatsConnection.request` and not by `@nats-io/jetstream`, which recognises errors by `instanceof` (wrong with a
 * connection from another copy of nats.js), drops the expiry at an update, and whose consumers go silent for a minute.
 */
import { Buffer } from "node:buffer";
import type { Msg, MsgHdrs } from "@nats-io/nats-core";
import { CatgaError } from "../error.ts";
import { mayNot } from "../ports/transport.ts";
import { readTtl, ServerClock, type Stored } from "./expiry.ts";
import { connectionClosed, failure, violation } from "./nats_error.ts";
import type { NatsTransport } from "./transport.ts";

/** Why JetStream did not do it. */
export type Refusal =
  /** The stream is not there; certainly not done. */
  | "no stream"
  /** No JetStream, or no leader of the stream, is listening; certainly not done. */
  | "nobody"
  /** Not now, says the server; certainly not done. */
  | "busy"
  /** Another write was first; certainly not done. */
  | "lost race"
  /** The stream is there with other settings. */
  | "other settings"
  /** Too large for the server or the stream. */
  | "too large"
  /** The server, the account or the stream has no room; certainly not done. */
  | "full"
  /** JetStream is not enabled for this account. */
  | "disabled"
  /** No answer: may be done. */
  | "silence"
  | "other";

/** What JetStream answered instead of doing it. */
export class JetStreamRefusal extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, message: string, cause?: unknown) {
    super(message, { cause });
    this.refusal = refusal;
  }
}

/** A message of a stream. */
export interface StreamRecord extends Stored {
  readonly subject: string;
  readonly revision: number;
  /** What it does to its key. */
  readonly type: "put" | "delete" | "expire";
  readonly data: string;
}

/** What a stream is made with; the names are those of the API. */
export interface StreamConfig {
  readonly [setting: string]: unknown;
  readonly name: string;
}

/** What the API tells of a stream, as far as it is used. */
export interface StreamInfo {
  readonly config: Readonly<Record<string, unknown>>;
  readonly state: { readonly last_seq: number };
  /** The time of the server that leads the stream. */
  readonly ts?: string;
  /** When it was asked, by the monotonic clock. */
  readonly asked: number;
}

interface ApiError {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** The codes of nats-server's errors.json. */
const REFUSALS: Readonly<Record<number, Refusal>> = {
  10059: "no stream",
  10071: "lost race",
  // another write to the subject is on its way through the cluster
  10164: "lost race",
  10058: "other settings",
  10054: "too large",
  10002: "full",
  10023: "full",
  10028: "full",
  10047: "full",
  10039: "disabled",
  10076: "disabled",
  // servers of a cluster that has just started do not see each other yet
  10005: "busy",
  // the server's own "temporarily unavailable": no leader yet
  10008: "busy",
  10009: "busy",
  10163: "busy",
};

/** Requests to the JetStream of a connection. */
export class JetStream {
  readonly #transport: NatsTransport;
  /** The time of whichever server answered last. */
  readonly #time: ServerClock;

  constructor(transport: NatsTransport) {
    this.#transport = transport;
    this.#time = new ServerClock(transport.clock);
  }

  /** The settings and state of a stream. */
  async info(stream: string, limit: number): Promise<StreamInfo> {
    return await this.#dated(`STREAM.INFO.${stream}`, undefined, limit);
  }

  /** Makes a stream; nothing when there is one with these settings. */
  async createStream(config: StreamConfig, limit: number): Promise<StreamInfo> {
    return await this.#dated(`STREAM.CREATE.${config.name}`, config, limit);
  }

  /**
   * A server's time, in ms since 1970: asked for now, or else as some stream told it on this connection; `undefined` when
   * none did.
   */
  async time(limit: number): Promise<number | undefined> {
    const asked = this.#transport.clock.monotonic();
    if (!this.#time.freshSince(asked - limit)) {
      try {
        const answer = await this.request("$SYS.REQ.USER.INFO", "", undefined, limit);
        this.#time.read(answer.json<{ server?: { time?: string } }>().server?.time, asked);
      } catch (error) {
        // this user may not ask, or nobody answers; the link's end is the next request's affair
        if (error instanceof CatgaError && error.code === "CLOSED") throw error;
      }
    }
    return this.#time.known ? this.#time.at(this.#transport.clock.monotonic()) : undefined;
  }

  async #dated(operation: string, body: unknown, limit: number): Promise<StreamInfo> {
    const asked = this.#transport.clock.monotonic();
    const info = { ...await this.#api(operation, body, limit) as StreamInfo, asked };
    this.#time.read(info.ts, asked);
    return info;
  }

  /** Makes a consumer of a stream. Gives how many messages it has to deliver. */
  async createConsumer(
    stream: string,
    config: { name: string; filter_subject: string },
    limit: number,
  ): Promise<number> {
    const subject = `CONSUMER.CREATE.${stream}.${config.name}.${config.filter_subject}`;
    const answer = await this.#api(subject, { stream_name: stream, config, action: "create" }, limit);
    const { num_pending, delivered } = answer as { num_pending: number; delivered?: { consumer_seq: number } };
    return num_pending + (delivered?.consumer_seq ?? 0);
  }

  /** Asks for the end of a consumer, and does not wait for it: a consumer that nobody listens to ends by itself. */
  deleteConsumer(stream: string, name: string): void {
    if (this.#transport.status.state !== "connected") return;
    try {
      this.#transport.connection.publish(`$JS.API.CONSUMER.DELETE.${stream}.${name}`);
    } catch {
      // the connection is closing
    }
  }

  /** The last message on a subject (wildcards allowed), as the stream's leader has it. */
  async last(stream: string, subject: string, limit: number): Promise<StreamRecord | undefined> {
    const answer = await this.#api(`STREAM.MSG.GET.${stream}`, { last_by_subj: subject }, limit, [10037]);
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
   * Erases the message of a revision. `false` when there is none. It needs no room, where a marker does, and no watcher is
   * told.
   */
  async erase(stream: string, revision: number, limit: number): Promise<boolean> {
    try {
      await this.#api(`STREAM.MSG.DELETE.${stream}`, { seq: revision, no_erase: true }, limit);
      return true;
    } catch (error) {
      // 10043, or 10057 with what the store says of a sequence that it does not have; a cluster says it otherwise
      const none = /found|EOF|deleted message/;
      if (error instanceof JetStreamRefusal && error.refusal === "other" && none.test(error.message)) return false;
      throw error;
    }
  }

  /** The last message on a subject, from whichever server of the stream answers. */
  async lastDirect(stream: string, subject: string, limit: number): Promise<StreamRecord | undefined> {
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

  /** Writes to a stream, and gives the revision. */
  async write(
    subject: string,
    data: string,
    headers: Readonly<Record<string, string>>,
    limit: number,
  ): Promise<number> {
    const made = this.#transport.driver.headers();
    for (const [name, value] of Object.entries(headers)) made.set(name, value);
    const answer = parse(await this.request(subject, data, made, limit)) as { seq?: number };
    // somebody else listens on the bucket's subjects and replied
    if (typeof answer.seq !== "number") {
      throw new JetStreamRefusal("other", `no acknowledgement: ${JSON.stringify(answer)}`);
    }
    return answer.seq;
  }

  async #api(operation: string, body: unknown, limit: number, none: readonly number[] = []): Promise<unknown> {
    const text = body === undefined ? "" : JSON.stringify(body);
    return parse(await this.request(`$JS.API.${operation}`, text, undefined, limit), none);
  }

  /**
   * A request that ends when the link does, and not only with its time: rejects with a {@link JetStreamRefusal}, or a
   * `CatgaError` when there is no link.
   */
  request(subject: string, data: string, headers: MsgHdrs | undefined, limit: number): Promise<Msg> {
    const { connection, status } = this.#transport;
    if (status.state !== "connected") return Promise.reject(this.#noLink());
    return new Promise((resolve, reject) => {
      const stop = this.#transport.onStatus(() => {
        stop();
        reject(this.#noLink());
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
        return new JetStreamRefusal("nobody", `nobody listens on ${subject}`, error);
      case "timeout":
        return new JetStreamRefusal("silence", `no answer to ${subject}`, error);
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

  #noLink(): CatgaError {
    if (this.#transport.status.state === "closed") return connectionClosed();
    return new CatgaError("UNAVAILABLE", "the connection to NATS is lost; it is being made anew", { retryable: true });
  }
}

/** What a message does to its key, told by its headers. */
export function recordType(header: (name: string) => string | undefined): StreamRecord["type"] {
  const reason = header("Nats-Marker-Reason");
  if (reason === "MaxAge") return "expire";
  const operation = header("KV-Operation");
  return reason !== undefined || operation === "PURGE" || operation === "DEL" ? "delete" : "put";
}

function parse(answer: Msg, none: readonly number[] = []): unknown {
  const parsed = answer.json<{ error?: ApiError }>();
  const error = parsed.error;
  if (error === undefined) return parsed;
  const code = error.err_code ?? 0;
  if (none.includes(code)) return undefined;
  const description = error.description ?? "no description";
  // 10077 is whatever a store says
  const full = code === 10077 && /maximum|no space/.test(description);
  const refusal = full ? "full" : REFUSALS[code] ?? (error.code === 503 ? "busy" : "other");
  throw new JetStreamRefusal(refusal, `${description} (${code})`);
}
