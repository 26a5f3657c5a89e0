/** Shared by the tests of logs on NATS: a stream on a server that the test may restart. */
import { inspect } from "node:util";
import { assertEquals } from "@std/assert";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { delay, systemClock } from "../ports/clock.ts";
import type { EventLogHarness } from "../ports/event_log_suite.ts";
import { openTransport, reached } from "./harness_suite.ts";
import { type NatsServer, type NatsServerOptions, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { CatgaError } from "../error.ts";
import type { Appended, FollowOptions, LogLoss, LogReader, LogStream, StoredMessage } from "../ports/event_log.ts";
import { connectNats, type NatsAddress } from "./connection.ts";
import { NatsEventLog } from "./log_stream.ts";
import { NatsTransport } from "./transport.ts";
import { PATIENT } from "../../test/support/patient.ts";

/** The name of the stream. */
export const STREAM = "catga_test_log";
/** How it is opened. */
export const OPTIONS = { subjects: ["log.>", "at.>"], replicas: 1, schedules: true };
/** How long an append waits, in ms. */
export const TIMEOUT = 5_000;

/** A client with a stream. */
export interface LogClient extends AsyncDisposable {
  /** The server that is running now. */
  readonly server: NatsServer;
  readonly transport: NatsTransport;
  readonly log: NatsEventLog;
  readonly stream: LogStream;
  /** Stops the server, starts another on its port, and waits until this client is connected to it. */
  restart(options: NatsServerOptions, by?: NodeJS.Signals): Promise<void>;
  /** Asks the API of JetStream. */
  ask<T>(operation: string, body?: unknown): Promise<T>;
}

/** Starts a client, on a server of its own unless one is given. */
export async function startLogClient(
  given: { server?: NatsServer; nats?: NatsAddress; config?: string; replicas?: number } = {},
): Promise<LogClient> {
  const servers: NatsServer[] = [];
  let server = given.server;
  if (server === undefined) {
    server = await startNatsServer(given.config === undefined ? {} : { config: given.config });
    servers.push(server);
  }
  const transport = new NatsTransport(await connectNats(given.nats ?? server.url, { name: "test" }), {
    onError: () => {},
  });
  const log = new NatsEventLog(transport);
  const dispose = async () => {
    await transport.close();
    for (const each of servers.reverse()) await each.stop();
  };
  try {
    return {
      get server() {
        return server!;
      },
      transport,
      log,
      stream: await log.open(STREAM, { ...OPTIONS, replicas: given.replicas ?? 1 }),
      async restart(options, by = "SIGKILL") {
        const { generation } = transport.status;
        await server!.kill(by);
        server = await startNatsServer({ ...options, port: server!.port });
        servers.push(server);
        await eventually("the reconnect", () => transport.status.generation > generation);
      },
      async ask<T>(operation: string, body?: unknown): Promise<T> {
        const answer = await transport.connection.request(`$JS.API.${operation}`, JSON.stringify(body ?? {}), PATIENT);
        return answer.json<T>();
      },
      [Symbol.asyncDispose]: dispose,
    };
  } catch (error) {
    await dispose();
    throw error;
  }
}

/** A reader, and what it delivered. */
export interface Following {
  readonly reader: LogReader;
  readonly texts: string[];
  readonly sequences: number[];
  readonly losses: (LogLoss | undefined)[];
  readonly faults: CatgaError[];
}

/** Follows a stream. */
export function follow(stream: LogStream, options: Partial<FollowOptions> = {}): Following {
  const texts: string[] = [];
  const sequences: number[] = [];
  const losses: (LogLoss | undefined)[] = [];
  const faults: CatgaError[] = [];
  const reader = stream.follow({
    subjects: ["log.>"],
    after: undefined,
    onMessage(message) {
      texts.push(textOf(message));
      sequences.push(message.sequence);
    },
    onStart: ({ lost }) => losses.push(lost),
    onFault: (fault) => faults.push(fault),
    ...options,
  });
  return { reader, texts, sequences, losses, faults };
}

/** Appends until it is stored, with an id, as whoever publishes does; resolves with the sequence. */
export async function store(stream: LogStream, text: string, subject = "log.a"): Promise<number> {
  let appended: Appended | undefined;
  await eventually(`${text} to be stored`, async () => {
    appended = await stream.append(subject, text, { timeout: TIMEOUT, id: `${subject} ${text}` });
    return appended.type === "stored";
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${inspect(appended)}`);
  });
  return (appended as Appended & { type: "stored" }).sequence;
}

/** The sequence of a message that is stored; any other outcome throws. */
export function sequenceOf(appended: Appended): number {
  assertEquals(appended.type, "stored", JSON.stringify(appended));
  return (appended as Appended & { type: "stored" }).sequence;
}

/** The data of a message. */
export function textOf(message: StoredMessage): string {
  return new TextDecoder().decode(message.data);
}

/** A server, and one proxy for each client. */
export async function startEventLogHarness(): Promise<EventLogHarness> {
  const server = await startNatsServer();
  const admin = await openTransport(server.url);
  const proxies: AsyncDisposable[] = [];
  return {
    async connect() {
      const proxy = await startTcpProxy(server.port);
      proxies.push(proxy);
      const transport = await openTransport(proxy.url);
      return {
        log: new NatsEventLog(transport),
        async cut() {
          proxy.cut();
          await reached(transport, "disconnected");
        },
        async restore() {
          proxy.restore();
          await reached(transport, "connected");
        },
        close: () => transport.close(),
      };
    },
    async remove(name) {
      const answer = await admin.connection.request(`$JS.API.STREAM.DELETE.${name}`, "", PATIENT);
      assertEquals(answer.json<{ error?: unknown }>().error, undefined);
    },
    pass: (ms) => delay(systemClock, ms),
    now: () => systemClock.now(),
    async [Symbol.asyncDispose]() {
      for (const proxy of proxies) await proxy[Symbol.asyncDispose]();
      await admin.close();
      await server.stop();
    },
  };
}
