/**
 * Two entities under faults for some seconds of virtual time, all of it drawn from one seed: nodes are killed, frozen
 * and cut off, answers of the stream are lost, it has no leader or no quorum, or it comes back without its last
 * messages. Commands are sent again with their ids; at the end the stream says which were applied, and all nodes load
 * what it says.
 *
 *   … test/simulation/entity_simulation.ts 42
 *
 * prints what went wrong, for `0..99` that of each of these seeds, and with `first` no more than that of the first that
 * went wrong. With `blocked` some decisions also compute for seconds, so that their process stands still.
 *
 * @module
 */
import process from "node:process";
import { type Catga, catga, CatgaError } from "../../mod.ts";
import { streamName } from "../../src/log/format/stream_name.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { delay, type Random } from "../../src/ports/clock.ts";
import { Add, type EntityLine, Ledger, sum, withEntry } from "../processes/entity_contracts.ts";
import {
  type EntitySums,
  entitySums,
  entityViolations,
  type StoredCommand,
  storedCommands,
  type StoredLoss,
} from "../support/entity_history.ts";
import { type Faults, MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";

// loaded now: while a node loads them, virtual time would pass
import "../../src/log/log.ts";
import "../../src/entities/entities.ts";

/** What came of a run. */
export interface SimulatedEntities {
  readonly violations: readonly string[];
  readonly sums: EntitySums;
}

const SERVERS: readonly string[] = ["a", "b", "c"];
const CLIENT = "z";
/** How long things go wrong, in ms. */
const STORM = 6_000;
/**
 * How long the stream is away at most before it comes back without its last messages, in ms: nobody is healed
 * meanwhile.
 */
const OUTAGE = 3_100;
const COMMANDS = 40;
/** Longest time for which a decision blocks its process, in ms; timeouts of commands are shorter and longer. */
const BLOCK = 5_000;
const ENTITIES = ["hot", "warm"] as const;
/**
 * How long a command that is sent when nothing goes wrong any more may take, in ms: a lost answer of the stream takes 5
 * s.
 */
const CALM = 30_000;

/**
 * Runs the cluster of a seed (a safe integer). `blocked`: part of the decisions that block the loop of their process
 * for up to {@link BLOCK} ms.
 */
export async function simulateEntities(seed: number, { blocked = 0 } = {}): Promise<SimulatedEntities> {
  const random = seededRandom(seed);
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed });
  const run = new Run(network, clock, random, blocked);
  await clock.until(Promise.all([...SERVERS, CLIENT].map((id) => run.start(id))));
  const loses = random() < 0.5;
  // some begin shortly before a snapshot
  if (random() < 0.5) await clock.until(run.fill(Math.floor(random() * 110)), CALM);
  const faults = drawFaults(random);
  // a leader without its quorum has all that it was sent: then nothing is lost
  network.faults = loses ? { ...faults, noQuorum: undefined, noLeader: undefined } : faults;
  if (loses) { for (let n = 0; n <= random() * 2; n++) clock.after(random() * (STORM - OUTAGE), () => run.lose()); }
  for (let n = 0; n < COMMANDS; n++) clock.after(random() * STORM, () => run.send(n));
  for (let n = Math.floor(random() * 4); n > 0; n--) clock.after(random() * STORM, () => run.harm());
  await clock.advance(STORM);
  network.heal();
  await clock.advance(CALM / 2);
  await clock.until(run.settled(), 10 * CALM);
  const stored = readStored(network);
  await clock.until(run.checkLoads(stored), CALM);
  await clock.until(run.stop(), 10 * CALM);
  const violations = ENTITIES.flatMap((entity) => {
    const lines = run.lines.filter(({ entry }) => entityOf(entry) === entity);
    const of = stored.filter((each) => each.entity === entity);
    return entityViolations(lines, of, { clocks: 0, losses: run.losses });
  });
  return { violations: [...run.wrong, ...violations], sums: entitySums(run.lines, stored) };
}

class Run {
  readonly lines: EntityLine[] = [];
  readonly wrong: string[] = [];
  readonly losses: StoredLoss[] = [];
  readonly #network: MemoryNetwork;
  readonly #clock: VirtualClock;
  readonly #random: Random;
  readonly #blocked: number;
  readonly #live = new Map<string, Catga>();
  readonly #sends = new Set<Promise<void>>();
  /** The stream is away, and comes back without its last messages. */
  #away = false;
  /** The entries that were acknowledged, and whether they asked to be refused. */
  readonly #ended = new Map<string, boolean>();

  constructor(network: MemoryNetwork, clock: VirtualClock, random: Random, blocked: number) {
    this.#network = network;
    this.#clock = clock;
    this.#random = random;
    this.#blocked = blocked;
  }

  /** Starts a node; again and again, because in a storm that may fail. */
  async start(id: string): Promise<void> {
    const [network, clock] = [this.#network, this.#clock];
    const thinks = this.#random() < 0.5;
    const think = async (ms: number) => thinks ? await delay(network.clockOf(id), ms) : undefined;
    const handlers = id === CLIENT ? [] : Ledger.handle(Add, async (ledger, command) => {
      await think(this.#random() ** 3 * 300);
      const mayBlock = this.#blocked > 0 && !command.entry.startsWith("f"); // what fills is to be quick
      if (mayBlock && this.#random() < this.#blocked) await this.#block(id);
      return sum(ledger, command);
    });
    for (let attempt = 1;; attempt++) {
      try {
        const app = await catga({ network, id, handlers, heartbeat: 3_000, logger: SILENT });
        return void this.#live.set(id, app);
      } catch (error) {
        if (!(error instanceof CatgaError) || attempt === 50) throw error;
        await delay(clock, 300);
      }
    }
  }

  /** Blocks the loop of a node, as a decision that computes does, and goes on at once when it has ended. */
  async #block(id: string): Promise<void> {
    const [network, ms] = [this.#network, this.#random() * BLOCK];
    const app = this.#live.get(id);
    if (app === undefined) return; // it starts, or was killed
    network.pause(id);
    this.#clock.after(ms, () => this.#live.get(id) === app && network.resume(id));
    await delay(network.clockOf(id), 0);
  }

  /** Kills a node, which comes back, freezes it, or cuts it off. */
  harm(): void {
    const random = this.#random;
    const ids = SERVERS.filter((id) => this.#live.has(id));
    const id = ids[Math.floor(random() * ids.length)];
    if (id === undefined) return;
    const [how, ms] = [random(), random() * 2_500];
    if (how < 0.4) {
      this.#network.kill(id);
      this.#live.delete(id);
      this.#clock.after(ms, () => this.#own(this.start(id)));
    } else if (how < 0.7) {
      this.#network.pause(id);
      this.#clock.after(ms, () => this.#live.has(id) && this.#network.resume(id));
    } else {
      this.#network.cut(id);
      this.#clock.after(ms, () => this.#live.has(id) && this.#network.restore(id));
    }
  }

  /** Has so many commands applied. */
  async fill(count: number): Promise<void> {
    for (let n = 0; n < count; n++) await this.#send(`f${n}`, false);
  }

  /**
   * The stream comes back without its last messages: with its clients' connections, or behind these. What was lost is
   * sent again.
   */
  lose(): void {
    const [clock, random, { log }] = [this.#clock, this.#random, this.#network];
    const name = streamName("default", "entities");
    if (this.#away) return;
    this.#away = true;
    const behind = random() < 0.5;
    log.begin("noLeader");
    if (!behind) { for (const id of this.#live.keys()) this.#network.cut(id); }
    const truncate = () => {
      const all = readStored(this.#network);
      const lost = all.slice(all.length - Math.floor(random() * 6));
      const first = lost[0]?.sequence;
      if (first !== undefined) log.truncate(name, first - 1, { quietly: true });
      const entries = new Set(lost.flatMap(({ entries }) => entries));
      this.losses.push({ at: clock.now(), entries });
      log.end("noLeader");
      this.#away = false;
      if (!behind) { for (const id of this.#live.keys()) this.#network.restore(id); }
      // those whose senders do not wait any more
      for (const entry of entries) {
        const refused = this.#ended.get(entry);
        if (refused !== undefined && random() < 0.5) this.#own(this.#sendAgain(entry, refused));
      }
    };
    // later than anything that was under way
    clock.after(behind ? 1_000 + random() * (OUTAGE - 1_100) : 300 + random() * 1_000, truncate);
  }

  /** All nodes load what is stored. */
  async checkLoads(stored: readonly Stored[]): Promise<void> {
    for (const entity of ENTITIES) {
      const state = stored.filter((each) => each.entity === entity).flatMap(({ entries }) => entries).reduce(
        (state, entry) => withEntry(state, { entry }),
        Ledger["~entity"].initial(entity),
      );
      for (const [id, app] of this.#live) {
        const loaded = await app.load(Ledger, entity).catch((error) => void this.wrong.push(`${id} loads: ${error}`));
        if (loaded === undefined) continue;
        if (loaded.state.check === state.check && loaded.version === state.count) continue;
        this.wrong.push(
          `${id} loads version ${loaded.version} of ${entity}; ${state.count} are stored, or others of as many`,
        );
      }
    }
  }

  /** Sends one command until it is known what became of it. */
  send(n: number): void {
    this.#own(this.#send(`e${n}`, this.#random() < 0.4));
  }

  async #send(entry: string, refused: boolean): Promise<void> {
    const clock = this.#clock;
    this.lines.push({ event: "sent", entry, at: clock.now(), refused });
    await this.#sendAgain(entry, refused);
  }

  async #sendAgain(entry: string, refused: boolean): Promise<void> {
    const [clock, random] = [this.#clock, this.#random];
    const firstSent = new Date(clock.now());
    let unknown = false;
    for (let left = 30;; left--) {
      const senders = [...this.#live.values()].filter(({ self }) => self.id === CLIENT || random() < 0.2);
      const app = senders[Math.floor(random() * senders.length)] ?? this.#live.get(CLIENT)!;
      const timeout = 300 + Math.round(random() * 4_000);
      const began = clock.now();
      const due = began + timeout;
      const options = {
        ...(random() < 0.2 ? { node: SERVERS[Math.floor(random() * SERVERS.length)] } : {}),
        ...{ id: entry, timeout, retries: Math.floor(random() * 4) },
        ...(left < 30 && random() < 0.5 ? { firstSent } : {}),
      };
      // what a node sends that is killed has no result
      const sent = app.send(Add, { id: entityOf(entry), entry, refused }, options);
      const lost = delay(clock, timeout + 100).then(() => undefined);
      const result = await Promise.race([sent, lost]);
      const how = result === undefined ? "OUTCOME_UNKNOWN" : result.ok ? "ok" : result.error.code;
      const given = result?.ok ? result.value : result?.error?.code === "REFUSED" ? result.error.details : undefined;
      const version = given === undefined ? {} : { version: given as number };
      this.lines.push({ event: "answered", entry, how, ...version, at: clock.now(), began, due });
      if (how === "ok") this.#ended.set(entry, refused);
      if (how === "ok" || how === "REFUSED") return;
      if (left === 0) return void this.wrong.push(`${entry} never succeeded: ${how}`);
      unknown ||= how === "OUTCOME_UNKNOWN";
      // one of unknown outcome may be decided until its deadline
      await delay(clock, (unknown ? Math.max(0, due - clock.now()) : 0) + 100 + random() * 200);
      // certainly not applied, so that it may be sent with another id
      if (!unknown) return await this.#send(`${entry}'`, refused);
    }
  }

  async settled(): Promise<void> {
    while (this.#sends.size > 0) await Promise.all(this.#sends);
  }

  async stop(): Promise<void> {
    await Promise.all([...this.#live.values()].map((app) => app.drain({ timeout: 1_000 })));
  }

  #own(work: Promise<void>): void {
    const owned = work.catch((error) => void this.wrong.push(`${error}`)).finally(() => this.#sends.delete(owned));
    this.#sends.add(owned);
  }
}

/** Each kind of fault in half of the seeds. */
function drawFaults(random: Random): Faults {
  const chance = (most: number) => random() < 0.5 ? random() * most : 0;
  const outages = (name: string, every: number, lasts: number) =>
    random() < 0.5 ? { [name]: { every: every + random() * every, lasts: random() * lasts } } : {};
  return {
    ...{ drop: chance(0.03), delay: Math.round(chance(200)), lostAck: chance(0.2), staleRead: chance(0.5) },
    ...outages("cut", 1_000, 800),
    ...outages("noLeader", 2_000, 1_000),
    ...outages("noQuorum", 2_000, 2_000),
  };
}

/** The entity that an entry is for: every third command is for the second one. */
function entityOf(entry: string): string {
  return ENTITIES[/^e\d/.test(entry) && Number.parseInt(entry.slice(1)) % 3 === 0 ? 1 : 0];
}

/** A command as the stream has it, with its entity and the sequence of its message. */
interface Stored extends StoredCommand {
  readonly entity: string;
  readonly sequence: number;
}

function readStored(network: MemoryNetwork): Stored[] {
  return network.log.messages(streamName("default", "entities")).flatMap((message) => {
    const entity = message.subject.split(".").at(-1)!; // subjects have tokens
    return storedCommands("default", message).map((command) => ({ ...command, entity, sequence: message.sequence }));
  });
}

const SILENT = { debug() {}, info() {}, warn() {}, error() {} };

if (import.meta.main) {
  const [first, to = first] = (process.argv[2] ?? "").split("..").map(Number);
  let [last, wrong] = [to, 0];
  const how = process.argv.slice(3);
  for (let seed = first; seed <= last; seed++) {
    const { violations, sums } = await simulateEntities(seed, how.includes("blocked") ? { blocked: 0.1 } : {});
    if (violations.length > 0 && ++wrong === 1 && how.includes("first")) last = seed;
    if (violations.length > 0 || first === to) console.log(JSON.stringify({ seed, violations, sums }));
  }
  console.log(JSON.stringify({ seeds: last - first + 1, wrong }));
  process.exit(wrong === 0 ? 0 : 1);
}
