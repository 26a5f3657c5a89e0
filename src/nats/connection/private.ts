/**
 * Everything of nats.js that Catga uses and that is not part of its interface, and what Catga does with it to sockets:
 * a dead link is ended and dialled again, and small frames leave at once; see rows `core-publish`, `core-headers`,
 * `core-clock`, `core-dead-link` and `transport-deno` of docs/internals/packages.md. If a version of nats.js other than
 * 3.4.0 has moved a field, `private_test.ts` fails, and at run time Catga does without it, as each comment says. The
 * class of the TCP connection of `@nats-io/transport-node` is extended in `driver_node.ts`, because it comes from that
 * package.
 */
import type { ConnectionOptions, Msg, NatsConnection } from "@nats-io/nats-core";
import { type Clock, systemClock } from "../../ports/clock.ts";

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
  /**
   * Sends all subscriptions to the server. Catga calls it when the server has refused some because of its limit, and
   * has not said which. Without this method they are missing until the next reconnect.
   */
  sendSubscriptions?(): void;
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

/**
 * Destroys the socket of a connection. When nats.js finds a link dead, it first waits until its buffers are written,
 * which never happens if the system's buffers are full: it then hangs for a quarter of an hour, also over
 * transport-deno (docs/internals/packages.md, row `core-dead-link`).
 */
export function destroySocket(connection: NatsConnection): void {
  const transport = protocolOf(connection)?.transport;
  try {
    transport?.socket?.destroy();
    transport?.conn?.close();
  } catch {
    // nothing to do: the socket is closed already
  }
}

/**
 * Makes a connection dial at once after the wall clock was set back. nats.js measures the wait between two attempts to
 * connect by that clock: after it was set back by an hour, nats.js does not dial for an hour
 * (docs/internals/packages.md, row `core-clock`).
 */
export function dialWhenClockWasPutBack(connection: NatsConnection): void {
  const { options, servers } = protocolOf(connection) ?? {};
  const delay = options?.reconnectDelayHandler;
  if (options === undefined || delay === undefined) return;
  // nats.js calls this handler before it reads `lastConnect`
  options.reconnectDelayHandler = () => {
    const now = systemClock.now();
    for (const server of servers?.servers ?? []) if (server.lastConnect > now) server.lastConnect = 0;
    return delay();
  };
}

/**
 * Makes a connection dial again if its link was lost at the moment at which an attempt to connect succeeded, and
 * returns true in that case. nats.js treats such a loss as part of the attempt, reports a reconnect, and never dials
 * again (observed over Deno's transports on a busy machine with a server that was restarted twice in a second; not over
 * transport-node).
 */
export function dialWhenLostAtOnce(connection: NatsConnection, clock: Clock): boolean {
  const protocol = protocolOf(connection);
  const lost = () => !connection.isClosed() && protocol?.transport?.isClosed === true;
  if (!lost()) return false;
  // the link is checked in a later turn of the event loop, because nats.js may have begun to dial by itself until then
  clock.soon(() => lost() && protocol?.connectPromise === null && void protocol.disconnected?.());
  return true;
}

/**
 * Makes the present socket of a connection send each frame at once; nats.js opens another socket at each dial. Turns
 * Nagle's algorithm off where a client of nats.js leaves it on, as transport-deno does: a small frame behind an
 * unacknowledged one waits for the server's delayed acknowledgement, 40 ms (docs/internals/packages.md, row
 * `transport-deno`). Does nothing over TLS and WebSocket, whose sockets in Deno have no such option.
 */
export function sendWithoutDelay(connection: NatsConnection): void {
  try {
    protocolOf(connection)?.transport?.conn?.setNoDelay?.(true);
  } catch {
    // nothing to do: the socket is closed already
  }
}
