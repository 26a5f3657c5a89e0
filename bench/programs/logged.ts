/**
 * What a program is made of that stores messages for others and handles them later, ours or a peer's: the side of the
 * nodes, and the side of the one client. Each is a process of its own.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import process from "node:process";
import { quantile } from "../statistics.ts";
import { answer } from "./answer.ts";
import { type Order, order } from "./load.ts";
import { now, type RemoteOptions, started } from "./remote.ts";

/** What is stored: an order, and, where it is timed, when it was published, in ms since 1970, with fractions. */
export interface Stored extends Order {
  readonly at?: number;
}

/** Handles one message. A promise while the bench has not opened the gate. */
export type Handle = (stored: Stored) => Promise<void> | void;

/** What a client can do; both resolve when the message is stored. */
export interface Publisher {
  /** Stores a message that the nodes handle. */
  publish(stored: Stored): Promise<unknown>;
  /** Stores one that nobody handles; with an id, under that. */
  store(stored: Stored, id?: string): Promise<unknown>;
}

/** A system that is measured. */
export interface Logged {
  /** Resolves when what is published from now on comes to `handle`, each message at least once. */
  node(options: RemoteOptions, handle: Handle): Promise<void>;
  /** Resolves when it can publish. */
  client(options: RemoteOptions): Promise<Publisher>;
}

/** What a node has handled since its gate was closed. */
export interface Handled {
  readonly count: number;
  /** When it handled the last one, in ms since 1970, with fractions. */
  readonly last: number;
}

/** Options of the client's `storing`. */
export interface Storing {
  readonly outstanding: number;
  readonly ms: number;
  /** Each message has an id of its own. */
  readonly ids?: boolean;
}

/** Runs the side that the bench started it as. */
export async function runLogged(logged: Logged): Promise<void> {
  const { side, options } = started();
  if (side === "node") await runNode(logged, options);
  else await runClient(logged, options);
}

async function runNode(logged: Logged, options: RemoteOptions): Promise<void> {
  let count = 0;
  let last = 0;
  let latencies: number[] = [];
  let gate: PromiseWithResolvers<void> | undefined = options.closed ? Promise.withResolvers() : undefined;
  const took = ({ at }: Stored) => {
    count++;
    last = now();
    if (at !== undefined) latencies.push(last - at);
  };
  await logged.node(options, (stored) => gate === undefined ? took(stored) : gate.promise.then(() => took(stored)));
  answer({
    close() {
      gate = Promise.withResolvers();
      count = 0;
    },
    open(): number {
      gate?.resolve();
      gate = undefined;
      return now();
    },
    handled: (): Handled => ({ count, last }),
    /** Of the timed ones since they were asked for before. */
    latencies(): number[] {
      const taken = latencies;
      latencies = [];
      return taken;
    },
  });
}

async function runClient(logged: Logged, options: RemoteOptions): Promise<void> {
  const { publish, store } = await logged.client(options);
  let stores = 0;
  answer({
    /** Keeps so many under way; gives how many were stored a second, and the median of how long each took, in ms. */
    async storing({ outstanding, ms, ids = false }: Storing): Promise<{ rate: number; p50: number }> {
      const latencies: number[] = [];
      const start = performance.now();
      let done = 0;
      let over = false;
      await side(outstanding, async (first) => {
        for (let i = first; !over; i++) {
          const sent = outstanding === 1 ? performance.now() : 0;
          await (ids ? store(order(i), `${process.pid}.${stores++}`) : store(order(i)));
          if (outstanding === 1) latencies.push(performance.now() - sent);
          if ((++done & 31) === 0 && performance.now() - start > ms) over = true;
        }
      });
      return { rate: done / (performance.now() - start) * 1_000, p50: quantile(latencies, 0.5) };
    },
    /** Publishes so many, `outstanding` at once. */
    async fill({ count, outstanding }: { count: number; outstanding: number }): Promise<void> {
      let next = 0;
      await side(outstanding, async () => {
        while (next < count) await publish(order(next++));
      });
    },
    /** Publishes one at a time, timed, with a pause in between. */
    async paced({ count, pause }: { count: number; pause: number }): Promise<void> {
      for (let i = 0; i < count; i++) {
        await publish({ ...order(i), at: now() });
        if (pause > 0) await new Promise((resolve) => setTimeout(resolve, pause));
      }
    },
  });
}

async function side(callers: number, caller: (first: number) => Promise<void>): Promise<void> {
  await Promise.all(Array.from({ length: callers }, (_, at) => caller(at * 1_000)));
}
