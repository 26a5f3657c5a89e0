/** Apps in memory that handle a durable event on virtual time, what each of them has run, and their deaths. */
import { assertEquals } from "@std/assert";
import type { Context } from "../../src/contract/calls/context.ts";
import { event } from "../../src/contract/declaration/definition.ts";
import type { SubscriptionOptions } from "../../src/contract/declaration/handler.ts";
import type { DeadLetter, SubscriptionInfo } from "../../src/contract/calls/durable_messages.ts";
import type { Catga } from "../../src/contract/nodes/running_node.ts";
import { MemoryCluster } from "./memory_cluster.ts";

/** An event of these tests. */
export interface Order {
  readonly n: number;
  readonly key: string;
}

export const Placed = event<Order>("Placed", { durable: true, key: ({ key }) => key });

/** A run of a handler that has begun. */
export interface OrderRun extends Order {
  readonly node: string;
  readonly attempt: number;
  ended: boolean;
}

/** What a handler does, once its run is noted. */
export type OrderHandler = (order: Order, ctx: Context) => unknown;

/** Nodes of one service with the subscription `billing`, and a publisher without handlers. */
export class LogApps implements AsyncDisposable {
  readonly cluster = new MemoryCluster();
  readonly runs: OrderRun[] = [];
  readonly publisher: Catga;
  readonly #handle: OrderHandler;
  readonly #dead = new Set<string>();

  private constructor(publisher: Catga, cluster: MemoryCluster, handle: OrderHandler) {
    this.publisher = publisher;
    this.cluster = cluster;
    this.#handle = handle;
  }

  static async open(handle: OrderHandler = () => {}): Promise<LogApps> {
    const cluster = new MemoryCluster();
    return new LogApps(await cluster.start("publisher", { service: "web" }), cluster, handle);
  }

  get clock() {
    return this.cluster.clock;
  }

  /** Starts a node of the service. */
  start(
    id: string,
    options: SubscriptionOptions<Order> = {},
    of: { readonly concurrency?: number } = {},
  ): Promise<Catga> {
    const handlers = Placed.on(async (order, ctx) => {
      const run: OrderRun = { ...order, node: id, attempt: ctx.attempt, ended: false };
      // what a dead process does in memory is nothing
      if (this.#dead.has(id)) return await new Promise<never>(() => {});
      this.runs.push(run);
      const result = await this.#handle(order, ctx);
      if (this.#dead.has(id)) return await new Promise<never>(() => {});
      run.ended = true;
      return result;
    }, { name: "billing", ...options });
    return this.cluster.start(id, { service: "shop", handlers, ...of });
  }

  /** Ends a node as a SIGKILL does. */
  kill(id: string): void {
    this.#dead.add(id);
    this.cluster.kill(id);
  }

  /** Publishes events, in this order. */
  async publish(...orders: readonly Order[]): Promise<void> {
    const results = await this.clock.until(Promise.all(orders.map((order) => this.publisher.publish(Placed, order))));
    assertEquals(results.filter(({ ok }) => !ok), []);
  }

  async info(): Promise<SubscriptionInfo> {
    const [info] = await this.clock.until(this.publisher.subscriptions());
    return info;
  }

  letters(): Promise<DeadLetter[]> {
    return this.clock.until(Array.fromAsync(this.publisher.deadLetters()));
  }

  /** The node that leads; there is one. */
  async leader(): Promise<string> {
    let leader: string | undefined;
    await this.until("a leader", async () => {
      ({ leader } = await this.info());
      return leader !== undefined && this.cluster.apps.has(leader);
    });
    return leader!;
  }

  /** Lets time pass, a step of ms at a time, until it holds. */
  async until(what: string, holds: () => boolean | Promise<boolean>, limit = 60_000, step = 5): Promise<void> {
    const end = this.clock.monotonic() + limit;
    while (!await holds()) {
      if (this.clock.monotonic() > end) {
        throw new Error(`${what}: not within ${limit} ms\n${this.cluster.log.join("\n")}`);
      }
      await this.clock.advance(step);
    }
  }

  /** How often an event's handler began. */
  count(n: number): number {
    return this.runs.filter((run) => run.n === n).length;
  }

  /** Returns true if an event was handled to its end. */
  handled(n: number): boolean {
    return this.runs.some((run) => run.n === n && run.ended);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.cluster[Symbol.asyncDispose]();
  }
}
