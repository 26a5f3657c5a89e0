/**
 * What carries nats.js in Deno: a TCP or TLS connection. It stands in for the one of `@nats-io/transport-deno` 3.4.0, which
 * takes 256 KiB of fresh memory for every read, whatever comes, and leaves Nagle's algorithm on: a read here goes on in
 * the memory of the last one, and a write does not wait for the answer to the one before.
 */
import {
  checkOptions,
  checkUnsupportedOption,
  type ConnectionOptions,
  deferred,
  errors,
  extractProtocolMessage,
  INFO,
  protoLen,
  render,
  type Server,
  type ServerInfo,
  setTransportFactory,
  type Transport,
  type TransportFactory,
} from "@nats-io/nats-core/internal";

/**
 * Makes nats.js take this transport for what is dialled from now on.
 *
 * nats-core has one factory for all connections of a process, which cannot be read, and asks it at every dial. So a
 * connection of the user's that dials again after one of Catga's was opened gets this transport, which serves it as that
 * of transport-deno did. Ours get this one again by {@link DenoTransport.discard}, whoever opened a connection meanwhile.
 */
export function useDenoTransport(): void {
  setTransportFactory(FACTORY);
}

const FACTORY: TransportFactory = { factory: () => new DenoTransport(), dnsResolveFn: resolveHost };

/** Bytes read into one piece of memory, one read after the other. A message that lives on keeps it. */
const CHUNK = 65_536;

/** After a read that filled what there was: large payloads come in fewer parts (a quarter less CPU for 1 MB, measured). */
const LARGE_CHUNK = 262_144;

/** With less than this left, the next read gets new memory. */
const SMALLEST_READ = 8_192;

/** What waits for a write leaves together, up to so many bytes. */
const LARGEST_JOIN = 65_536;

/**
 * A connection to one server, until it ends; nats.js makes another for the next dial. What has been read is never written
 * over: the data of messages is a view of it.
 */
export class DenoTransport implements Transport {
  readonly lang = "nats.deno";
  /** Of nats.js, whose transport this stands in for. */
  readonly version = "3.4.0";
  closeError?: Error;
  /** Public for `destroySocket`. */
  conn: Deno.TcpConn | Deno.TlsConn | undefined;
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
      // closed meanwhile, by the timeout of the dial
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

  /** What comes, beginning with the server's INFO. Who stops reading ends the connection. */
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
      // not when `disconnect` is about to end it, once everything is written
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
    // it rejects for nothing
    this.#end(undefined, { flush: true, dialAgain: true });
  }

  closed(): Promise<void | Error> {
    return this.#closed;
  }

  /** Called on the connection that was, right before nats.js makes the next one. */
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
      await this.#take(await Deno.connectTls(options)).handshake();
      this.#encrypted = true;
    } else {
      const { signal } = this.#dial;
      // a name that was not resolved may have addresses of both families
      this.#take(await Deno.connect({ hostname, port, signal, autoSelectFamily: true })).setNoDelay(true);
      if (tls?.handshakeFirst === true) await this.#startTls(server, tls);
    }
  }

  async #startTls(server: Server, tls: ConnectionOptions["tls"]): Promise<void> {
    // anybody on the way may have put it there
    if (this.#filled > protoLen(this.#chunk.subarray(0, this.#filled))) {
      throw new Error("the server's INFO is followed by data that is not encrypted");
    }
    const options = { hostname: nameOf(server), caCerts: await authorities(tls) };
    // it has been opened by `Deno.connect`, or it would be encrypted
    const conn = this.#take(await Deno.startTls(this.conn as Deno.TcpConn, options));
    // before it nothing refuses the server's certificate
    await conn.handshake();
    this.#encrypted = true;
  }

  /** A connection that opened after the timeout of the dial is closed at once. */
  #take<Conn extends Deno.TcpConn | Deno.TlsConn>(conn: Conn): Conn {
    this.conn = conn;
    if (this.#ended) throw new Error("closed while connecting");
    return conn;
  }

  /** The server's first line. It stays in the chunk, for nats.js reads it as well. */
  async #readInfo(): Promise<ServerInfo> {
    while (true) {
      // a server that never ends its line is ended by the timeout of the dial, or here
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

  /** What comes next; `undefined` when the server has ended the connection. */
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

  /** Writes until nothing waits. What went wrong is told by the reader, which first reads what the server says of it. */
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

  /** Ends the connection, once; `flush` waits for what has been sent, `dialAgain` has nats.js make the next one. */
  async #end(reason: Error | undefined, { flush, dialAgain }: { flush: boolean; dialAgain: boolean }): Promise<void> {
    // a second call does not wait, and so ends a first one that does
    if (this.#ended) return this.#release();
    this.#ended = true;
    this.closeError = reason;
    this.#dial.abort();
    if (flush) await this.#writing;
    this.#release();
    if (dialAgain) this.#closed.resolve(reason);
  }

  #release(): void {
    try {
      this.conn?.close();
    } catch {
      // closed before
    }
  }
}

/** Takes the first of these, and what fits beside it. */
function takeJoined(waiting: Uint8Array[]): Uint8Array {
  let count = 1;
  let size = waiting[0].length;
  while (count < waiting.length && size + waiting[count].length <= LARGEST_JOIN) size += waiting[count++].length;
  const taken = waiting.splice(0, count);
  if (count === 1) return taken[0];
  const joined = new Uint8Array(size);
  let at = 0;
  for (const frame of taken) {
    joined.set(frame, at);
    at += frame.length;
  }
  return joined;
}

/** What the server's certificate must name: what the user wrote, not the address that was found for it. */
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
  return text ?? (file === undefined ? undefined : await Deno.readTextFile(file));
}

/**
 * Every address of a name, so that each is tried. Not of `localhost`, which the system has at hand (40 ms faster, measured),
 * and not where Deno may not connect to any address: then it may to the name.
 */
async function resolveHost(name: string): Promise<string[]> {
  if (name === "localhost" || (await Deno.permissions.query({ name: "net" })).state !== "granted") return [name];
  const found = await Promise.allSettled([Deno.resolveDns(name, "A"), Deno.resolveDns(name, "AAAA")]);
  const addresses = found.flatMap((one) => one.status === "fulfilled" ? one.value : []);
  return addresses.length === 0 ? [name] : addresses;
}
