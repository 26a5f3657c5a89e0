/**
 * Everything of nats.js that Catga uses and that is not part of its interface; see rows `core-publish`, `core-headers`,
 * `core-clock` and `core-dead-link` of docs/internals/packages.md. If a version of nats.js other than 3.4.0 has moved a
 * field, `private_test.ts` fails, and at run time Catga does without it, as each comment says. The class of the TCP
 * connection of `@nats-io/transport-node` is extended in `driver_node.ts`, because it comes from that package.
 */
import type { ConnectionOptions, Msg, NatsConnection } from "@nats-io/nats-core";

/** Private fields of a connection of nats.js. */
interface PrivateConnection {
  /**
   * Options with which the connection was opened. Without this field, Catga cannot refuse a user's connection with
   * `noEcho`, over which nodes miss their own messages.
   */
  readonly options?: ConnectionOptions;
  readonly protocol?: PrivateProtocol;
}

/** The part of a connection of nats.js that dials, reads and writes. Each field may be missing in another version. */
export interface PrivateProtocol {
  /**
   * Writes bytes in NATS's protocol. Catga needs it because `publish` encodes subject, headers and payload of each
   * message separately, and makes an object of the headers: a fifth of the time of an append. Without this method
   * messages are sent by `publish`.
   */
  sendCommand?(command: Uint8Array): void;
  /**
   * Writes published data to the socket before the turn of the event loop ends. Catga calls it after `sendCommand`; if
   * either of the two methods is missing, messages are sent by `publish`.
   */
  flushPending?(): void;
  readonly transport?: {
    /**
     * The socket of transport-node, which Catga destroys when a link is dead: nats.js would wait until its buffers are
     * written, for a quarter of an hour with 20 MB published into a dead link. Without this field, Catga waits as long.
     */
    readonly socket?: { destroy(): void };
    /**
     * The socket in Deno, which Catga closes when a link is dead, because nats.js would wait until its buffers are
     * written. By `setNoDelay`, which a TLS socket lacks, small frames leave at once; without it they wait for the
     * server's acknowledgement (docs/internals/packages.md, row `transport-deno`).
     */
    readonly conn?: { close(): void; setNoDelay?(noDelay: boolean): void };
    /**
     * True if the link is lost. Catga reads this field after each attempt to connect: if the link was lost at the
     * moment at which the attempt succeeded, nats.js does not notice the loss, and never dials again.
     */
    readonly isClosed?: boolean;
  };
  /** The attempt to connect under way; `null`: none. */
  readonly connectPromise?: unknown;
  /** Begins to dial. Without this method, a connection that was lost right after an attempt to connect stays lost. */
  disconnected?(): Promise<void>;
  /**
   * Options of the connection. nats.js calls `reconnectDelayHandler`, a public option, before it reads `lastConnect`.
   */
  readonly options?: { reconnectDelayHandler?: () => number };
  /**
   * Time of the last attempt to connect to each server, by the wall clock. Catga resets it, because nats.js does not
   * dial for an hour after that clock was set back by an hour; without this field Catga does not help.
   */
  readonly servers?: { readonly servers?: { lastConnect: number }[] };
}

/** Returns the part of a connection that dials, reads and writes; `undefined` if this version of nats.js has none. */
export function protocolOf(connection: NatsConnection): PrivateProtocol | undefined {
  return (connection as PrivateConnection).protocol;
}

/**
 * Returns the options with which a connection was opened; `undefined` if this version of nats.js does not keep them.
 */
export function optionsOf(connection: NatsConnection): ConnectionOptions | undefined {
  return (connection as PrivateConnection).options;
}

/**
 * Private fields of a message of nats.js: the bytes that were received. Decoding all headers takes most of the time
 * of a read of small messages; without these bytes Catga decodes the headers.
 */
interface PrivateMessage {
  /** Bytes of headers and payload. */
  readonly _rdata?: Uint8Array;
  /** `hdr`: number of bytes of `_rdata` that are headers. */
  readonly _msg?: { readonly hdr?: number; readonly subject?: Uint8Array };
}

/**
 * Returns the received bytes of a message; an object without fields if this version of nats.js does not keep them
 * there.
 */
export function bytesOf(message: Msg): PrivateMessage {
  return message as PrivateMessage;
}
