/**
 * Three routed nats-servers, any of which may be stopped, frozen, or replaced by one with an empty store.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { type NatsCluster, startNatsCluster } from "../../tools/nats_server.ts";
import { eventually } from "../support/eventually.ts";
import { connectTo } from "../support/store_check.ts";
import { stopServer, type StormyServer } from "./server_storm.ts";

/** Such servers. */
export class ServerTrio implements AsyncDisposable {
  readonly cluster: NatsCluster;

  private constructor(cluster: NatsCluster) {
    this.cluster = cluster;
  }

  /** Starts them. */
  static async open(): Promise<ServerTrio> {
    return new ServerTrio(await startNatsCluster(3));
  }

  /** All URLs, with commas; that of this server comes first. */
  urlsFrom(first: number): string {
    const { urls } = this.cluster;
    return urls.map((_, i) => urls[(first + i) % urls.length]).join(",");
  }

  /** One of them. A start resolves when JetStream has a leader and every server is sound. */
  server(index: number): StormyServer {
    const { cluster } = this;
    return {
      stop: (by) => stopServer(cluster.servers[index], by),
      start: async ({ wipe }) => {
        if (wipe) {
          await this.#ledWithout(index);
          rmSync(cluster.servers[index].storeDir, { recursive: true, force: true });
        }
        await cluster.restart(index);
      },
      freeze: () => cluster.servers[index].kill("SIGSTOP"),
      thaw: () => cluster.servers[index].kill("SIGCONT"),
    };
  }

  /**
   * Resolves when the two other servers lead all streams, and neither lacks anything: a server with an empty store is
   * no majority with one other server.
   */
  async #ledWithout(index: number): Promise<void> {
    const others = this.cluster.urls.filter((_, other) => other !== index);
    const gone = `n${index}`;
    const connection = await connectTo(others);
    try {
      await eventually("the other servers to lead", async () => {
        const answer = await connection.request("$JS.API.STREAM.LIST", "{}", { timeout: 1_000 }).catch(() => undefined);
        const { streams } = answer?.json<{ streams?: readonly ListedStream[] }>() ?? {};
        return streams?.every(({ cluster: { leader, replicas = [] } }) =>
          leader !== undefined && leader !== "" && leader !== gone &&
          replicas.every(({ name, current }) => name === gone || current)
        );
      });
    } finally {
      await connection.close();
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cluster.stop();
  }
}

/** A stream as JetStream's API lists it. */
interface ListedStream {
  readonly cluster: {
    readonly leader?: string;
    readonly replicas?: readonly { readonly name: string; readonly current: boolean }[];
  };
}
