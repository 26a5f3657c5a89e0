/**
 * Nodes of a large cluster in one process. `real`: each with its connection to a real server, beside processes with
 * others; `simulated`: all of them in memory, on virtual time.
 */
import process from "node:process";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { type Catga, catga, type Handler, query } from "../../mod.ts";
import { MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";
import { answer } from "./answer.ts";

const [kind, url = ""] = process.argv.slice(2);
const CONTRACTS = 100;
const handlers: Handler[] = Array.from(
  { length: CONTRACTS },
  (_, i) => query<void, void>(`orders.Contract${i}`).handle(() => {}),
);
const logger = { debug() {}, info() {}, warn() {}, error() {} };

/** What a node hears and says in a second in which it has nothing to do, and the processor that it takes, in ms. */
interface Idle {
  readonly heard: number;
  readonly said: number;
  readonly bytes: number;
  readonly processor: number;
}

const apps: Catga[] = [];

/** User and system time of this process, in ms. */
function processor(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function allSee(total: number): boolean {
  return apps.every((app) => app.nodes().length === total);
}

// In memory.

/** Counts what passes the connections of all nodes. */
class CountingNetwork extends MemoryNetwork {
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
const simulated = (i: number) => catga({ network, id: `n${i}`, handlers, logger });

/** Brings the cluster to so many nodes, all at once. */
async function populate({ nodes }: { nodes: number }): Promise<void> {
  apps.push(...await clock.until(Promise.all(Array.from({ length: nodes }, (_, i) => simulated(i)))));
  // all that joined at once have written their records again, for the size that they see now
  await clock.advance(15_000);
}

/** One more: ms until all know it. */
async function join(): Promise<number> {
  const begun = clock.monotonic();
  apps.push(await clock.until(simulated(apps.length)));
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

/** One dies: ms until all know it. */
async function die(): Promise<number> {
  network.kill("n0");
  apps.shift();
  return await reached(clock.monotonic(), apps.length);
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

async function start({ namespace, nodes }: { namespace: string; nodes: number }): Promise<void> {
  const options = { namespace, transport: "node", handlers, logger } as const;
  for (let i = 0; i < nodes; i++) {
    const nats = apps.length === 0 ? watched = await connect({ servers: url }) : url;
    apps.push(await catga({ ...options, nats }));
  }
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

answer(kind === "simulated" ? { populate, join, rest, die } : { start, see, idle });
