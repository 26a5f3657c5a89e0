/**
 * Sends requests to JetStream for buckets and logs, through `@nats-io/jetstream`, which is loaded when it is first
 * needed; those that every node sends are written by hand (docs/internals/packages.md, row `load`). Requests go over
 * one connection, and end at a limit or when the connection is lost. A refusal throws a `JetStreamRefusal`, which says
 * if the operation was certainly not done. Reads of messages first wait until few enough others are under way
 * (`ReadLimiter`).
 */
import type {
  JetStreamClient,
  JetStreamManager,
  JetStreamManagerOptions,
  MsgRequest,
  StoredMsg,
} from "@nats-io/jetstream";
import type { Msg, MsgHdrs, NatsConnection, RequestOptions, Subscription } from "@nats-io/nats-core";
import { CatgaError } from "../../error.ts";
import { openOnce } from "../../ports/open_once.ts";
import type { StoredMessage } from "../../ports/event_log.ts";
import { isForbidden, mayNot } from "../../ports/transport.ts";
import type { Driver } from "../connection/driver.ts";
import { ServerClock } from "./expiry.ts";
import { JetStreamRefusal, parseAnswer, refusalIn } from "./jetstream_refusal.ts";
import { connectionClosed, failure, notConnected, violation } from "../connection/nats_error.ts";
import { numberAt, recordOf, type StreamRecord, toStored } from "./stored_message.ts";
import type { NatsTransport } from "../connection/transport.ts";
import { Gate } from "../../data/gate.ts";
import type { Clock, Timer } from "../../ports/clock.ts";

/** Settings of a stream, by their names in JetStream's API. */
interface StreamConfig {
  readonly [setting: string]: unknown;
  readonly name: string;
}

/** Settings of a consumer, by their names in JetStream's API. */
interface ConsumerConfig {
  readonly [setting: string]: unknown;
  readonly name: string;
  readonly filter_subject?: string;
}

/** A message that is written to a stream. */
export interface StreamWrite {
  /** Time to live of the message in whole seconds, in the form `5s`. */
  readonly ttl?: string | undefined;
  /** Sequence that the last message on the subject must have, 0 for none; otherwise the write is refused. */
  readonly expected?: number | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
}

/** The answer to a write, by the names in JetStream's API. Anybody may have written it. */
interface Acknowledgement {
  readonly domain?: unknown;
  readonly stream?: unknown;
  readonly seq?: unknown;
}

/** Selects a message of a stream, by the names in JetStream's API. */
type MessageRequest =
  | { readonly last_by_subj: string }
  | { readonly seq: number; readonly next_by_subj?: string }
  | { readonly start_time: string; readonly next_by_subj: string };

/** The answer to a direct get. */
export interface DirectAnswer<T> {
  readonly found: T;
  /** Name of the stream that answered; `undefined`: nothing was found, and no stream was named. */
  readonly by: string | undefined;
}

/** The answer to a direct get of the last message on a subject. */
type LastAnswer = DirectAnswer<StoredMessage | undefined>;

/** A server with a copy of a stream. */
export interface StreamReplica {
  readonly name: string;
  readonly current: boolean;
  readonly offline?: boolean;
  /** Time since the stream's leader last heard from this replica, in ns. */
  readonly active: number;
}

/** The members of the API's stream info that Catga uses. */
export interface StreamInfo {
  readonly config: Readonly<Record<string, unknown>>;
  readonly state: {
    readonly first_seq: number;
    readonly last_seq: number;
    readonly messages: number;
    readonly bytes: number;
    readonly consumer_count?: number;
    /** Number of messages by subject; only if it was asked for, and the subject has messages. */
    readonly subjects?: Readonly<Record<string, number>>;
  };
  /** Leader and replicas of the stream; absent on a single server. */
  readonly cluster?: {
    readonly leader?: string;
    readonly replicas?: readonly StreamReplica[];
  };
  readonly created: string;
  /** The wall clock of the stream's leader, as an ISO string. */
  readonly ts?: string;
  /** Time at which the request for this info was sent, by the monotonic clock. */
  readonly asked: number;
}

/** A consumer that {@link JetStream.createConsumer} has created. */
interface CreatedConsumer {
  /** Number of messages that the consumer has to deliver from the start. */
  readonly expected: number;
  /** Name of the server that has the consumer; `undefined` on a single server. */
  readonly server: string | undefined;
}

/** Maximum number of consumers of a new stream; if it were not set, nats-server 2.15 would allow 1,000. */
const MAX_CONSUMERS = 100_000;

/**
 * Sends requests to JetStream on one connection. A request takes at most `limit` ms; a read may wait longer, because
 * the wait of the `ReadLimiter` before it does not count.
 */
export class JetStream {
  /** Limits the number of concurrent reads of messages. */
  readonly reads: ReadLimiter;
  readonly #transport: NatsTransport;
  /** Loads `@nats-io/jetstream`, at the first request. */
  readonly #package: Driver["jetstream"];
  #replies: Replies | undefined;
  /** Clock of the server that answered a request last. */
  readonly #time: ServerClock;
  /**
   * Kinds of direct gets (see {@link JetStream.direct}) that the server has forbidden to the user on this connection.
   */
  readonly #forbidden = new Set<string>();

  constructor(transport: NatsTransport) {
    this.#transport = transport;
    this.#package = openOnce(() => transport.driver.jetstream());
    this.reads = new ReadLimiter(transport.clock);
    this.#time = new ServerClock(transport.clock);
    // the user may have other permissions after a reconnect: try direct gets again
    transport.onStatus(() => this.#forbidden.clear());
  }

  /** Receives the batches of messages with which the server answers requests. */
  get replies(): Replies {
    return this.#replies ??= new Replies(this.#transport);
  }

  /**
   * Returns the settings and state of a stream. `subject`: the state then has the number of messages on this subject.
   * Requested by hand, as {@link JetStream.write}.
   */
  async info(stream: string, limit: number, subject?: string): Promise<StreamInfo> {
    const body = subject === undefined ? "" : JSON.stringify({ subjects_filter: subject });
    const ask = () => this.request(`$JS.API.STREAM.INFO.${stream}`, body, undefined, limit);
    return await this.#dated(async () => parseAnswer(await ask()));
  }

  /**
   * Creates a stream, or returns the existing one if it has these settings. Rejects with the refusal `other settings`
   * if it has others. A new stream may have 100,000 consumers, or the account's maximum if that is lower.
   */
  async createStream(config: StreamConfig, limit: number): Promise<StreamInfo> {
    const create = (settings: StreamConfig) =>
      this.#dated(() => this.manage((jsm) => jsm.streams.add({ ...settings }), limit));
    try {
      return await create({ ...config, max_consumers: MAX_CONSUMERS });
    } catch (error) {
      if (!(error instanceof JetStreamRefusal && error.refusal === "consumer limit")) throw error;
      return await create(config);
    }
  }

  /**
   * Returns the wall clock of a server, in ms since 1970: read now, or extrapolated from an earlier answer about any
   * stream. `undefined`: no server has ever answered. Takes at most `limit` ms.
   */
  async time(limit: number): Promise<number | undefined> {
    const asked = this.#transport.clock.monotonic();
    if (!this.#time.freshSince(asked - limit)) {
      try {
        const answer = await this.request("$SYS.REQ.USER.INFO", "", undefined, limit);
        this.#time.read(answer.json<{ server?: { time?: string } }>().server?.time, asked);
      } catch (error) {
        // an error means that the request is not permitted or was not answered: an earlier reading of the clock is
        // used
        if (error instanceof CatgaError && error.code === "CLOSED") throw error;
      }
    }
    return this.#time.known ? this.#time.at(this.#transport.clock.monotonic()) : undefined;
  }

  async #dated(ask: () => Promise<unknown>): Promise<StreamInfo> {
    const asked = this.#transport.clock.monotonic();
    const info = { ...await ask() as StreamInfo, asked };
    this.#time.read(info.ts, asked);
    return info;
  }

  /** Calls `ask` with the package's manager of JetStream; for time limit and errors see {@link JetStream.ask}. */
  async manage<T>(ask: (jsm: JetStreamManager) => Promise<T>, limit: number): Promise<T> {
    return await this.ask(async (js) => await ask(await js.jetstreamManager(false)), limit);
  }

  /**
   * Calls `work` with a client of the package, each of whose requests takes at most `limit` ms. Rejects with a
   * {@link JetStreamRefusal}, or with a `CatgaError` if there is no connection.
   */
  async ask<T>(work: (js: JetStreamClient) => Promise<T>, limit: number): Promise<T> {
    try {
      // each call gets a client of its own, because a client has one timeout for all its requests; making client and
      // manager takes 3 µs
      return await work(await this.#client(MAX_REQUESTS, { checkAPI: false, timeout: inMs(limit) }));
    } catch (error) {
      throw refusalIn(error);
    }
  }

  /** Makes a client of the package that may send at most `most` requests. */
  async #client(most: number, options?: JetStreamManagerOptions): Promise<JetStreamClient> {
    return (await this.#package()).jetstream(this.#link(most), options);
  }

  /** Wraps this connection for the package, so that at most `most` of its requests go out, through {@link request}. */
  #link(most: number): NatsConnection {
    let made = 0;
    const request = (subject: string, data: Uint8Array | string, { headers, timeout }: RequestOptions) => {
      if (++made > most) throw new JetStreamRefusal("other", "pages without end");
      return this.request(subject, data, headers, timeout);
    };
    return Object.create(this.#transport.connection, { request: { value: request } });
  }

  /**
   * Creates a consumer of a stream. (The package names the consumer in the request's subject only if it has one filter:
   * docs/internals/packages.md, row `consumers-add`.)
   */
  async createConsumer(stream: string, config: ConsumerConfig, limit: number): Promise<CreatedConsumer> {
    const filter = config.filter_subject === undefined ? "" : `.${config.filter_subject}`;
    const subject = `$JS.API.CONSUMER.CREATE.${stream}.${config.name}${filter}`;
    const body = JSON.stringify({ stream_name: stream, config, action: "create" });
    const answer = parseAnswer(await this.request(subject, body, undefined, limit));
    const { num_pending, delivered, cluster } = answer as {
      num_pending: number;
      delivered?: { consumer_seq: number };
      cluster?: { leader?: string };
    };
    return { expected: num_pending + (delivered?.consumer_seq ?? 0), server: cluster?.leader };
  }

  /**
   * Asks the server to delete a consumer, without waiting for that: a consumer without a subscriber is deleted
   * anyway.
   */
  deleteConsumer(stream: string, name: string): void {
    this.#transport.signal(`$JS.API.CONSUMER.DELETE.${stream}.${name}`);
  }

  /** Reads the message that an API request selects, from the stream's leader. */
  async message(stream: string, which: MessageRequest, limit: number): Promise<StoredMessage | undefined> {
    // the cast is needed because the package's type lacks `start_time`, which the package sends nevertheless
    const get = (jsm: JetStreamManager) => jsm.streams.getMessage(stream, which as MsgRequest);
    const read = async () => readable(await this.manage(get, limit), { direct: false });
    return await this.reads.do(read, sizeOf, `${stream} ${JSON.stringify(which)}`);
  }

  /** Reads the last message on a subject (wildcards allowed) of a bucket's stream, from its leader. */
  async last(stream: string, subject: string, limit: number): Promise<StreamRecord | undefined> {
    const message = await this.message(stream, { last_by_subj: subject }, limit);
    return message && recordOf(message);
  }

  /**
   * Erases the message with this revision; resolves with false if there is none. Unlike the writing of a marker,
   * erasing needs no room, and no watch receives it.
   */
  async erase(stream: string, revision: number, limit: number): Promise<boolean> {
    try {
      await this.manage((jsm) => jsm.streams.deleteMessage(stream, revision, false), limit);
      return true;
    } catch (error) {
      // no message has this sequence: error code 10043, or 10057 with one of several texts, which differ between a
      // single server and a cluster
      const none = /found|EOF|deleted message/;
      if (error instanceof JetStreamRefusal && error.refusal === "other" && none.test(error.message)) return false;
      throw error;
    }
  }

  /**
   * Calls `read`, which sends a direct get, and resolves with its answer; with `undefined` if the NATS user lacks the
   * permission for direct gets, which few users have because it amounts to administering the account's JetStream.
   * `kind`: names the requests that share a permission; after the first refusal no further direct get of this kind is
   * sent on the connection.
   */
  async direct<T>(kind: string, read: () => Promise<DirectAnswer<T>>): Promise<DirectAnswer<T> | undefined> {
    if (this.#forbidden.has(kind)) return undefined;
    try {
      return await read();
    } catch (error) {
      if (!(error instanceof CatgaError && isForbidden(error))) throw error;
      this.#forbidden.add(kind);
      return undefined;
    }
  }

  /**
   * Reads the last message on a subject by direct get: the answer may be that of any server that has the stream, or of
   * a mirror: `DirectReads` judges it. Concurrent reads of the same subject may share a request.
   */
  lastDirect(stream: string, subject: string, limit: number): Promise<LastAnswer> {
    const sizeOfAnswer = ({ found }: LastAnswer) => sizeOf(found);
    return this.reads.do(() => this.askLastDirect(stream, subject, limit), sizeOfAnswer, `direct ${stream} ${subject}`);
  }

  /** Reads like {@link JetStream.lastDirect}, with a request of its own. */
  async askLastDirect(stream: string, subject: string, limit: number): Promise<LastAnswer> {
    const get = (jsm: JetStreamManager) => jsm.direct.getMessage(stream, { last_by_subj: subject });
    const found = await this.manage(get, limit);
    // the server's own header is the last of this name
    return { found: readable(found, { direct: true }), by: found?.header.last("Nats-Stream") };
  }

  /**
   * Writes a message to a stream. Resolves with the message's revision. Requested by hand, because a start would load
   * the package for it (docs/internals/packages.md, row `load`).
   */
  async write(
    subject: string,
    data: string,
    { ttl, expected, headers = {} }: StreamWrite,
    limit: number,
  ): Promise<number> {
    const made = this.#transport.driver.headers();
    for (const [name, value] of Object.entries(headers)) made.set(name, value);
    if (ttl !== undefined) made.set("Nats-TTL", ttl);
    if (expected !== undefined) made.set("Nats-Expected-Last-Subject-Sequence", `${expected}`);
    const { domain, stream, seq } = parseAnswer(await this.request(subject, data, made, limit)) as Acknowledgement;
    // an answer without them came from another client that subscribes to the bucket's subjects
    if (!stream || typeof seq !== "number") {
      throw new JetStreamRefusal("other", "no acknowledgement: it has no stream, or no sequence");
    }
    this.#transport.storeDomain.takeOwn(domain);
    return seq;
  }

  /**
   * Sends a request. Rejects with a {@link JetStreamRefusal}, with the refusal `no answer` after `limit` ms, and with a
   * `CatgaError` as soon as there is no connection.
   */
  request(subject: string, data: Uint8Array | string, headers: MsgHdrs | undefined, limit: number): Promise<Msg> {
    const { clock, connection, status } = this.#transport;
    if (status.state !== "connected") return Promise.reject(notConnected(status.state));
    const options = { timeout: inMs(limit), ...(headers === undefined ? {} : { headers }) };
    const due = clock.monotonic() + options.timeout;
    return this.#transport.unlessLost(
      connection.request(subject, data, options).catch((error) => {
        throw this.#refusal(subject, error, clock.monotonic() - due);
      }),
    );
  }

  #refusal(subject: string, error: unknown, late: number): Error {
    switch (failure(error)) {
      case "no responders":
        return new JetStreamRefusal("no responders", `no responders on ${subject}`, error);
      case "timeout":
        return new JetStreamRefusal("no answer", `the request to ${subject} timed out`, error, late);
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
}

/**
 * Maximum number of requests that one call of a method of `@nats-io/jetstream` may send: a faulty server could always
 * announce another page.
 */
const MAX_REQUESTS = 1_000;

/** Rounds a timeout for nats.js up, to 1 ms at least: 0 would mean the default of nats.js. */
function inMs(limit: number): number {
  return Math.max(1, Math.ceil(limit));
}

/**
 * Converts a message that the package has found; `undefined`: none was found. Throws a {@link JetStreamRefusal} if
 * the message cannot be read. `direct`: it was read by a direct get.
 */
function readable(found: StoredMsg | null, { direct }: { readonly direct: boolean }): StoredMessage | undefined {
  if (found === null) return undefined;
  const message = toStored(found, direct);
  if (message === undefined) throw new JetStreamRefusal("other", "a message of the stream that cannot be read");
  return message;
}

function sizeOf(message: Pick<StoredMessage, "data"> | undefined): number {
  return message?.data.length ?? 0;
}

/** Receives the messages of one batch. */
interface ReplyReceiver {
  receive(message: Msg): void;
  failed(error: Error): void;
}

/**
 * Receives batches of messages that the server sends as answers to a request, over one subscription for a whole
 * connection, because a subscription for each batch would cost an additional write.
 */
class Replies {
  readonly #transport: NatsTransport;
  readonly #inbox: string;
  readonly #open: Map<number, ReplyReceiver> = new Map();
  #subscription: Subscription | undefined;
  #next = 1;

  constructor(transport: NatsTransport) {
    this.#transport = transport;
    this.#inbox = `${transport.inbox()}.`;
  }

  /** Registers a receiver. Returns the subject to which its messages must be sent, and a function that removes it. */
  open(receiver: ReplyReceiver): { readonly reply: string; close(): void } {
    this.#subscription ??= this.#subscribe();
    const number = this.#next++;
    this.#open.set(number, receiver);
    return { reply: this.#inbox + number.toString(36), close: () => this.#open.delete(number) };
  }

  #subscribe(): Subscription {
    const subject = `${this.#inbox}*`;
    return this.#transport.listen(subject, (error, message) => {
      if (error === null) return this.#receive(message);
      this.#subscription = undefined;
      const forbidden = mayNot(violation(error) ?? { operation: "subscribe", subject }, error);
      for (const receiver of this.#open.values()) receiver.failed(forbidden);
    });
  }

  /** Passes a message to its receiver. Must not throw, because that would end the connection's reader for good. */
  #receive(message: Msg): void {
    const receiver = this.#open.get(numberAt(message, this.#inbox.length));
    try {
      receiver?.receive(message);
    } catch (thrown) {
      receiver?.failed(new JetStreamRefusal("other", (thrown as Error).message, thrown));
    }
  }
}

/**
 * Limits the number of concurrent reads by the size of their answers, and by how many the server answers in time.
 *
 * - A server disconnects a client for which 64 MiB wait (`max_pending`), even if the client requested them: 200
 *   concurrent reads of 550 kB ended the connection, were sent again, and ended the next one.
 * - A server answers requests even when no client waits for them any more: 2,000 runs that were loaded at once took it
 *   90 s, because most of their reads were sent several times; with this limit they take 3 s.
 * - A caller that waits too long gives up and reads again: 400 waiters of a lock over a slow link had 1,200 reads wait
 *   to be sent, and no other read of the node was sent in time.
 */
export class ReadLimiter {
  readonly #clock: Clock;
  readonly #gate = new Gate(MAX_CONCURRENT_READS);
  /** Reads that wait for their turn, by the text that names their content. */
  readonly #waiting: Map<string, Promise<unknown>> = new Map();
  /** Expected size of an answer, in bytes: the average, or the last size if that is larger. */
  #size = 1024 * 1024;
  /**
   * Number of concurrent reads that the server answers in time. It is halved after a read without an answer, and
   * increased after each answer.
   */
  #timely = MAX_CONCURRENT_READS;
  /** Time of the last answer to a read, by the monotonic clock. */
  #answered = -Infinity;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /**
   * Sends a request as soon as few enough others are under way, and settles as it does. Rejects like a request without
   * an answer if no read is answered for {@link LONGEST_WAIT} ms while this one waits. `what`: a text that names the
   * content of the read; waiting requests with the same text are sent once.
   */
  do<T>(request: () => Promise<T>, sizeOf: (answer: T) => number, what?: string): Promise<T> {
    this.#gate.most = Math.max(1, Math.min(this.#timely, READ_ROOM / this.#size));
    if (!this.#gate.isFull) return this.#read(this.#gate.enter(), request, sizeOf);
    if (what === undefined) return this.#read(this.#turn(), request, sizeOf);
    const waiting = this.#waiting.get(what) as Promise<T> | undefined; // cast: `what` determines the type of the answer
    if (waiting !== undefined) return waiting;
    const turn = this.#turn().finally(() => this.#waiting.delete(what));
    const answer = this.#read(turn, request, sizeOf);
    this.#waiting.set(what, answer);
    return answer;
  }

  async #read<T>(turn: Promise<() => void>, request: () => Promise<T>, sizeOf: (answer: T) => number): Promise<T> {
    const leave = await turn;
    try {
      const answer = await request();
      const size = sizeOf(answer);
      this.#answered = this.#clock.monotonic();
      this.#size = Math.max(size, this.#size + (size - this.#size) / 8);
      this.#timely = Math.min(MAX_CONCURRENT_READS, this.#timely + 1 / 4);
      return answer;
    } catch (error) {
      const late = error instanceof JetStreamRefusal && error.refusal === "no answer";
      if (late) this.#timely = Math.max(FEWEST_READS, this.#timely / 2);
      throw error;
    } finally {
      leave();
    }
  }

  async #turn(): Promise<() => void> {
    const patience = new AbortController();
    const since = this.#clock.monotonic();
    let timer: Timer | undefined;
    const look = () => {
      const left = Math.max(since, this.#answered) + LONGEST_WAIT - this.#clock.monotonic();
      if (left > 0) timer = this.#clock.after(left, look, { background: true });
      else patience.abort(new JetStreamRefusal("no answer", `no turn within ${LONGEST_WAIT} ms`, undefined, -left));
    };
    look();
    return await this.#gate.enter(patience.signal).finally(() => timer?.cancel());
  }
}

/**
 * Time for which a read waits to be sent while no other read is answered, in ms: if a server hangs, all waiting reads
 * fail. While a slow server still answers other reads, they go on waiting: with a limit, a listing of runs was given up
 * behind the reads of 3,000 busy runs.
 */
const LONGEST_WAIT = 5_000;

/**
 * Maximum number of concurrent reads; `FEWEST_READS`: minimum number; `READ_ROOM`: maximum size of their answers, in
 * bytes. Over a slow link, more reads at once would take longer than a read waits for its answer, and would then be
 * repeated.
 */
const MAX_CONCURRENT_READS = 64;
const FEWEST_READS = 4;
const READ_ROOM = 8 * 1024 * 1024;
