/** Many nodes in one process that have counted something; or, told to `ask`, a tool that asks them what. */
import process from "node:process";
import { performance } from "node:perf_hooks";
import { type Catga, catga, fail, query } from "../../mod.ts";
import { readRecord } from "../../src/cluster/membership/node_record.ts";
import { Pinger } from "../../src/cli/cluster/pinger.ts";
import { readNodeStats } from "../../src/cli/cluster/node_stats.ts";
import { openNats } from "../../src/nats/open.ts";
import { answer } from "./answer.ts";
import { processor } from "./processor.ts";

const [role, url] = process.argv.slice(2);
const apps: Catga[] = [];

/** Starts the nodes, each with all the contracts, and has each send all of them: to every other one sooner or later. */
async function grow({ nodes, contracts }: { nodes: number; contracts: number }): Promise<void> {
  const all = Array.from({ length: contracts }, (_, i) => query<number, number>(`orders.Contract${i}`));
  const handlers = all.map((each) => each.handle((n) => n % 10 === 0 ? fail("NO_STOCK", "none is left") : n));
  while (apps.length < nodes) apps.push(await catga({ nats: url, transport: "node", namespace: "counts", handlers }));
  while (apps.some((app) => app.nodes().length < nodes)) await new Promise((resolve) => setImmediate(resolve));
  for (const app of apps) {
    for (let round = 0; round < 10; round++) {
      await Promise.all(all.map((each) => app.send(each, round, { route: "random" })));
    }
  }
}

/** Asks every node so many times a second; how many answers came, and how long one is. */
async function ask({ rate, ms }: { rate: number; ms: number }): Promise<{ answers: number; bytes: number }> {
  const { transport, store } = await openNats(url, {
    name: "counts",
    transport: "node",
    onError: console.error,
    onForbidden: console.error,
    onNotice: () => {},
    passive: true,
  });
  using pinger = new Pinger(transport, "counts");
  const entries = await (await store.open("catga_counts_nodes")).entries("");
  const nodes = entries.map(({ key, value }) => readRecord(key, value)).filter((info) => typeof info !== "string");
  let [answers, bytes] = [0, 0];
  const begun = performance.now();
  for (let round = 1; performance.now() - begun < ms; round++) {
    await Promise.all(nodes.map(async ({ endpoint }) => {
      const told = await pinger.stats(endpoint, 30_000);
      if (told.type !== "stats") throw new Error(`${endpoint}: ${told.type}`);
      const stats = readNodeStats(endpoint, told.stats);
      if (typeof stats === "string") throw new Error(stats);
      answers++;
      if (round === 1) bytes = Math.max(bytes, JSON.stringify(told.stats).length);
    }));
    const left = round * 1_000 / rate - (performance.now() - begun);
    if (left > 0) await new Promise((resolve) => setTimeout(resolve, left));
  }
  await transport.close();
  return { answers, bytes };
}

answer(role === "ask" ? { ask } : { grow, cpu: processor });
