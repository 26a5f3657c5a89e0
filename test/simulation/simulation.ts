/**
 * A cluster under faults for some seconds of virtual time, all of it drawn from one seed: nodes are killed, frozen,
 * drained and started again, connections break, messages are lost or late. Then the faults end, and everything has to
 * work again.
 */
import type { Random } from "../../src/ports/clock.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { checkMessages, type MessageObservation } from "../../src/testing/checkers/messages.ts";
import { CLIENT, NODES, SERVERS, SimulatedCluster } from "./simulated_cluster.ts";
import { answer, SimulatedTraffic } from "./simulated_traffic.ts";
import { SimulationRecord } from "./simulation_record.ts";
import { type Faults, MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";

/** What came of a run. */
export interface Simulated {
  /** What was wrong; nothing, when the cluster kept its promises. */
  readonly violations: readonly string[];
  /** What the program, its handlers and its adversary did. */
  readonly history: readonly MessageObservation[];
  /** All that was seen, with `trace`: a line each. */
  readonly trace: readonly string[];
}

/** How long things go wrong, in ms. */
const STORM = 3_000;
/** How long the cluster has to find together again, in ms: a lost answer of the store, and a record's life. */
const CALM = 9_000;
/** The lease of a claim, in ms. */
const LONGEST_TTL = 20_000;
const SENDS = 28;
/** How many handlers run at once for others where there is a lot of waiting: in a third of the seeds. */
const SCARCE = 2;
/** Nodes that may go for good. */
const MAX_GONE = 2;

/** Runs the cluster of a seed (a safe integer); with `trace` it writes down all that is seen. */
export async function simulate(seed: number, options: { trace?: boolean } = {}): Promise<Simulated> {
  const random = seededRandom(seed);
  const clock = new VirtualClock();
  const record = new SimulationRecord(clock, options.trace ?? false);
  const servers = random() < 0.3 ? 2 : 1;
  const faults = drawFaults(random, servers);
  record.note(`servers ${servers}, faults ${JSON.stringify(faults)}`);
  const network = new MemoryNetwork({ clock, seed, servers });
  const traffic = new SimulatedTraffic(network, random, record);
  const cluster = new SimulatedCluster(network, record, traffic, seed % 3 === 0 ? SCARCE : 1_024);
  try {
    await clock.until(Promise.all(NODES.map((id) => cluster.start(id))));
    await clock.until(Promise.all([...cluster.live.values()].map((app) => traffic.probe(app, SERVERS))));
    network.faults = faults;
    const gone = await storm({ random, clock, record, traffic, cluster });
    cluster.heal();
    await calm(gone, { random, clock, record, traffic, cluster });
    await end({ random, clock, record, traffic, cluster });
  } catch (error) {
    record.wrong(`the run itself failed: ${error instanceof Error ? error.stack : error}`);
  }
  const { wrongs, history, trace } = record;
  return {
    violations: [
      ...wrongs,
      ...checkMessages(history, { answer: (message) => answer(Number(message)) }).map(({ subject, text }) =>
        `${subject}: ${text}`
      ),
    ],
    history,
    trace,
  };
}

interface Simulation {
  /** Of the program and the adversary; the network has another one from the same seed. */
  readonly random: Random;
  readonly clock: VirtualClock;
  readonly record: SimulationRecord;
  readonly traffic: SimulatedTraffic;
  readonly cluster: SimulatedCluster;
}

/** Each kind of fault in half of the seeds. */
function drawFaults(random: Random, servers: number): Faults {
  const chance = (most: number) => random() < 0.5 ? random() * most : 0;
  return {
    drop: chance(0.05),
    delay: Math.round(chance(400)),
    lostAck: chance(0.2),
    earlyExpiry: chance(0.3),
    falseBounce: servers > 1 ? chance(0.2) : 0,
    ...(random() < 0.5 ? { cut: { every: 500 + random() * 2_000, lasts: random() * 500 } } : {}),
  };
}

/** Sends messages and injects faults; returns how many nodes do not come back. */
async function storm({ random, clock, record, traffic, cluster }: Simulation): Promise<number> {
  let gone = 0;
  for (let sent = 0; sent < SENDS;) {
    const burst = random() < 0.2 ? Math.ceil(random() * 8) : 1;
    clock.after(random() * STORM, () => {
      for (let i = 0; i < burst; i++) send();
    });
    sent += burst;
  }
  for (let i = Math.floor(random() * 5); i > 0; i--) clock.after(random() * STORM * 0.8, harm);
  await clock.advance(STORM);
  return gone;

  function send(): void {
    const { awake, live } = cluster;
    const id = random() < 0.7 && awake.includes(CLIENT) ? CLIENT : awake[Math.floor(random() * awake.length)];
    if (id !== undefined) traffic.send(id, live.get(id)!, SERVERS);
  }

  function harm(): void {
    const { awake } = cluster;
    const id = awake[Math.floor(random() * awake.length)];
    if (id === undefined) return;
    const which = random();
    const ms = random() * 1_500;
    if (which < 0.4) return cluster.freeze(id, ms);
    const comesBack = gone === MAX_GONE || random() < 0.7;
    if (!comesBack) gone++;
    const start = () => record.own(cluster.start(id));
    if (which < 0.8) {
      cluster.kill(id);
      if (comesBack) clock.after(ms, start);
    } else {
      record.own(cluster.drain(id, ms).then(() => comesBack && start()));
    }
  }
}

/** Every node sees the live ones and no other, nothing is under way, and sends succeed. */
async function calm(gone: number, { clock, record, traffic, cluster: { live } }: Simulation): Promise<void> {
  await clock.advance(CALM);
  const expected = [...live.keys()].sort().join(" ");
  if (live.size !== NODES.length - gone) record.wrong(`${expected} are there, and ${gone} were to be gone`);
  for (const [id, app] of live) {
    const seen = app.nodes().map((node) => node.id).join(" ");
    if (seen !== expected) record.wrong(`${id} sees ${seen}, not ${expected}`);
    if (app.self.load.inFlight > 0) record.wrong(`${id} still has ${app.self.load.inFlight} under way`);
  }
  const servers = SERVERS.filter((id) => live.has(id));
  await clock.until(Promise.all([...live.values()].map((app) => traffic.probe(app, servers))));
}

/** Drains end, with handlers under way that would not; and nothing is left. */
async function end({ clock, record, traffic, cluster }: Simulation): Promise<void> {
  for (const [id, app] of cluster.live) traffic.add(id, app, -1, { timeout: 10_000 });
  await clock.advance(100);
  await clock.until(Promise.all([...cluster.live.keys()].map((id) => cluster.drain(id, 1_000))), CALM);
  // timers of the dead, and the ttls of their records and claims
  await clock.advance(LONGEST_TTL);
  if (clock.timers > 0) record.wrong(`${clock.timers} timer(s) are left`);
  if (record.pending > 0) record.wrong(`${record.pending} thing(s) never ended`);
}
