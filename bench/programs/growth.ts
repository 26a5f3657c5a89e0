/**
 * Many nodes in one process, each with its connection, on a real server; or, told to `send`, a node without handlers
 * that sends to them.
 */
import process from "node:process";
import { performance } from "node:perf_hooks";
import { connect, type NatsConnection } from "@nats-io/transport-node";
import { type Catga, catga, type Handler, query, unwrap } from "../../mod.ts";
import { answer } from "./answer.ts";

const [role, url] = process.argv.slice(2);
const Measure = query<{ text: string }, number>("Measure");
const measure = Measure.handle(({ text }) => text.length);

/** What a cluster is made of; another one is another cluster. */
interface Kind {
  readonly namespace: string;
  /** How many contracts each node handles, {@link Measure} among them. */
  readonly contracts: number;
}

let apps: Catga[] = [];
/** That of the first node: its traffic is counted. */
let watched: NatsConnection | undefined;

async function start({ namespace, contracts }: Kind): Promise<number> {
  const handlers: Handler[] = [measure];
  for (let i = 1; i < contracts; i++) handlers.push(query<void, void>(`orders.Contract${i}`).handle(() => {}));
  const options = { namespace, transport: "node", handlers } as const;
  if (apps.length === 0) watched = await connect({ servers: url });
  const begun = performance.now();
  apps.push(await catga({ ...options, nats: apps.length === 0 ? watched : url }));
  return performance.now() - begun;
}

/** Resolves when every node sees every other; ms. */
async function together(): Promise<number> {
  const begun = performance.now();
  while (apps.some((app) => app.nodes().filter(({ service }) => service === "app").length !== apps.length)) {
    await new Promise((resolve) => setImmediate(resolve));
  }
  return performance.now() - begun;
}

/** Brings the cluster to so many nodes. */
async function grow({ nodes, ...kind }: Kind & { nodes: number }): Promise<void> {
  while (apps.length < nodes) await start(kind);
  await together();
}

/** The last node leaves and another comes: ms until it is one, and until all know of it. */
async function join(kind: Kind): Promise<{ joined: number; seen: number }> {
  await apps.pop()!.drain();
  await together();
  const joined = await start(kind);
  return { joined, seen: joined + await together() };
}

/** What one idle node hears and says in a second, and how large its record is. */
async function idle({ ms }: { ms: number }): Promise<{ heard: number; said: number; bytes: number; record: number }> {
  const before = watched!.stats();
  await new Promise((resolve) => setTimeout(resolve, ms));
  const after = watched!.stats();
  const rate = (count: "inMsgs" | "outMsgs" | "inBytes") => (after[count] - before[count]) / ms * 1_000;
  const record = new TextEncoder().encode(JSON.stringify(apps[0].self)).length;
  return { heard: rate("inMsgs"), said: rate("outMsgs"), bytes: rate("inBytes"), record };
}

async function end(): Promise<void> {
  await Promise.all(apps.map((app) => app.drain()));
  await watched?.close();
  apps = [];
}

let sender: Catga | undefined;

/** A sender for a cluster of so many nodes. */
async function meet({ namespace, nodes }: { namespace: string; nodes: number }): Promise<void> {
  await sender?.drain();
  sender = await catga({ nats: url, namespace, transport: "node", service: "sender" });
  while (sender.nodes().length < nodes + 1) await new Promise((resolve) => setImmediate(resolve));
}

/** Keeps so many requests with so long a text under way for `ms`; requests per second. */
async function send({ outstanding, length, ms }: { outstanding: number; length: number; ms: number }): Promise<number> {
  const payload = { text: "x".repeat(length) };
  const begun = performance.now();
  let done = 0;
  const caller = async () => {
    while (performance.now() - begun < ms) {
      if (unwrap(await sender!.send(Measure, payload)) !== length) {
        throw new Error("it came otherwise than it was sent");
      }
      done++;
    }
  };
  await Promise.all(Array.from({ length: outstanding }, caller));
  return done / (performance.now() - begun) * 1_000;
}

answer(role === "send" ? { meet, send } : { grow, join, idle, end });
