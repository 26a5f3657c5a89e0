/** Three servers that replicate what is stored, one of which can be filled, and has room again. */
import type { NatsConnection } from "@nats-io/nats-core";
import { type ConsumerInfo, DeliverPolicy, jetstreamManager } from "@nats-io/jetstream";
import { type NatsCluster, startNatsCluster } from "../../tools/nats_server.ts";
import { askAgain } from "./ask_again.ts";
import { eventually } from "./eventually.ts";
import { PATIENT } from "./patient.ts";
import { connectTo } from "./store_check.ts";

/** The name of the server that can be filled; the last one. */
export const FULL = "n2";
/** What that server may store, in bytes. */
const ROOM = 4_000_000;
/** Time in ns after which a server that has not answered a stream's leader is no longer thought to be slow only. */
const SILENT = 2_000_000_000;

/** A server of a stream, as its leader sees it. `active`: time since its last answer, in ns. */
interface Replica {
  readonly name: string;
  readonly lag?: number;
  readonly current: boolean;
  readonly active: number;
}

/** Three servers, of which {@link FULL} can be filled. */
export class FullReplica implements AsyncDisposable {
  readonly cluster: NatsCluster;
  readonly #admin: NatsConnection;

  private constructor(cluster: NatsCluster, admin: NatsConnection) {
    this.cluster = cluster;
    this.#admin = admin;
  }

  static async start(): Promise<FullReplica> {
    const limit = `server_tags: ["${FULL}"]\njetstream { max_file_store: ${ROOM} }`;
    const cluster = await startNatsCluster(3, (index) => `n${index}` === FULL ? limit : "");
    return new FullReplica(cluster, await connectTo(cluster.urls));
  }

  /** The URLs of the servers that have room. */
  get urls(): readonly string[] {
    return this.cluster.urls.slice(0, 2);
  }

  /**
   * Fills the server: resolves when it stores nothing more. The streams are first led by another server, because a
   * leader that is full refuses everything.
   */
  async fill(streams: readonly string[]): Promise<void> {
    for (const stream of streams) await this.#leadElsewhere(stream);
    const junk = { name: "junk", subjects: ["junk"], num_replicas: 1, placement: { tags: [FULL] } };
    await eventually("a stream for junk", async () => (await this.ask("STREAM.CREATE.junk", junk)).error === undefined);
    const body = { junk: "x".repeat(200_000) };
    await eventually("the server to be full", async () => {
      // the first ones find nobody: the other servers have yet to hear of the new stream's subject
      const answer = await askAgain(this.#admin, "junk", body);
      return answer.json<{ error?: unknown }>().error !== undefined;
    });
  }

  /** Gives the server its room back. */
  async makeRoom(): Promise<void> {
    await eventually("the junk to go", async () => {
      const { error } = await this.ask("STREAM.DELETE.junk");
      return error === undefined || error.err_code === 10_059;
    });
  }

  /** Returns the names of a stream's consumers: all, or those at one server. */
  async consumers(stream: string, server?: string): Promise<string[]> {
    const all = await this.#list(stream);
    return all.filter(({ cluster }) => server === undefined || cluster?.leader === server).map(({ name }) => name);
  }

  /** Returns the number of a stream's consumers that list what is stored now: each is a feed, of one watch. */
  async feeds(stream: string): Promise<number> {
    const all = await this.#list(stream);
    return all.filter(({ config }) => config.deliver_policy === DeliverPolicy.LastPerSubject).length;
  }

  async #list(stream: string): Promise<ConsumerInfo[]> {
    const manager = await jetstreamManager(this.#admin, { checkAPI: false, ...PATIENT });
    const all: ConsumerInfo[] = [];
    for await (const consumer of manager.consumers.list(stream)) all.push(consumer);
    return all;
  }

  /** Sends a request to JetStream's API, again until it is answered. */
  async ask(
    operation: string,
    body?: object,
  ): Promise<
    { error?: { err_code: number }; cluster?: { leader?: string; replicas?: Replica[] } }
  > {
    return (await askAgain(this.#admin, `$JS.API.${operation}`, body)).json();
  }

  /** Resolves when the server has all that the stream has. */
  async caughtUp(stream: string): Promise<void> {
    await eventually(`${FULL} to catch up`, async () => {
      const replicas = (await this.ask(`STREAM.INFO.${stream}`)).cluster?.replicas ?? [];
      return replicas.every(({ lag }) => (lag ?? 0) === 0);
    });
  }

  /** Resolves when the stream's leader says that the server has not answered it for longer than any server takes. */
  async knownToStandStill(stream: string): Promise<void> {
    await eventually(`${FULL} to be silent`, async () => {
      const replicas = (await this.ask(`STREAM.INFO.${stream}`)).cluster?.replicas ?? [];
      return replicas.some(({ name, current, active }) => name === FULL && !current && active > SILENT);
    });
  }

  async #leadElsewhere(stream: string): Promise<void> {
    await eventually(`another leader of ${stream}`, async () => {
      const leader = (await this.ask(`STREAM.INFO.${stream}`)).cluster?.leader;
      if (leader === FULL) await this.ask(`STREAM.LEADER.STEPDOWN.${stream}`);
      return leader !== undefined && leader !== "" && leader !== FULL;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.close();
    await this.cluster.stop();
  }
}
