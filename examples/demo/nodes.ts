/**
 * The nodes of the demo: processes of `examples/orders/node.ts`, or, where there is no NATS, apps on a network in
 * memory.
 */
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { createInterface } from "node:readline";
import { setTimeout as delay } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { type Catga, catga, type CatgaOptions, type Logger } from "@catga/catga";
import { OrderBook } from "../orders/order_book.ts";
import { orders } from "../orders/orders.ts";
import type { LastWill } from "../../tools/last_will.ts";
import { MemoryNetwork } from "@catga/catga/testing";

/** Time that the handler takes for an order, in ms. */
export const WORK_MS = 80;

/** Nodes that can be started and killed, by id. */
export interface DemoNodes {
  /** Options with which a client joins the nodes. */
  readonly connection: Pick<CatgaOptions, "nats" | "network">;
  /** Text that says what {@link kill} does. */
  readonly killing: string;
  /** Starts a node. Resolves with the time from `catga()` to routable, in ms; rejects if the node does not start. */
  start(id: string): Promise<number>;
  /** Ends a node without a drain, as a crash does. */
  kill(id: string): void;
  /** Returns a text that says in which process a node runs. */
  where(id: string): string;
  /** Drains all nodes. */
  stop(): Promise<void>;
}

/** Nodes in processes of their own. */
export class ProcessNodes implements DemoNodes {
  readonly connection: { readonly nats: string };
  readonly killing = "SIGKILL";
  readonly #file: string;
  readonly #will: LastWill;
  readonly #onExit: (id: string, how: string) => void;
  readonly #children = new Map<string, ChildProcess>();

  /** `onExit` is called for a node that ends by itself after its start. */
  constructor(nats: string, file: string, will: LastWill, onExit: (id: string, how: string) => void) {
    this.connection = { nats };
    this.#file = file;
    this.#will = will;
    this.#onExit = onExit;
  }

  start(id: string): Promise<number> {
    const options = ["--nats", this.connection.nats, "--id", id, "--file", this.#file, "--work-ms", `${WORK_MS}`];
    const child = spawn(process.execPath, [...RUN, NODE, ...options], {
      env: { ...process.env, NO_COLOR: "1" },
      stdio: ["ignore", "pipe", "pipe"],
    });
    this.#children.set(id, child);
    this.#remember();
    let complaints = "";
    child.stderr!.setEncoding("utf8").on("data", (text: string) => complaints = (complaints + text).slice(-4_000));
    return new Promise((resolve, reject) => {
      let ready = false;
      const fail = (why: string) => {
        clearTimeout(timer);
        reject(new Error(`${id} did not start: ${why}\n${complaints.trim()}`));
      };
      const timer = setTimeout(() => {
        fail(`it was not ready after ${START_LIMIT / 1_000} s`);
        child.kill("SIGKILL");
      }, START_LIMIT);
      createInterface({ input: child.stdout! }).on("line", (line) => {
        const ms = /routable ([\d.]+) ms after/.exec(line)?.[1];
        if (ms === undefined) return;
        clearTimeout(timer);
        ready = true;
        resolve(Number(ms));
      });
      child.once("error", (error) => fail(error.message));
      // "close" comes when all output has been read; killed and stopped nodes are no longer in the map
      child.once("close", (code, signal) => {
        const how = `its process ended with ${signal ?? `exit code ${code}`}`;
        if (!ready) return fail(how);
        if (this.#children.get(id) !== child) return;
        this.#forget(id);
        this.#onExit(id, `${how}\n${complaints.trim()}`.trim());
      });
    });
  }

  kill(id: string): void {
    this.#children.get(id)?.kill("SIGKILL");
    this.#forget(id);
  }

  where(id: string): string {
    const pid = this.#children.get(id)?.pid;
    return pid === undefined ? "" : `pid ${pid}`;
  }

  stop(): Promise<void> {
    return this.#end("SIGTERM");
  }

  /** Kills all nodes; resolves when their processes have ended. */
  killAll(): Promise<void> {
    return this.#end("SIGKILL");
  }

  async #end(signal: "SIGTERM" | "SIGKILL"): Promise<void> {
    const children = [...this.#children.values()];
    this.#children.clear();
    const ended = Promise.all(children.map((child) =>
      new Promise<void>((resolve) => {
        if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return resolve();
        child.once("exit", () => resolve());
        child.kill(signal);
      })
    ));
    const timer = setTimeout(() => children.forEach((child) => child.kill("SIGKILL")), DRAIN_LIMIT);
    await ended;
    clearTimeout(timer);
    this.#remember();
  }

  #forget(id: string): void {
    this.#children.delete(id);
    this.#remember();
  }

  #remember(): void {
    this.#will.kill([...this.#children.values()].flatMap(({ pid }) => pid ?? []));
  }
}

const NODE = fileURLToPath(new URL("../orders/node.ts", import.meta.url));
const RUN = process.versions.deno === undefined ? [] : ["run", "--quiet", "-A"];
const START_LIMIT = 30_000;
const DRAIN_LIMIT = 3_000;

/** Nodes in this process. A kill is simulated: it cuts the connection of the node for good. */
export class MemoryNodes implements DemoNodes {
  readonly connection: { readonly network: MemoryNetwork };
  readonly killing = "its connection cut: there is no process to kill";
  readonly #network = new MemoryNetwork();
  readonly #book: OrderBook;
  readonly #nodes = new Map<string, Catga>();
  readonly #killed: Catga[] = [];

  constructor(file: string) {
    this.connection = { network: this.#network };
    this.#book = new OrderBook(file);
  }

  async start(id: string): Promise<number> {
    const work = () => delay(WORK_MS / 2);
    const started = performance.now();
    const app = await catga({
      handlers: orders({ book: this.#book, charge: work, pack: work }),
      network: this.#network,
      service: "orders",
      id,
      logger: SILENT,
    });
    this.#nodes.set(id, app);
    return performance.now() - started;
  }

  kill(id: string): void {
    const app = this.#nodes.get(id);
    if (app === undefined) return;
    this.#network.cut(id);
    this.#killed.push(app);
    this.#nodes.delete(id);
  }

  where(id: string): string {
    return this.#nodes.has(id) ? "in memory" : "";
  }

  async stop(): Promise<void> {
    const apps = [...this.#nodes.values(), ...this.#killed];
    await Promise.all(apps.map((app) => app.drain({ timeout: DRAIN_LIMIT })));
  }
}

/** Logger of nodes: a node that was cut off would log on the demo's terminal. */
const SILENT: Logger = { debug() {}, info() {}, warn() {}, error() {} };
