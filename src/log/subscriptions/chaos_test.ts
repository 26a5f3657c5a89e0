import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Faults } from "../../memory/faults.ts";
import { seededRandom } from "../../memory/seeded_random.ts";
import { delay } from "../../ports/clock.ts";
import { sequenceOf } from "../format/group_text.ts";
import { Cluster, events, inOrder, type Node, ofKey, type Run } from "./cluster_suite.ts";

const MESSAGES = 800;
const KEYS = 20;
const FAULTS: Faults = {
  lostAck: 0.02,
  delay: 30,
  staleRead: 0.2,
  redelivery: 0.02,
  cut: { every: 20_000, lasts: 3_000 },
  noLeader: { every: 15_000, lasts: 2_000 },
  noQuorum: { every: 20_000, lasts: 4_000 },
};

/**
 * Runs a cluster whose nodes die, leave and take the lead from each other while messages arrive and handlers fail.
 * Returns how many runs of one key overlapped.
 */
async function chaos(seed: number, faults?: Faults): Promise<number> {
  const random = seededRandom(seed);
  const cluster = new Cluster(seed, faults);
  const running = new Set<Run>();
  let overlaps = 0;
  let started = 0;
  let last = 0;
  const alive = (id: string) => cluster.nodes.some((node) => node.id === id && node.alive);
  const run = async (each: Run) => {
    for (const { key, node } of running) if (key === each.key && alive(node)) overlaps++;
    running.add(each);
    await delay(cluster.clock, random() < 0.02 ? 3_000 * random() : 10 * random());
    running.delete(each);
    return random() < 0.1 ? ["BROKEN", "by chance", 0] as const : 0;
  };
  const handles = { billing: { Placed: { attempts: 50, delay: [50, 8_000] as const } } };
  const start = (): Promise<Node> => cluster.node(`n${started++}`, { handles, run });
  for (let i = 0; i < 3; i++) await start();
  for (let published = 0; published < MESSAGES; published += 40) {
    last = await cluster.publish("Placed", events(40, KEYS, published));
    const nodes = cluster.nodes.filter((node) => node.alive);
    const leader = nodes.find((node) => node.leads("billing"));
    const any = nodes[Math.floor(random() * nodes.length)];
    const chance = random();
    if (chance < 0.1) any.kill();
    else if (chance < 0.2) leader?.kill();
    else if (chance < 0.3) void leader?.subscriptions?.leave().then(() => leader.kill());
    else if (chance < 0.4) await cluster.take("billing", any.id);
    if (chance < 0.3) await start();
    await cluster.clock.advance(400 * random());
  }
  await cluster.until("all are handled", () => new Set(cluster.payloads()).size === MESSAGES, 600_000);
  // messages are handled again if their outcome was not recorded before their leader died
  await cluster.until("nothing is in hand", async () => {
    const { head: { place, open }, parked } = (await cluster.state("billing"))!;
    return sequenceOf(place.read) === last && open.length + parked.size === 0;
  }, 600_000);
  for (let key = 0; key < KEYS; key++) inOrder(cluster.payloads(`k${key}`), ofKey(MESSAGES, KEYS, key));
  assertEquals(cluster.count("log-lost"), 0);
  assertEquals(cluster.count("dead-letter"), 0);
  cluster.close();
  return overlaps;
}

describe("Subscriptions, in chaos", () => {
  for (const seed of [1, 2, 3]) {
    it(`handle all in order, one of a key at a time, while nodes come and go (seed ${seed})`, async () => {
      assertEquals(await chaos(seed), 0);
    });
    it(`handle all in order while the store fails, too (seed ${seed})`, async () => {
      assert(await chaos(seed, FAULTS) === 0);
    });
  }
});
