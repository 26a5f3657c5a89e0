/**
 * A nats-server that goes through sequences of restarts after which 2.15 loses ttls: an entry that was deleted, or had
 * expired, before a SIGTERM is there again after a SIGKILL, without its ttl (measured; nats-server issue 8505 is a part
 * of it).
 */
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { type NatsServer, type NatsServerOptions, startNatsServer } from "../../tools/nats_server.ts";
import { eventually } from "./eventually.ts";
import { PATIENT } from "./patient.ts";

/** SIGTERM or SIGKILL, each followed by a start. */
export type Restarts = "TK" | "TKT" | "TTK";
export const SEQUENCES: readonly Restarts[] = ["TK", "TKT", "TTK"];

/**
 * Runs a test on a new server, again and again until that has forgotten: `test` resolves with `false` when nothing came
 * back, as happens when a busy machine needs more than a second from a deletion to the SIGTERM.
 */
export async function untilForgotten(test: (servers: ForgetfulServer) => Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    await using servers = await ForgetfulServer.start();
    if (await test(servers)) return;
  }
  throw new Error(`no server of ${ATTEMPTS} has restored what was deleted, so this test shows nothing`);
}

const ATTEMPTS = 30;

/** One server after the other, on one port and one store. */
export class ForgetfulServer implements AsyncDisposable {
  readonly #servers: NatsServer[];

  private constructor(first: NatsServer) {
    this.#servers = [first];
  }

  static async start(): Promise<ForgetfulServer> {
    return new ForgetfulServer(await startNatsServer());
  }

  /** The one that runs. */
  get server(): NatsServer {
    return this.#servers.at(-1)!;
  }

  get url(): string {
    return this.server.url;
  }

  /** Stops it and starts the next one. */
  async restart(signal: "SIGTERM" | "SIGKILL", options: NatsServerOptions = {}): Promise<void> {
    const { port, storeDir } = this.#servers[0];
    await this.server.kill(signal);
    this.#servers.push(await startNatsServer({ ...options, port, storeDir }));
  }

  /**
   * Goes through the sequence; what has been deleted or has expired within the second before comes back, and stays.
   * Gives the subjects of what was there after the last SIGKILL and not right before it.
   */
  async forget(sequence: Restarts, buckets: readonly string[]): Promise<string[]> {
    const back: string[] = [];
    for (const step of sequence) {
      if (step === "T") {
        await this.restart("SIGTERM");
        continue;
      }
      await using client = await open(this.url);
      // a store without a message that was written since the SIGTERM comes back as it was
      for (const bucket of buckets) await client.connection.request(`$KV.${bucket}.bystander`, "", PATIENT);
      for (const bucket of buckets) {
        const gone = async () => !await hasMarker(client.connection, bucket);
        await eventually(`the markers of ${bucket} to go`, gone);
      }
      const before = new Set<string>();
      for (const bucket of buckets) {
        for await (const { subject } of messagesOf(client.connection, bucket)) before.add(subject);
      }
      await this.restart("SIGKILL");
      await using next = await open(this.url);
      for (const bucket of buckets) {
        for await (const { subject } of messagesOf(next.connection, bucket)) {
          if (!before.has(subject)) back.push(subject);
        }
      }
    }
    return back;
  }

  async [Symbol.asyncDispose]() {
    for (const server of this.#servers.toReversed()) await server.stop();
  }
}

/** The messages of a bucket's stream, oldest first. */
export async function* messagesOf(connection: NatsConnection, bucket: string): AsyncGenerator<StoredMessage> {
  for (let seq = 1;;) {
    const body = JSON.stringify({ seq, next_by_subj: ">" });
    const answer = await connection.request(`$JS.API.STREAM.MSG.GET.KV_${bucket}`, body, PATIENT);
    const { message } = answer.json<{ message?: { seq: number; subject: string; time: string; hdrs?: string } }>();
    if (message === undefined) return;
    yield { ...message, headers: atob(message.hdrs ?? "") };
    seq = message.seq + 1;
  }
}

/** A message as the server has it. */
export interface StoredMessage {
  readonly seq: number;
  readonly subject: string;
  readonly time: string;
  readonly headers: string;
}

async function hasMarker(connection: NatsConnection, bucket: string): Promise<boolean> {
  for await (const { headers } of messagesOf(connection, bucket)) {
    if (/KV-Operation|Nats-Marker-Reason/.test(headers)) return true;
  }
  return false;
}

async function open(url: string): Promise<{ connection: NatsConnection } & AsyncDisposable> {
  const connection = await connect({ servers: url });
  return { connection, [Symbol.asyncDispose]: () => connection.close() };
}
