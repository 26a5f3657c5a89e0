/** The demo's surroundings: a nats-server, a folder and the nodes; removed when it is disposed of. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { findNatsServer, natsServerVersion } from "../../tools/nats_binary.ts";
import { type NatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { OrderBook } from "../orders/order_book.ts";
import { LastWill } from "../../tools/last_will.ts";
import { type DemoNodes, MemoryNodes, ProcessNodes } from "./nodes.ts";

/** Owns everything that must be removed at the end. */
export class Stage {
  /** Orders that the nodes have stored. */
  readonly book: OrderBook;
  readonly #folder = mkdtempSync(join(tmpdir(), "catga-demo-"));
  readonly #file = join(this.#folder, "orders.jsonl");
  readonly #will = new LastWill(this.#folder);
  #server: NatsServer | undefined;
  #processes: ProcessNodes | undefined;

  constructor() {
    this.book = new OrderBook(this.#file);
  }

  /** Address of the nats-server; `undefined`: there is none. */
  get url(): string | undefined {
    return this.#server?.url;
  }

  /** Starts a nats-server if one can be had. `onExit` is called for nodes that end by themselves. */
  async open(onExit: (id: string, how: string) => void): Promise<{ nodes: DemoNodes; title: string }> {
    const { deno, bun } = process.versions;
    const runtime = deno === undefined ? `Bun ${bun}` : `Deno ${deno}`;
    const binary = await findNatsServer();
    if (binary === undefined) {
      console.log(
        "There is no nats-server here and none could be fetched: three nodes in THIS process, on a network in memory.\n" +
          "With nats-server 2.11 or newer on the PATH they are processes, and the kill is a kill.",
      );
      return { nodes: new MemoryNodes(this.#file), title: `3 nodes in one process, in memory, ${runtime}` };
    }
    this.#server = await startNatsServer();
    this.#processes = new ProcessNodes(this.#server.url, this.#file, this.#will, onExit);
    const title = `3 processes, ${runtime}, nats-server ${await natsServerVersion(binary)}`;
    return { nodes: this.#processes, title };
  }

  /** Kills all processes that still run, and deletes the folder. Idempotent. */
  async close(): Promise<void> {
    await this.#processes?.killAll();
    await this.#server?.stop();
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
