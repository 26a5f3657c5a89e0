/**
 * Three routed nats-servers, any of which may be stopped, frozen, or replaced by one with an empty store.
 *
 * @module
 */
import { rmSync } from "node:fs";
import { type NatsCluster, startNatsCluster } from "../../tools/nats_server.ts";
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
      async start({ wipe }) {
        if (wipe) rmSync(cluster.servers[index].storeDir, { recursive: true, force: true });
        await cluster.restart(index);
      },
      freeze: () => cluster.servers[index].kill("SIGSTOP"),
      thaw: () => cluster.servers[index].kill("SIGCONT"),
    };
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cluster.stop();
  }
}
