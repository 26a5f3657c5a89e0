/** Harness for the tests of src/nats: transports and stores on a real nats-server, over links that can be cut. */
import type { StreamInfo } from "@nats-io/jetstream";
import type { Msg } from "@nats-io/nats-core";
import { assertEquals } from "@std/assert";
import { encode } from "../data/utf8.ts";
import { delay, systemClock } from "../ports/clock.ts";
import { type NatsServer, type NatsServerOptions, startNatsServer } from "../../tools/nats_server.ts";
import { startTcpProxy, type TcpProxy } from "../../test/processes/tcp_proxy.ts";
import type { Bucket } from "../ports/key_value_store.ts";
import type { KeyValueHarness } from "../ports/key_value_store_suite.ts";
import { eventually } from "../../test/support/eventually.ts";
import { PATIENT } from "../../test/support/patient.ts";
import { patientManager } from "../../test/support/patient_jetstream.ts";
import type { Transport, TransportStatus } from "../ports/transport.ts";
import type { TransportHarness } from "../ports/transport_suite.ts";
import { connectNats, type NatsAddress } from "./connection/connection.ts";
import { NatsKeyValueStore } from "./bucket/key_value_store.ts";
import { NatsTransport } from "./connection/transport.ts";

/** Opens a transport. Without `onError`, errors of callbacks are ignored. */
export async function openTransport(url: string, onError: (error: unknown) => void = () => {}): Promise<NatsTransport> {
  return new NatsTransport(await connectNats({ servers: url, ...PATIENT }), { onError });
}

/** Creates a stream. Tries again while the files of a deleted stream of that name remain (error 10049). */
export async function createStream(
  { connection }: NatsTransport,
  config: { readonly [setting: string]: unknown; readonly name: string },
): Promise<void> {
  await eventually(`the stream ${config.name}`, async () => {
    const answer = await connection.request(`$JS.API.STREAM.CREATE.${config.name}`, JSON.stringify(config), PATIENT);
    const { error } = answer.json<{ error?: { err_code: number } }>();
    if (error?.err_code === 10049) return false;
    assertEquals(error, undefined, JSON.stringify(config));
    return true;
  });
}

/** Returns settings and state of the stream of the bucket `test`, which {@link startClient} opens. */
export async function streamState({ connection }: NatsTransport): Promise<StreamInfo> {
  return await (await patientManager(connection)).streams.info("KV_test");
}

/** Deletes the stream of the bucket `test`. Resolves with true if there was one. */
export async function removeStream({ connection }: NatsTransport): Promise<boolean> {
  return await (await patientManager(connection)).streams.delete("KV_test");
}

/** Returns a copy of an answer with another JSON body. */
export function withBody(answer: Msg, body: unknown): Msg {
  const data = encode(JSON.stringify(body));
  return Object.create(answer, { json: { value: () => body }, data: { value: data } });
}

/** Starts a server, with one TCP proxy for each transport. */
export async function startTransportHarness(): Promise<TransportHarness> {
  const server = await startNatsServer({ jetstream: false });
  const links = new Map<Transport, TcpProxy>();
  return {
    async connect() {
      const proxy = await startTcpProxy(server.port);
      const transport = await openTransport(proxy.url);
      links.set(transport, proxy);
      return transport;
    },
    async cut(transport) {
      links.get(transport)?.cut();
      await reached(transport, "disconnected");
    },
    async restore(transport) {
      links.get(transport)?.restore();
      await reached(transport, "connected");
    },
    async [Symbol.asyncDispose]() {
      await Promise.all([...links.values()].map((proxy) => proxy.close()));
      await server.stop();
    },
  };
}

/** Starts a server, with one connection for each client. */
export async function startKeyValueHarness(): Promise<KeyValueHarness> {
  const server = await startNatsServer();
  const transports: NatsTransport[] = [];
  return {
    async store() {
      const transport = await openTransport(server.url);
      transports.push(transport);
      return new NatsKeyValueStore(transport);
    },
    pass: (ms) => delay(systemClock, ms),
    now: () => systemClock.monotonic(),
    async [Symbol.asyncDispose]() {
      await Promise.all(transports.map((transport) => transport.close()));
      await server.stop();
    },
  };
}

/** Waits until the transport is in the given state. */
export function reached(transport: Transport, state: TransportStatus["state"]): Promise<boolean> {
  return eventually(`the transport to be ${state}`, () => transport.status.state === state);
}

/** A client with the bucket `test`, on a server that the test may restart. */
export interface StoreClient extends AsyncDisposable {
  /** The server that runs now. */
  readonly server: NatsServer;
  readonly transport: NatsTransport;
  readonly store: NatsKeyValueStore;
  readonly bucket: Bucket;
  /** Aborts when the client is disposed of. */
  readonly signal: AbortSignal;
  /** Kills the server, starts another server on the same port, and waits until this client is connected to it. */
  restart(options: NatsServerOptions): Promise<void>;
}

/** Starts a client with the bucket `test`; without `server` it starts its own server. */
export async function startClient(options: { server?: NatsServer; nats?: NatsAddress } = {}): Promise<StoreClient> {
  const servers: NatsServer[] = [];
  let server = options.server ?? await startNatsServer();
  if (options.server === undefined) servers.push(server);
  const link = await connectNats(options.nats ?? { servers: server.url, ...PATIENT }, { name: "test" });
  const transport = new NatsTransport(link, { onError: () => {} });
  const store = new NatsKeyValueStore(transport);
  const end = new AbortController();
  return {
    get server() {
      return server;
    },
    transport,
    store,
    bucket: await store.open("test"),
    signal: end.signal,
    async restart(options) {
      const { generation } = transport.status;
      await server.kill("SIGKILL");
      server = await startNatsServer({ ...options, port: server.port });
      servers.push(server);
      await eventually("the reconnect", () => transport.status.generation > generation);
    },
    async [Symbol.asyncDispose]() {
      end.abort();
      await transport.close();
      for (const each of servers.reverse()) await each.stop();
    },
  };
}
