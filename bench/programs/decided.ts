/**
 * What a program is made of that changes entities by commands, each one after the other, ours or by hand: one process,
 * with or without another one that decides.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { quantile } from "../statistics.ts";
import { answer } from "./answer.ts";
import { type Order, order } from "./load.ts";
import { type RemoteOptions, started } from "./remote.ts";

/** What a client can do. */
export interface Decider {
  /** Changes an entity by one command; resolves with the number of its events when they are stored. */
  change(entity: string, order: Order): Promise<number>;
  /** Ways to read an entity that this process does not have in memory; each resolves with the number of its events. */
  readonly reads: Readonly<Record<string, (entity: string) => Promise<number>>>;
}

/** A system that is measured. */
export interface Decided {
  /** Resolves when it decides commands of others. */
  node(options: RemoteOptions): Promise<void>;
  /** Resolves when commands can be sent. */
  client(options: RemoteOptions): Promise<Decider>;
}

/** Options of the task `change`: so many entities, each changed by one command after the other. */
export interface Changing {
  readonly entities: number;
  /** How many commands each of them has at once; 1. */
  readonly each?: number;
  readonly ms: number;
}

/**
 * Options of the task `endure`: each of the hot ones is changed by one command after the other, and now and then one of
 * the others.
 */
export interface Enduring {
  readonly entities: number;
  readonly hot: number;
  readonly ms: number;
}

/** Options of the task `read`. */
export interface Reading {
  readonly entity: string;
  /** One of {@link Decider.reads}. */
  readonly way: string;
  readonly count: number;
  /** How many events it must have. */
  readonly events: number;
}

/** Runs the side that the bench started it as. */
export async function runDecided(decided: Decided): Promise<void> {
  const { side, options } = started();
  if (side === "node") {
    await decided.node(options);
    return answer({});
  }
  const { change, reads } = await decided.client(options);
  const events = new Map<string, number>();
  const changeOne = async (entity: string, i: number) => {
    const expected = (events.get(entity) ?? 0) + 1;
    events.set(entity, expected);
    const made = await change(entity, order(i));
    if (made !== expected) throw new Error(`${entity} has ${made} events, not ${expected}`);
  };
  answer({
    /**
     * Gives how many commands were stored a second, the median of how long each took, in ms, and the processor's time
     * that this process took for each, in µs.
     */
    async change({ entities, each = 1, ms }: Changing): Promise<{ rate: number; p50: number; processor: number }> {
      const latencies: number[] = [];
      const [start, before] = [performance.now(), process.cpuUsage()];
      let done = 0;
      let over = false;
      const one = async (entity: string) => {
        for (let i = 0; !over; i++) {
          const sent = entities === 1 ? performance.now() : 0;
          await changeOne(entity, i);
          if (entities === 1) latencies.push(performance.now() - sent);
          if ((++done & 31) === 0 && performance.now() - start > ms) over = true;
        }
      };
      await Promise.all(Array.from({ length: entities * each }, (_, at) => one(`e${at % entities}`)));
      const { user, system } = process.cpuUsage(before);
      return {
        rate: done / (performance.now() - start) * 1_000,
        p50: quantile(latencies, 0.5),
        processor: (user + system) / done,
      };
    },
    /**
     * Gives how many commands were stored a second, and the processor's time that this process took for each, in µs.
     */
    async endure({ entities, hot, ms }: Enduring): Promise<{ rate: number; processor: number }> {
      const [start, before] = [performance.now(), process.cpuUsage()];
      let done = 0;
      const others = Math.floor(entities / hot);
      await Promise.all(Array.from({ length: hot }, async (_, at) => {
        let i = 0;
        do {
          // each has its own share of the others
          await changeOne(i % 10 === 9 ? `o${at}-${(i * 7919) % others}` : `h${at}`, i);
          i++;
          done++;
        } while (performance.now() - start < ms);
      }));
      const { user, system } = process.cpuUsage(before);
      return { rate: done / (performance.now() - start) * 1_000, processor: (user + system) / done };
    },
    /** Brings an entity to so many events. */
    async grow({ entity, events }: { entity: string; events: number }): Promise<void> {
      for (let i = 0; i < events; i++) await changeOne(entity, i);
    },
    /** Reads an entity so often, one time after the other; gives the median, in ms. */
    async read({ entity, way, count, events }: Reading): Promise<number> {
      const took: number[] = [];
      for (let i = 0; i < count; i++) {
        const start = performance.now();
        const read = await reads[way](entity);
        took.push(performance.now() - start);
        if (read !== events) throw new Error(`${way}: ${entity} has ${read} events, not ${events}`);
      }
      return quantile(took, 0.5);
    },
  });
}
