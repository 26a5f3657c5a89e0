/**
 * The first port (interface to the outside): messages on subjects, as in NATS core. Catga uses networks only through
 * this interface; the folders `memory/` and `nats/` implement it, and `transport_suite.ts` tests both.
 */
import type { Clock, Random } from "./clock.ts";
import { byteLength } from "../data/utf8.ts";
import { CatgaError, isCatgaError } from "../error.ts";

/**
 * A connection to a network of processes.
 *
 * @internal
 * @decides what a transport promises
 */
export interface Transport {
  /** The clock of this network. */
  readonly clock: Clock;
  /** The source of random numbers of this network. */
  readonly random: Random;
  /** Maximum size of a published message, headers included, in bytes; may change at a reconnect. */
  readonly maxPayload: number;
  /** The state of the connection. */
  readonly status: TransportStatus;
  /** The server of this connection; a reconnect may change it. */
  readonly server: ServerInfo;
  /** Name of the JetStream domain in which this connection's streams and buckets are; absent: none, or not known. */
  readonly domain?: string | undefined;
  /**
   * Calls the listener after every change of {@link Transport.status}. Returns a function that removes the listener. A
   * listener must not throw.
   */
  onStatus(listener: (status: TransportStatus) => void): () => void;
  /**
   * Hands a message to the network, which delivers it at most once, in the order of the calls. A message with a `reply`
   * subject that reaches no subscription comes back (bounces): this connection's own subscription to the reply subject
   * gets a message with `noResponders` and without data.
   *
   * Throws a `TypeError` for a subject, reply or header that NATS cannot carry, a `CatgaError` `TOO_LARGE` when data
   * and headers exceed {@link Transport.maxPayload}, and `CLOSED` after {@link Transport.close}. While the status is
   * `disconnected` the message may be dropped without an error: do not publish then.
   */
  publish(subject: string, data: string | Uint8Array, options?: TransportPublishOptions): void;
  /**
   * Delivers the messages on `subject` (`*` stands for one token, `>` at the end for one or more) to `onMessage`, in a
   * later turn of the event loop than their publication; messages of one publisher in the order of their publication.
   * Of the subscriptions with the same `queue`, exactly one gets each message. Subscriptions survive reconnects. Throws
   * a `TypeError` for an invalid subject or queue, and `CLOSED` after {@link Transport.close}.
   *
   * `onMessage` may throw: the error is handed to `onError` of the transport's options and the subscription lives on.
   */
  subscribe(subject: string, options: SubscribeOptions, onMessage: (message: TransportMessage) => void): Subscription;
  /**
   * Resolves when the server has received everything that was published and subscribed before. Rejects with
   * `UNAVAILABLE` if the connection is lost before, and with `CLOSED` after {@link Transport.close}.
   */
  flush(): Promise<void>;
  /**
   * Sends all published messages, then closes the connection, unless the program opened it. Repeated calls do nothing.
   */
  close(): Promise<void>;
}

/** The state of a connection. */
export interface TransportStatus {
  /** State of the connection; `closed` is final. */
  readonly state: "connected" | "disconnected" | "closed";
  /** Number of the connection to a server, from 1; each reconnect adds 1. */
  readonly generation: number;
  /** Error because of which the connection closed; absent after a call of `close()`. */
  readonly error?: Error | undefined;
}

/** Information about the server that a transport is connected to. */
export interface ServerInfo {
  /** Id of the server: the same for all connections to one server. */
  readonly id: string;
  /** True if the server is part of a cluster of NATS servers. */
  readonly clustered: boolean;
  /** The address of this process as the server sees it; absent: not known. */
  readonly clientAddress?: string | undefined;
}

/** Options of {@link Transport.publish}, which sends a message to a subject. */
export interface TransportPublishOptions {
  /** The subject for answers, and for the message that reports that there is no subscription. */
  reply?: string | undefined;
  /**
   * Headers of the message. Names are case-sensitive. Values must not have line breaks; spaces at their ends are
   * removed. Default: none.
   */
  headers?: Readonly<Record<string, string>> | undefined;
  /**
   * True: sends the message at once, not at the end of this turn of the event loop, so that receivers begin to work on
   * it during this turn. Default: false.
   */
  now?: boolean | undefined;
}

/** Options of {@link Transport.subscribe}, which receives the messages of a subject. */
export interface SubscribeOptions {
  /** The queue group: of its members, one gets each message. */
  queue?: string | undefined;
  /**
   * True if it is normal that users lack the permission: a denied subscription is then tried again only after a
   * reconnect. Default: false.
   */
  optional?: boolean | undefined;
}

/** A message as it arrives. Its data belongs to the receiver until the callback returns; keep a copy, not a view. */
export interface TransportMessage {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply?: string | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /**
   * True if the message reports that an earlier message of this connection, with this reply subject, reached no
   * subscription.
   */
  readonly noResponders: boolean;
}

/** A subscription that is open. */
export interface Subscription {
  /**
   * True while the server denies the subscription, which is tried again automatically. Absent if the network has no
   * permissions.
   */
  readonly forbidden?: boolean;
  /**
   * Stops receiving further messages from the network; resolves when the messages received before have been delivered.
   */
  drain(): Promise<void>;
  /** Ends the subscription at once. Repeated calls do nothing. */
  close(): void;
}

/** An operation that the server forbids this connection's user. */
export interface Violation {
  readonly operation: "publish" | "subscribe";
  readonly subject: string;
}

/**
 * Makes the error for an operation that the server forbids: `UNAVAILABLE`, with the violation as its `details`.
 * @decides the text of the error when a NATS user may not publish or subscribe to a subject
 */
export function mayNot({ operation, subject }: Violation, cause?: unknown): CatgaError {
  return new CatgaError(
    "UNAVAILABLE",
    `the NATS user may not ${operation} to ${subject}: allow it in the server's permissions (catga docs security#permissions)`,
    { details: { operation, subject }, ...(cause === undefined ? {} : { cause }) },
  );
}

/**
 * Publishes a message, or does nothing if the connection is closed: for callers in timers, where an exception would end
 * the process. (A connection that the program opened refuses messages as soon as it drains, and is reported as closed
 * only when it has drained.)
 */
export function publishIfOpen(
  transport: Transport,
  subject: string,
  text: string,
  options: TransportPublishOptions,
): void {
  try {
    transport.publish(subject, text, options);
  } catch (error) {
    if (!isCatgaError(error) || error.code !== "CLOSED") throw error;
  }
}

/**
 * Returns true if the error says that the server forbids an operation ({@link mayNot} made it): nothing was done, and
 * another attempt would not help.
 */
export function isForbidden({ code, details }: CatgaError): boolean {
  return code === "UNAVAILABLE" && typeof (details as Partial<Violation> | undefined)?.operation === "string";
}

/** Returns true if an error was caused by a full store. Never throws. */
export function isStoreFull(error: unknown): boolean {
  try {
    return error instanceof CatgaError &&
      (error.cause as { readonly refusal?: unknown } | null | undefined)?.refusal === "full";
  } catch {
    return false; // the error, or its cause, was thrown by a program, and cannot be read
  }
}

/** Encodes headers as NATS writes them before the payload; empty without headers. */
export function headersText(headers: Readonly<Record<string, string>> | undefined): string {
  if (headers === undefined) return "";
  let text = "NATS/1.0\r\n";
  for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  return `${text}\r\n`;
}

/** Returns the size of a message, in bytes, with its headers as NATS writes them. */
export function messageSize(
  { data, headers }: {
    readonly data: Uint8Array;
    readonly headers: Readonly<Record<string, string>> | undefined;
  },
): number {
  return data.length + byteLength(headersText(headers));
}

/**
 * Headers of a question `$SRV.PING` with which a node looks for nodes of its namespace in other JetStream domains: its
 * namespace, and its domain.
 */
export const NAMESPACE_HEADER = "Catga-Namespace";
export const DOMAIN_HEADER = "Catga-Domain";
