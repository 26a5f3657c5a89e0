/**
 * The client of nats.js in Deno: nats-core over a TCP or TLS connection of Catga's. This file stands in for
 * `@nats-io/transport-deno` 3.4.0, which allocates 256 KiB for every read, of any size, writes each frame alone, and
 * leaves Nagle's algorithm on: row `transport-deno` of docs/internals/packages.md. Here a read continues in the memory
 * of the last one, frames are joined, and a write does not wait for the acknowledgement of the one before.
 */
import { joinBytes } from "../../data/utf8.ts";
import {
  checkOptions,
  checkUnsupportedOption,
  type ConnectionOptions,
  deferred,
  errors,
  extractProtocolMessage,
  INFO,
  type NatsConnection,
  NatsConnectionImpl,
  protoLen,
  render,
  type Server,
  type ServerInfo,
  setTransportFactory,
  type Transport,
  type TransportFactory,
} from "@nats-io/nats-core/internal";
export { createInbox, credsAuthenticator, headers, nkeyAuthenticator } from "@nats-io/nats-core/internal";

/**
 * The parts of Deno that this file uses. They are declared here, because this file is in programs for Bun and Node,
 * too, whose type check has no types of Deno.
 */
interface DenoParts {
  connect(to: Address & { signal: AbortSignal; autoSelectFamily: true }): Promise<TcpSocket>;
  connectTls(to: Address & { caCerts: string[]; cert: string; key: string }): Promise<TlsSocket>;
  startTls(socket: TcpSocket, options: { hostname: string; caCerts: string[] }): Promise<TlsSocket>;
  readTextFile(path: string): Promise<string>;
  resolveDns(name: string, record: "A" | "AAAA"): Promise<string[]>;
  readonly permissions: { query(permission: { name: "net" }): Promise<{ readonly state: string }> };
}

interface Address {
  hostname: string;
  port: number;
}

interface Socket {
  /** Resolves with the number of bytes; `null`: the server has ended the connection. */
  read(into: Uint8Array): Promise<number | null>;
  write(bytes: Uint8Array): Promise<number>;
  close(): void;
}

interface TcpSocket extends Socket {
  setNoDelay(noDelay: boolean): void;
}

interface TlsSocket extends Socket {
  handshake(): Promise<unknown>;
}

/** `undefined` outside of Deno, where nothing of this file is called. */
const { Deno: deno } = globalThis as unknown as { readonly Deno: DenoParts };

/** Opens a connection over TCP or TLS. */
export function connect(options: ConnectionOptions): Promise<NatsConnection> {
  useDenoTransport();
  return NatsConnectionImpl.connect(options);
}

/**
 * Makes nats.js use this transport for all connections that it opens from now on.
 *
 * nats-core has one factory for all connections of a process, which it calls at every dial, and which cannot be read.
 * So a connection of the user's that dials again after one of Catga's was opened gets this transport, which works for
 * it just as well. {@link DenoTransport.discard} sets this transport again before each dial of Catga's connections,
 * because another client of nats.js may have set its own transport since the last dial.
 */
function useDenoTransport(): void {
  setTransportFactory(FACTORY);
}

const FACTORY: TransportFactory = { factory: () => new DenoTransport(), dnsResolveFn: resolveHost };

/**
 * Size of a chunk of memory into which several reads go, in bytes. A message that is kept keeps the whole chunk in
 * memory.
 */
const CHUNK = 65_536;

/**
 * Size of the next chunk after a read that filled one, in bytes: large payloads arrive in fewer parts (a quarter less
 * CPU for 1 MB, measured).
 */
const LARGE_CHUNK = 262_144;

/** Minimum number of free bytes in a chunk for another read; with fewer, the next read gets a new chunk. */
const SMALLEST_READ = 8_192;

/** Maximum size of a write that joins several waiting frames, in bytes. */
const LARGEST_JOIN = 65_536;

/**
 * A connection to one server, until it ends; nats.js makes another object for the next connection. Memory that data
 * was read into is never overwritten, because the data of messages is a view of it.
 */
export class DenoTransport implements Transport {
  readonly lang = "nats.deno";
  /** Version of nats.js whose transport this class replaces. */
  readonly version = "3.4.0";
  closeError?: Error;
  /** The socket; public because `destroySocket` closes it. */
  conn: TcpSocket | TlsSocket | undefined;
  #debug = false;
  #encrypted = false;
  #ended = false;
  #chunk = new Uint8Array(CHUNK);
  #filled = 0;
  #waiting: Uint8Array[] = [];
  #writing: Promise<void> | undefined;
  #broken = false;
  readonly #dial = new AbortController();
  readonly #closed = deferred<void | Error>();

  async connect(server: Server, options: ConnectionOptions): Promise<void> {
    this.#debug = options.debug === true;
    try {
      await this.#open(server, options.tls);
      const info = await this.#readInfo();
      checkOptions(info, options);
      const wanted = info.tls_required || (info.tls_available === true && options.tls !== null);
      if (wanted && !this.#encrypted) await this.#startTls(server, options.tls);
      // if the attempt to connect timed out before this point, nats.js has closed this transport
      if (this.#ended) this.#release();
    } catch (error) {
      this.#release();
      throw new errors.ConnectionError((error as Error).message.toLowerCase(), { cause: error });
    }
  }

  get isClosed(): boolean {
    return this.#ended;
  }

  isEncrypted(): boolean {
    return this.#encrypted;
  }

  /** Yields the data that arrives, beginning with the server's INFO line. Leaving the loop ends the connection. */
  async *[Symbol.asyncIterator](): AsyncIterableIterator<Uint8Array> {
    let reason: Error | undefined;
    try {
      yield this.#chunk.subarray(0, this.#filled);
      while (!this.#ended) {
        const bytes = await this.#read();
        if (bytes === undefined) break;
        yield bytes;
      }
    } catch (error) {
      reason = error as Error;
    } finally {
      // the connection is ended here unless `disconnect` was called, which ends it once everything is written
      if (!this.#ended) await this.#end(reason, { flush: false, dialAgain: true });
    }
  }

  send(frame: Uint8Array): void {
    if (this.#ended || this.#broken) return;
    this.#waiting.push(frame);
    this.#writing ??= this.#write();
  }

  close(error?: Error): Promise<void> {
    return this.#end(error, { flush: false, dialAgain: false });
  }

  disconnect(): void {
    // `#end` never rejects
    this.#end(undefined, { flush: true, dialAgain: true });
  }

  closed(): Promise<void | Error> {
    return this.#closed;
  }

  /**
   * Makes this class the transport of the connection's next dial, too ({@link useDenoTransport}). nats.js calls this
   * method on the old transport right before it makes the next one.
   */
  discard(): void {
    useDenoTransport();
  }

  async #open(server: Server, tls: ConnectionOptions["tls"]): Promise<void> {
    const { hostname, port } = server;
    const certificate = await clientCertificate(tls);
    if (certificate !== undefined) {
      if (tls?.handshakeFirst !== true) checkUnsupportedOption("tls.cert without tls.handshakeFirst", true);
      const name = nameOf(server);
      const options = { hostname: name, port, caCerts: await authorities(tls), ...certificate };
      // Nagle's algorithm stays on here: only a TCP socket of Deno can turn it off, and `startTls` shows no certificate
      await this.#take(await deno.connectTls(options)).handshake();
      this.#encrypted = true;
    } else {
      const { signal } = this.#dial;
      // autoSelectFamily: a name that was not resolved before may have IPv4 and IPv6 addresses, which are then both
      // tried
      this.#take(await deno.connect({ hostname, port, signal, autoSelectFamily: true })).setNoDelay(true);
      if (tls?.handshakeFirst === true) await this.#startTls(server, tls);
    }
  }

  async #startTls(server: Server, tls: ConnectionOptions["tls"]): Promise<void> {
    // unencrypted data follows INFO: an attacker could have inserted it, so it is refused
    if (this.#filled > protoLen(this.#chunk.subarray(0, this.#filled))) {
      throw new Error("the server's INFO is followed by data that is not encrypted");
    }
    const options = { hostname: nameOf(server), caCerts: await authorities(tls) };
    // cast: the socket is not encrypted yet, so `Deno.connect` has opened it
    const conn = this.#take(await deno.startTls(this.conn as TcpSocket, options));
    // only the handshake verifies the server's certificate
    await conn.handshake();
    this.#encrypted = true;
  }

  /**
   * Keeps an opened connection. Throws if it opened after the timeout of the attempt to connect; `connect` then
   * closes it.
   */
  #take<Conn extends TcpSocket | TlsSocket>(conn: Conn): Conn {
    this.conn = conn;
    if (this.#ended) throw new Error("closed while connecting");
    return conn;
  }

  /** Reads the server's first line, INFO. The line stays in the chunk, because nats.js reads it, too. */
  async #readInfo(): Promise<ServerInfo> {
    while (true) {
      // a line without an end fails here, or at the timeout of the attempt to connect
      if (this.#filled === CHUNK) throw new Error("the server's INFO is too long");
      const size = await this.conn!.read(this.#chunk.subarray(this.#filled));
      if (size === null) throw new Error("socket closed while expecting INFO");
      this.#filled += size;
      const line = extractProtocolMessage(this.#chunk.subarray(0, this.#filled));
      if (line === "") continue;
      const [, text] = INFO.exec(line) ?? [];
      if (text === undefined) throw new Error("unexpected response from server");
      return JSON.parse(text);
    }
  }

  /** Reads the next data from the socket; `undefined`: the server has ended the connection. */
  async #read(): Promise<Uint8Array | undefined> {
    const start = this.#filled;
    const size = await this.conn!.read(start === 0 ? this.#chunk : this.#chunk.subarray(start));
    if (size === null) return undefined;
    const bytes = this.#chunk.subarray(start, start + size);
    if (this.#debug) console.info(`> ${render(bytes)}`);
    const left = this.#chunk.length - start - size;
    if (left >= SMALLEST_READ) {
      this.#filled = start + size;
    } else {
      this.#chunk = new Uint8Array(left === 0 ? LARGE_CHUNK : CHUNK);
      this.#filled = 0;
    }
    return bytes;
  }

  /**
   * Writes all waiting frames. Errors are ignored here, because the reading loop fails, too, after it has read the
   * server's own explanation.
   */
  async #write(): Promise<void> {
    try {
      while (this.#waiting.length > 0) {
        const bytes = takeJoined(this.#waiting);
        if (this.#debug) console.info(`< ${render(bytes)}`);
        let written = await this.conn!.write(bytes);
        while (written < bytes.length) written += await this.conn!.write(bytes.subarray(written));
      }
    } catch (error) {
      this.#broken = true;
      this.#waiting = [];
      if (this.#debug) console.error(`!!! ${error}`);
    }
    this.#writing = undefined;
  }

  /**
   * Ends the connection. A second call only closes the socket at once. `flush`: waits until the waiting frames are
   * written; `dialAgain`: makes nats.js connect again.
   */
  async #end(reason: Error | undefined, { flush, dialAgain }: { flush: boolean; dialAgain: boolean }): Promise<void> {
    // the second call closes the socket at once, which also ends the first call's wait for unwritten frames
    if (this.#ended) return this.#release();
    this.#ended = true;
    if (reason !== undefined) this.closeError = reason;
    this.#dial.abort();
    if (flush) await this.#writing;
    this.#release();
    if (dialAgain) this.#closed.resolve(reason);
  }

  #release(): void {
    try {
      this.conn?.close();
    } catch {
      // nothing to do: the socket is closed already
    }
  }
}

/** Removes from the list the first waiting frame, and as many after it as fit into one write. Returns them joined. */
function takeJoined(waiting: Uint8Array[]): Uint8Array {
  let count = 1;
  let size = waiting[0].length;
  while (count < waiting.length && size + waiting[count].length <= LARGEST_JOIN) size += waiting[count++].length;
  const taken = waiting.splice(0, count);
  return joinBytes(taken, size);
}

/**
 * Returns the name that the server's certificate must have: the name that the user has given, not the address to
 * which it was resolved.
 */
function nameOf({ tlsName, hostname }: Server): string {
  return tlsName || hostname;
}

async function authorities(tls: ConnectionOptions["tls"]): Promise<string[]> {
  const own = await textOf(tls?.ca, tls?.caFile);
  return own === undefined ? [] : [own];
}

async function clientCertificate(tls: ConnectionOptions["tls"]): Promise<{ cert: string; key: string } | undefined> {
  const [cert, key] = await Promise.all([textOf(tls?.cert, tls?.certFile), textOf(tls?.key, tls?.keyFile)]);
  return cert === undefined || key === undefined ? undefined : { cert, key };
}

async function textOf(text: string | undefined, file: string | undefined): Promise<string | undefined> {
  return text ?? (file === undefined ? undefined : await deno.readTextFile(file));
}

/**
 * Resolves a host name to all its addresses, so that each is tried. `localhost` is left to the system (40 ms faster,
 * measured); so is every name if Deno may not connect to any address, because the permission is then for the name.
 */
async function resolveHost(name: string): Promise<string[]> {
  if (name === "localhost" || (await deno.permissions.query({ name: "net" })).state !== "granted") return [name];
  const found = await Promise.allSettled([deno.resolveDns(name, "A"), deno.resolveDns(name, "AAAA")]);
  const addresses = found.flatMap((one) => one.status === "fulfilled" ? one.value : []);
  return addresses.length === 0 ? [name] : addresses;
}
