/**
 * Nodes of a large cluster in one process. `real`: each with its connection to a real server, beside processes with
 * others; `simulated`: all of them in memory, on virtual time.
 */
import process from "node:process";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { type Catga, catga, type Handler, query } from "../../mod.ts";
import { MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";
import { answer } from "./answer.ts";
import { processor } from "./processor.ts";

const [kind, url = ""] = process.argv.slice(2);
const CONTRACTS = 100;
const handlers: Handler[] = Array.from(
  { length: CONTRACTS },
  (_, i) => query<void, void>(`orders.Contract${i}`).handle(() => {}),
);
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** What a node hears and says in a second in which it has nothing to do, and the processor that it takes, in ms. */
interface Idle {
  readonly heard: number;
  readonly said: number;
  readonly bytes: number;
  readonly processor: number;
}

const apps: Catga[] = [];

function allSee(total: number): boolean {
  return apps.every((app) => app.nodes().length === total);
}

// In memory.

/** Counts what passes the connections of all nodes. */
class CountingNetwork extends MemoryNetwork {
  /** The node that hears nothing. */
  deaf: string | undefined;
  heard = 0;
  said = 0;
  bytes = 0;

  override connect(options?: Parameters<MemoryNetwork["connect"]>[0]): ReturnType<MemoryNetwork["connect"]> {
    const connection = super.connect(options);
    const { store } = connection;
    const { publish, subscribe } = connection;
    const { open } = store;
    connection.publish = (...args) => {
      this.said++;
      return publish.apply(connection, args);
    };
    connection.subscribe = (subject, own, onMessage) =>
      subscribe.call(connection, subject, own, (message) => {
        if (options?.name !== undefined && options.name === this.deaf) return;
        this.heard++;
        this.bytes += message.data.length;
        onMessage(message);
      });
    store.open = async (name, own) => {
      const bucket = await open.call(store, name, own);
      const { watch } = bucket;
      bucket.watch = (prefix, onChange, until) =>
        watch.call(bucket, prefix, (change) => {
          this.heard++;
          if (change.type === "put") this.bytes += change.value.length;
          onChange(change);
        }, until);
      return bucket;
    };
    return connection;
  }
}

const clock = new VirtualClock();
// messages take up to 5 ms each way
const network = new CountingNetwork({ clock, seed: 1, faults: { delay: 5 } });
/** When another node first suspected a node, by its id. */
const suspected = new Map<string, number>();
const logger = {
  ...quiet,
  info(line: string): void {
    const [, observer, id] = /^catga (\S+): node (\S+): suspect$/.exec(line) ?? [];
    if (id !== undefined && observer !== failing && !suspected.has(id)) suspected.set(id, clock.monotonic());
  },
};
const simulated = (id: string) => catga({ network, id, handlers, logger });
/** The node that is frozen or hears nothing: it takes the others for silent. */
let failing: string | undefined;
/** How many nodes have been started. */
let started = 0;

/** Brings the cluster to so many nodes, all at once. */
async function populate({ nodes }: { nodes: number }): Promise<void> {
  apps.push(...await clock.until(Promise.all(Array.from({ length: nodes }, () => simulated(`n${started++}`)))));
  // all that joined at once have written their records again, for the size that they see now
  await clock.advance(15_000);
}

/** One more: ms until all know it. */
async function join(): Promise<number> {
  const begun = clock.monotonic();
  apps.push(await clock.until(simulated(`n${started++}`)));
  return await reached(begun, apps.length);
}

/** For as long as records stand until they are written again. */
async function rest(): Promise<Idle> {
  const seconds = 10 * Math.max(1, apps.length / 32);
  const before = { heard: network.heard, said: network.said, bytes: network.bytes, processor: processor() };
  await clock.advance(seconds * 1_000);
  const rate = (figure: keyof typeof before) =>
    ((figure === "processor" ? processor() : network[figure]) - before[figure]) / apps.length / seconds;
  return { heard: rate("heard"), said: rate("said"), bytes: rate("bytes"), processor: rate("processor") };
}

/** One after the other dies, at various moments, and another one comes: ms until all know it, of each. */
async function die({ times }: { times: number }): Promise<number[]> {
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    await clock.advance(pause(i));
    const [{ self }] = apps.splice(i % apps.length, 1);
    network.kill(self.id);
    took.push(await reached(clock.monotonic(), apps.length));
    await join();
  }
  return took;
}

/** One after the other is frozen, or hears nothing for a while: ms until another one suspects it, of each. */
async function fall({ times, how }: { times: number; how: "frozen" | "deaf" }): Promise<number[]> {
  const took: number[] = [];
  for (let i = 0; i < times; i++) {
    await clock.advance(pause(i));
    const id = failing = apps[i % apps.length].self.id;
    suspected.clear();
    const since = clock.monotonic();
    if (how === "frozen") network.pause(id);
    else network.deaf = id;
    while (!suspected.has(id)) {
      if (clock.monotonic() - since > 60_000) throw new Error(`nobody suspects ${id}`);
      await clock.advance(5);
    }
    took.push(suspected.get(id)! - since);
    network.heal();
    network.deaf = undefined;
    await clock.advance(2_000); // so soon all trust it again
    failing = undefined;
  }
  return took;
}

/** Pause before the next fault, in ms: so that faults meet all moments between two pings. */
function pause(i: number): number {
  return 5_000 + i * 370 % 1_000;
}

async function reached(since: number, total: number): Promise<number> {
  while (!allSee(total)) {
    if (clock.monotonic() - since > 60_000) throw new Error(`${total} nodes do not see each other`);
    await clock.advance(5);
  }
  return clock.monotonic() - since;
}

// On a server.

/** That of the first node: its traffic is counted. */
let watched: NatsConnection | undefined;

/** Starts nodes; gives how many starts had to be tried again, as a platform does, of at most `again` each. */
async function start(
  { namespace, nodes, again = 0 }: { namespace: string; nodes: number; again?: number },
): Promise<number> {
  const options = { namespace, transport: "node", handlers, logger: quiet } as const;
  let repeats = 0;
  for (let i = 0; i < nodes; i++) {
    const nats = apps.length === 0 ? watched ??= await connect({ servers: url }) : url;
    for (let tries = 0;; tries++) {
      try {
        apps.push(await catga({ ...options, nats }));
        break;
      } catch (error) {
        if (tries === again) throw error;
        repeats++;
      }
    }
  }
  return repeats;
}

/** Waits until every node of this process sees so many, for 10 s at most; whether they do. */
async function see({ total }: { total: number }): Promise<boolean> {
  const begun = performance.now();
  while (!allSee(total) && performance.now() - begun < 10_000) await new Promise((resolve) => setTimeout(resolve, 5));
  return allSee(total);
}

async function idle({ ms }: { ms: number }): Promise<Idle> {
  const [before, began] = [watched!.stats(), processor()];
  await new Promise((resolve) => setTimeout(resolve, ms));
  const after = watched!.stats();
  const rate = (count: "inMsgs" | "outMsgs" | "inBytes") => (after[count] - before[count]) / ms * 1_000;
  return {
    heard: rate("inMsgs"),
    said: rate("outMsgs"),
    bytes: rate("inBytes"),
    processor: (processor() - began) / apps.length / ms * 1_000,
  };
}

answer(kind === "simulated" ? { populate, join, rest, die, fall } : { start, see, idle });
