/** A cluster in memory, on virtual time, for tests of membership. */
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import { catga, type CatgaOptions } from "../../src/catga.ts";
import { query } from "../../src/contract/declaration/definition.ts";
import type { LogFields } from "../../src/contract/nodes/observer.ts";
import { MemoryNetwork, type MemoryNetworkOptions } from "../../src/memory/network.ts";
import { VirtualClock } from "../../src/memory/virtual_clock.ts";

// loaded now: while a node loads them, virtual time would pass
import "../../src/log/log.ts";
import "../../src/log/running/worker.ts";
import type { NodeChange } from "../../src/contract/nodes/node_info.ts";

/** Answers the node's id. */
export const Who = query<void, string>("Who");
/** Where the records are. */
export const BUCKET = "catga_default_nodes";

/** Several nodes on one network and virtual time. */
export class MemoryCluster implements AsyncDisposable {
  readonly clock = new VirtualClock();
  readonly network: MemoryNetwork;
  readonly apps = new Map<string, Catga>();
  readonly log: string[] = [];

  constructor(options: MemoryNetworkOptions = {}) {
    this.network = new MemoryNetwork({ clock: this.clock, seed: 5, ...options });
  }

  async start(id: string, options: CatgaOptions = {}): Promise<Catga> {
    const write = (message: string, { error }: LogFields) =>
      void this.log.push(error === undefined ? message : `${message} ${error}`);
    const logger = { debug() {}, info: write, warn: write, error: write };
    const handlers = Who.handle((_, ctx) => ctx.node);
    const app = await this.clock.until(catga({ network: this.network, id, handlers, logger, ...options }));
    this.apps.set(id, app);
    await this.clock.advance(0);
    return app;
  }

  static async of(...ids: string[]): Promise<MemoryCluster> {
    const cluster = new MemoryCluster();
    for (const id of ids) await cluster.start(id);
    return cluster;
  }

  kill(id: string): void {
    this.network.kill(id);
    this.apps.delete(id);
  }

  /** The ids that each node sees. */
  views(): string[] {
    return [...this.apps.values()].map((app) => app.nodes().map(({ id }) => id).join(" "));
  }

  /** Its record, as text. */
  async record(id: string): Promise<string | undefined> {
    return (await (await this.network.store.open(BUCKET)).get(id))?.value;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clock.until(Promise.all([...this.apps.values()].map((app) => app.drain())));
  }
}

/** The values of an iterator, as they come. */
export function follow(changes: AsyncIterable<NodeChange>): { events: string[]; ended: () => boolean } {
  const events: string[] = [];
  let ended = false;
  (async () => {
    for await (const { type, node } of changes) events.push(`${type} ${node.id}`);
    ended = true;
  })();
  return { events, ended: () => ended };
}
