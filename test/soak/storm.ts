/**
 * Faults for a cluster, drawn from a seed: which, of what process, when and for how long. Two nodes at least are left
 * alone at every moment, and the lasting ones are frozen at worst.
 *
 * @module
 */
import { setTimeout as wait } from "node:timers/promises";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import type { Runtime } from "../processes/node_messages.ts";
import { drawServerBlow } from "../processes/server_storm.ts";
import type { Member, SoakCluster } from "./cluster.ts";

/** How bad a storm is. */
export interface StormOptions {
  readonly seed: number;
  /** The mean time between two blows, in ms. */
  readonly every: number;
  /** How many nodes there are at most. */
  readonly most: number;
  /** How long a membership record lives, in ms: some freezes are longer. */
  readonly heartbeat: number;
  /** The mean time between two blows to the server, in ms; `Infinity` for none. */
  readonly serverEvery: number;
}

/** What may happen, and how often in a hundred. */
const BLOWS = {
  kill: 40,
  freeze: 18,
  cut: 12,
  restart: 15,
  leave: 6,
  join: 6,
  client: 3,
} as const;

type Blow = keyof typeof BLOWS;

const CALM = 2; // nodes that are left alone
const FIRST: readonly Blow[] = ["kill", "restart", "freeze", "join"];

/** A storm over one cluster. */
export class Storm {
  readonly #cluster: SoakCluster;
  readonly #options: StormOptions;
  readonly #random: () => number;
  readonly #blowing: Set<Promise<void>> = new Set();
  /** Blows so far. */
  #blows = 0;
  /** Nodes that are there, or about to be again. */
  #nodes: number;
  #joins = 0;
  #until = 0;

  constructor(cluster: SoakCluster, options: StormOptions) {
    this.#cluster = cluster;
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#nodes = cluster.awake.length;
  }

  /** Rages until a moment, in ms since 1970; resolves when everything is up again. */
  async rage(until: number): Promise<void> {
    this.#until = until;
    await Promise.all([this.#strikeNodes(until), this.#strikeServers(until)]);
  }

  /**
   * The server has a storm of its own, from the same seed. Its store is lost in the first half alone: what a store does
   * not let go of is seen at the end.
   */
  async #strikeServers(until: number): Promise<void> {
    const random = seededRandom(this.#options.seed + 1_000);
    const half = until - (until - Date.now()) / 2;
    for (;;) {
      const pause = random() * 2 * this.#options.serverEvery;
      const which = random();
      if (Date.now() + pause >= until) return;
      await wait(pause);
      await this.#cluster.strikeServer(drawServerBlow(random, { wipes: Date.now() < half }), which);
    }
  }

  async #strikeNodes(until: number): Promise<void> {
    for (;;) {
      const pause = this.#random() * 2 * this.#options.every;
      if (Date.now() + pause >= until) break;
      await wait(pause);
      const blow = this.#blow(FIRST[this.#blows++] ?? this.#draw()).finally(() => this.#blowing.delete(blow));
      this.#blowing.add(blow);
    }
    await Promise.all(this.#blowing);
  }

  #draw(): Blow {
    let left = this.#random() * 100;
    for (const [blow, share] of Object.entries(BLOWS)) if ((left -= share) < 0) return blow as Blow; // its keys
    return "kill";
  }

  async #blow(blow: Blow): Promise<void> {
    const cluster = this.#cluster;
    // drawn whether it is needed or not, so that a seed takes the same course as far as it can
    const [which, long, dice] = [this.#random(), this.#random(), this.#random()];
    const awake = cluster.awake;
    const spare = awake.length > CALM;
    const mortal = spare ? pick(awake.filter(({ lasting }) => !lasting), which) : undefined;
    switch (blow) {
      case "kill":
        if (mortal === undefined) return;
        await cluster.kill(mortal);
        return await this.#again(mortal, long);
      case "freeze": {
        const member = spare ? pick(awake, which) : undefined;
        if (member === undefined) return;
        const { heartbeat } = this.#options;
        const ms = dice < 0.8 ? 50 + long * heartbeat / 3 : heartbeat * (0.5 + long);
        const fatal = !member.lasting && dice % 0.1 < 0.02;
        await cluster.freeze(member, ms, fatal);
        return fatal ? await this.#again(member, long) : undefined;
      }
      case "cut": {
        const linked = spare ? pick(awake.filter(({ link }) => link !== undefined), which) : undefined;
        // a claim outlives a cut of 4 s; what takes longer to come back has some of it left
        return linked && await cluster.cut(linked, 50 + long ** 2 * 3_000, dice < 0.5);
      }
      case "restart":
        return mortal && await cluster.restart(mortal, this.#until);
      case "leave":
        // or they would get few
        if (this.#nodes < this.#options.most) return await this.#blow("join");
        if (mortal === undefined) return;
        this.#nodes--;
        return await cluster.leave(mortal);
      case "join": {
        if (this.#nodes >= this.#options.most) return;
        this.#nodes++;
        const runtime: Runtime = dice < 0.5 ? "deno" : "bun";
        return await cluster.join(runtime, `${runtime}-joined-${++this.#joins}`, this.#until);
      }
      case "client": {
        const clients = [...cluster.members].filter(({ role, state }) => role === "client" && state === "up");
        const client = pick(clients, which);
        return client && await cluster.freeze(client, 50 + long * 3_000);
      }
    }
  }

  /** Starts a killed node again: at once, or after a while. */
  async #again({ runtime, id }: Member, long: number): Promise<void> {
    await wait(Math.max(0, long * 3_000 - 500));
    await this.#cluster.startNode(runtime, id, this.#until);
  }
}

function pick<T>(of: readonly T[], random: number): T | undefined {
  return of[Math.floor(random * of.length)];
}
