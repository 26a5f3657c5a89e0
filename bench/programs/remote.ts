/**
 * What a remote program is made of, ours or a peer's: the side of the nodes, and the side of the one client. Each is a
 * process of its own.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { answer } from "./answer.ts";
import { closedLoop, type ClosedOptions, type Latencies, openLoop, type Order, order, type Send } from "./load.ts";

/** What the bench says to a program when it starts it. */
export interface RemoteOptions {
  /** Of the nats-server. */
  readonly url: string;
  /** Keeps the programs of one variant apart from those of the others. */
  readonly group: string;
  /** Which client of nats.js, where there is a choice. */
  readonly transport?: "deno" | "node";
  /** What is particular to the variant. */
  readonly variant?: string;
  /** How many nodes there are. */
  readonly nodes?: number;
  /** Folder with the socket of a PostgreSQL server, and the folder that has its client. */
  readonly database?: { readonly socket: string; readonly client: string };
  /** True if nodes handle nothing until they are told to. */
  readonly closed?: boolean;
}

/** Gives one event away. */
export type Publish = (order: Order) => unknown;

/** What the client can do. */
export interface Client {
  readonly send: Send;
  readonly publish?: Publish;
}

/** A system that is measured. */
export interface Remote {
  /** Answers orders by `work`, and calls `heard` for each event; resolves when it is ready. */
  node(options: RemoteOptions, heard: () => void): Promise<void>;
  /** Resolves when it can send. */
  client(options: RemoteOptions): Promise<Client>;
}

/** What came of publishing. */
export interface Published {
  readonly count: number;
  /** When the first one was given away, in ms since 1970, with fractions. */
  readonly start: number;
}

/** What a node has heard since it was asked before. */
export interface Heard {
  readonly count: number;
  /** When it heard the last one, in ms since 1970, with fractions. */
  readonly last: number;
}

/** What the bench started this program as: the side, `node` or `client`, and its options. */
export function started(): { side: string; options: RemoteOptions } {
  const [side, text] = process.argv.slice(2);
  return { side, options: JSON.parse(text) };
}

/** Runs the side that the arguments name. */
export async function runRemote(remote: Remote): Promise<void> {
  const { side, options } = started();
  if (side === "node") {
    let count = 0;
    let last = 0;
    await remote.node(options, () => {
      count++;
      last = now();
    });
    answer({
      heard(): Heard {
        return { count, last };
      },
      forget() {
        count = 0;
      },
    });
    return;
  }
  const { send, publish } = await remote.client(options);
  answer({
    closed: (options: ClosedOptions) => closedLoop(send, options),
    open: (options: { rate: number; ms: number }): Promise<Latencies> => openLoop(send, options),
    publish: async (options: { perTurn: number; ms: number; most: number }): Promise<Published> => {
      if (publish === undefined) throw new Error("it publishes nothing");
      const start = now();
      let count = 0;
      while (count < options.most && now() - start < options.ms) {
        for (let i = 0; i < options.perTurn; i++) publish(order(count++));
        await new Promise((resolve) => setImmediate(resolve));
      }
      return { count, start };
    },
  });
}

/** The time of day as finely as the runtime has it: the sides are on one machine. */
export function now(): number {
  return performance.timeOrigin + performance.now();
}
