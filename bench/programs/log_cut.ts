/**
 * A subscription whose leader loses its connection for a while: three nodes in memory, on virtual time, and 50 events a
 * second of 20 keys.
 */
import { type Catga, catga, event } from "../../mod.ts";
import { MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";
import { answer } from "./answer.ts";

/** The effects of some outages of the leader, a figure for each outage. */
export interface Cut {
  /** The longest time from the publishing of an event to the end of its handler, in ms. */
  readonly longest: readonly number[];
  /** Number of events that were handled more than once. */
  readonly twice: readonly number[];
}

const EVERY = 20; // ms between two events
const WORK = 20; // ms that a handler takes
/** Time for which an outage has effects, in ms. */
const AFTER = 6_000;

/** Cuts the leader off for `ms`, so many times. */
async function cut({ ms, times }: { ms: number; times: number }): Promise<Cut> {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1, faults: { delay: 3 } });
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const Noted = event<number>("Noted", { durable: true, key: (n) => `${n % 20}` });
  const published: number[] = [];
  const ends: number[][] = [];
  const nodes = new Map<string, Catga>();
  const handler = Noted.on(async (n) => {
    await new Promise<void>((resolve) => void clock.after(WORK, resolve));
    (ends[n] ??= []).push(clock.monotonic());
  }, { name: "noted" });
  for (const id of ["a", "b", "c"]) {
    nodes.set(id, await clock.until(catga({ network, id, service: "node", handlers: [handler], logger })));
  }
  const client = await clock.until(catga({ network, id: "client", logger }));
  const publish = () => {
    clock.after(EVERY, publish);
    void client.publish(Noted, published.length);
    published.push(clock.monotonic());
  };
  publish();
  await clock.advance(10_000);
  const cuts: number[] = [];
  for (let i = 0; i < times; i++) {
    await clock.advance(4_000 + i * 370 % 1_000);
    const leader = [...nodes].find(([, app]) => app.health().subscriptions[0].state !== "following")?.[0];
    if (leader === undefined) throw new Error("nobody leads");
    cuts.push(published.length);
    network.cut(leader);
    await clock.advance(ms);
    network.restore(leader);
    await clock.advance(AFTER);
  }
  const touched = cuts.map((first) => {
    // those that were handled since the last commit when the connection broke, too
    const events = Array.from({ length: (ms + AFTER - 1_000) / EVERY }, (_, i) => first - 50 + i);
    return events.map((n) => ({ took: ends[n][0] - published[n], times: ends[n].length }));
  });
  return {
    longest: touched.map((events) => Math.max(...events.map(({ took }) => took))),
    twice: touched.map((events) => events.filter(({ times }) => times > 1).length),
  };
}

answer({ cut });
