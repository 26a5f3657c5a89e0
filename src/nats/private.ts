/**
 * Everything of nats.js that Catga uses and that is not part of its interface; see rows `core-publish`, `core-headers`,
 * `core-clock` and `core-dead-link` of docs/internals/packages.md. If a version of nats.js other than 3.4.0 has moved a
 * field, `private_test.ts` fails, and at run time Catga does without it, as each comment says. The class of the TCP
 * connection of `@nats-io/transport-node` is extended in `driver_node.ts`, because it comes from that package.
 */
import type { ConnectionOptions, Msg, NatsConnection } from "@nats-io/nats-core";

/** Private fields of a connection. */
interface PrivateConnection {
  /** Options of the user's connection. Without them `noEcho` is not refused, and nodes miss their own messages. */
  readonly options?: ConnectionOptions;
  readonly protocol?: PrivateProtocol;
}

/** The part of a connection that dials, reads and writes. Each field may be missing in another version. */
export interface PrivateProtocol {
  /**
   * Writes bytes in NATS's protocol. `publish` encodes subject, headers and payload of each message by itself, and
   * makes an object of the headers: a fifth of the time of an append. Without it messages go by `publish`.
   */
  sendCommand?(command: Uint8Array): void;
  /** Writes published data to the socket within the turn of the event loop; needed with `sendCommand`. */
  flushPending?(): void;
  readonly transport?: {
    /**
     * The socket of transport-node, which Catga destroys when a link is dead: nats.js would wait until its buffers are
     * written, for a quarter of an hour with 20 MB published into a dead link. Without this field, Catga waits as long.
     */
    readonly socket?: { destroy(): void };
    /** The socket in Deno, which Catga closes for the same reason. */
    readonly conn?: { close(): void };
    /** True if the link is lost. A dial that succeeds at the same moment hides the loss: nats.js never dials again. */
    readonly isClosed?: boolean;
  };
  /** The running dial; `null`: none. */
  readonly connectPromise?: unknown;
  /** Begins to dial. Without it, a connection that was lost right after a dial stays lost. */
  disconnected?(): Promise<void>;
  /**
   * The connection's options, with the pause between dials (a public option); nats.js calls it before it reads
   * `lastConnect`.
   */
  readonly options?: { reconnectDelayHandler?: () => number };
  /**
   * Time of the last dial of each server, by the wall clock. After that clock was set back by an hour, nats.js does not
   * dial for an hour; without this field Catga does not help.
   */
  readonly servers?: { readonly servers?: { lastConnect: number }[] };
}

/** The protocol of a connection; `undefined` if this nats.js has none. */
export function protocolOf(connection: NatsConnection): PrivateProtocol | undefined {
  return (connection as PrivateConnection).protocol;
}

/** The options that a connection was opened with; `undefined` if this nats.js does not keep them. */
export function optionsOf(connection: NatsConnection): ConnectionOptions | undefined {
  return (connection as PrivateConnection).options;
}

/**
 * Private fields of a message: the bytes that were received. Decoding all headers takes most of the time of a read of
 * small messages; without these bytes the headers are decoded.
 */
interface PrivateMessage {
  /** Headers and payload. */
  readonly _rdata?: Uint8Array;
  /** `hdr`: how many bytes of `_rdata` are headers. */
  readonly _msg?: { readonly hdr?: number; readonly subject?: Uint8Array };
}

/** The bytes of a message; without fields if this nats.js does not keep them there. */
export function bytesOf(message: Msg): PrivateMessage {
  return message as PrivateMessage;
}
