/** Harness for the tests of the log on NATS: a stream on a server that the test may restart. */
import { inspect } from "node:util";
import { assertEquals } from "@std/assert";
import { startTcpProxy } from "../../test/processes/tcp_proxy.ts";
import { delay, systemClock } from "../ports/clock.ts";
import type { EventLogHarness } from "../ports/event_log_suite.ts";
import { openTransport, reached } from "./harness_suite.ts";
import { type NatsServer, type NatsServerOptions, startNatsServer } from "../../tools/nats_server.ts";
import { chancesOfStarved } from "../../test/support/chances.ts";
import { eventually } from "../../test/support/eventually.ts";
import type { CatgaError } from "../error.ts";
import type { Appended, FollowOptions, LogLoss, LogReader, LogStream, StoredMessage } from "../ports/event_log.ts";
import { connectNats, type NatsAddress } from "./connection/connection.ts";
import { NatsEventLog } from "./log/log_stream.ts";
import { NatsTransport } from "./connection/transport.ts";
import { PATIENT } from "../../test/support/patient.ts";

/** Name of the stream of the log tests. */
export const STREAM = "catga_test_log";
/** Options with which the log tests open their stream. */
export const OPTIONS = { subjects: ["log.>", "at.>"], replicas: 1, schedules: true };
/** How long an append waits for its acknowledgement, in ms: longer than a busy machine takes. */
export const TIMEOUT = 60_000;
/** How long an append that is repeated without an acknowledgement waits for one, in ms: a lost one never comes. */
const TRY = 5_000;

/** A client that has opened the stream of the log tests. */
export interface LogClient extends AsyncDisposable {
  /** The server that runs now. */
  readonly server: NatsServer;
  readonly transport: NatsTransport;
  readonly log: NatsEventLog;
  readonly stream: LogStream;
  /** Stops the server, starts another server on the same port, and waits until this client is connected to it. */
  restart(options: NatsServerOptions, by?: NodeJS.Signals): Promise<void>;
  /** Sends a request to the API of JetStream, and resolves with the answer. */
  ask<T>(operation: string, body?: unknown): Promise<T>;
}

/** Starts a client with the stream; without `server` it starts its own server. */
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

/** A reader of a stream, and what it has delivered. */
export interface Following {
  readonly reader: LogReader;
  readonly texts: string[];
  readonly sequences: number[];
  readonly losses: (LogLoss | undefined)[];
  readonly faults: CatgaError[];
}

/** Starts a reader of a stream, and collects what it delivers. */
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

/**
 * Plays a test after which each of some readers has begun `starts` times, and has missed nothing. If the machine
 * stood still, which makes readers begin anew, the test is played again, twice at most.
 */
export async function assertStarts(starts: number, play: () => Promise<readonly Following[]>): Promise<void> {
  const begun = await chancesOfStarved(
    2,
    async () =>
      (await play()).map(({ losses }) => {
        assertEquals(losses.filter((lost) => lost !== undefined), []);
        return losses.length;
      }),
    (begun) => begun.every((times) => times === starts),
  );
  assertEquals(begun, begun.map(() => starts));
}

/** Appends a message, again and again with one id, until it is stored. Resolves with its sequence. */
export async function store(stream: LogStream, text: string, subject = "log.a"): Promise<number> {
  let appended: Appended | undefined;
  await eventually(`${text} to be stored`, async () => {
    appended = await stream.append(subject, text, { timeout: TRY, id: `${subject} ${text}` });
    return appended.type === "stored";
  }).catch((error: Error) => {
    throw new Error(`${error.message}: ${inspect(appended)}`);
  });
  return (appended as Appended & { type: "stored" }).sequence;
}

/** Returns the sequence of a message that was stored; throws for any other outcome of an append. */
export function sequenceOf(appended: Appended): number {
  assertEquals(appended.type, "stored", JSON.stringify(appended));
  return (appended as Appended & { type: "stored" }).sequence;
}

/** Returns a message's data as text. */
export function textOf(message: StoredMessage): string {
  return new TextDecoder().decode(message.data);
}

/** Starts a server, with one TCP proxy for each client. */
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
