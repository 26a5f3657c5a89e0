/** The nodes of a simulated cluster, and their faults. */
import { delay } from "../../src/ports/clock.ts";
import { type Catga, catga, CatgaError } from "../../mod.ts";
import type { SimulatedTraffic } from "./simulated_traffic.ts";
import type { SimulationRecord } from "./simulation_record.ts";
import type { MemoryNetwork } from "../../src/testing/mod.ts";

/** The nodes with handlers. */
export const SERVERS: readonly string[] = ["a", "b", "c"];
/** The node without. */
export const CLIENT = "z";
/** All of them. */
export const NODES: readonly string[] = [...SERVERS, CLIENT];

const HEARTBEAT = 3_000;
/**
 * How much longer than its timeout a drain may take, in ms: 500 that handlers have after their signals aborted, 500 at
 * most that the endpoint stays for those who still ask, and some ticks.
 */
const DRAIN_GRACE = 1_050;

/** Nodes that come and go. */
export class SimulatedCluster {
  /** Those that are there, frozen ones too. */
  readonly live = new Map<string, Catga>();
  readonly #network: MemoryNetwork;
  readonly #record: SimulationRecord;
  readonly #traffic: SimulatedTraffic;
  /** How many handlers a node runs at once for others. */
  readonly #concurrency: number;
  /** The ids of those that have been there before. */
  readonly #begun = new Set<string>();
  /** Since when they are. */
  readonly #frozen = new Map<string, number>();

  constructor(network: MemoryNetwork, record: SimulationRecord, traffic: SimulatedTraffic, concurrency: number) {
    this.#concurrency = concurrency;
    this.#network = network;
    this.#record = record;
    this.#traffic = traffic;
  }

  /** The ids of those that are there and not frozen. */
  get awake(): string[] {
    return NODES.filter((id) => this.live.has(id) && !this.#frozen.has(id));
  }

  /** Starts a node; again and again, because in a storm that may fail. */
  async start(id: string): Promise<void> {
    const service = id === "c" || id === CLIENT ? id : "app";
    for (let attempt = 1; !this.live.has(id); attempt++) {
      if (this.#begun.has(id)) this.#record.happened({ type: "start", node: id });
      this.#begun.add(id);
      try {
        const app = await catga({
          network: this.#network,
          id,
          service,
          heartbeat: HEARTBEAT,
          concurrency: this.#concurrency,
          handlers: id === CLIENT ? [] : this.#traffic.handlers(id, service),
          logger: this.#record.logger,
        });
        this.live.set(id, app);
        app.closed.catch((error) => this.#record.wrong(`${id} had to stop: ${error}`));
        this.#record.note(`${id} is there`);
      } catch (error) {
        this.#record.note(`${id} cannot start: ${error}`);
        if (!(error instanceof CatgaError) || attempt === 50) throw error;
        await delay(this.#network.clock, 300);
      }
    }
  }

  freeze(id: string, ms: number): void {
    this.#record.note(`freeze ${id} for ${ms}`);
    this.#network.pause(id);
    this.#frozen.set(id, this.#network.clock.monotonic());
    this.#network.clock.after(ms, () => {
      if (this.#frozen.has(id)) this.#network.resume(id);
      this.#resumed(id);
    });
  }

  /** Ends it without a word. */
  kill(id: string): void {
    this.#network.kill(id);
    this.live.delete(id);
    this.#record.happened({ type: "kill", node: id });
  }

  /** Drains it, which takes the timeout and some grace at most. */
  async drain(id: string, timeout: number): Promise<void> {
    const { clock, faults: { delay = 0 } } = this.#network;
    const app = this.live.get(id)!;
    this.live.delete(id);
    this.#record.note(`drain ${id}`);
    const began = clock.monotonic();
    await app.drain({ timeout });
    const took = clock.monotonic() - began;
    this.#record.note(`${id} drained in ${took}`);
    // subscriptions drain, and the connection closes, with a round trip each
    if (took > timeout + DRAIN_GRACE + 6 * delay) {
      this.#record.wrong(`${id} took ${took} to drain, with a timeout of ${timeout}`);
    }
  }

  /** Ends all faults of the network, and resumes frozen nodes. */
  heal(): void {
    this.#network.heal();
    for (const id of [...this.#frozen.keys()]) this.#resumed(id);
  }

  #resumed(node: string): void {
    const since = this.#frozen.get(node);
    if (since === undefined) return;
    this.#frozen.delete(node);
    this.#record.happened({ type: "resume", node, since });
  }
}
