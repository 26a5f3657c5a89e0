/**
 * A large cluster in storms, on virtual time, all of it drawn from one seed: nodes restart in crowds, a third of them
 * vanishes, the server goes and all reconnect at once, forged records arrive. Requests go on meanwhile. Each must have
 * a result, nobody may believe a forged record, and all views must be right 3 s after the last fault.
 *
 * `deno run -A test/simulation/storm_simulation.ts 42 1000` prints what became of a seed; `0..49 1000` of many.
 */
import process from "node:process";
import { delay, type Random } from "../../src/ports/clock.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { type Catga, catga, CatgaError, query } from "../../mod.ts";
import { MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";

/** What can happen; each seed has two of them. */
export type Storm = "restart" | "vanish" | "server" | "forged";
const STORMS: readonly Storm[] = ["restart", "vanish", "server", "forged"];

/** What came of a seed. */
export interface Stormed {
  readonly storms: readonly Storm[];
  /** What was wrong; nothing, when the cluster kept its promises. */
  readonly violations: readonly string[];
  /** Requests of senders that were not killed meanwhile. */
  readonly sent: number;
  /** Those that failed, by code. */
  readonly failed: ReadonlyMap<string, number>;
  /** From the first fault to the last failure, in ms; 0 if none failed. */
  readonly failing: number;
  /** From the last fault until all views were right, in ms. */
  readonly converged: number;
}

/** How long views may be wrong after the last fault, in ms. */
const CONVERGE = 3_000;
/** How long nodes restart, in ms. */
const RESTART = 10_000;
/** How long the server is away at most, and the jitter of those who come back, in ms. */
const AWAY = 3_000;
const JITTER = 500;
/** Forged records for each node, and how many of a hundred stand under the id of a live one. */
const FORGED = 20;
const STOLEN = 5;
/** The timeout of a request, in ms. */
const TIMEOUT = 2_000;
/** Between two looks at views and two bursts of requests, in ms. */
const LOOK = 500;
const BURST = 10;

/** Handled by every fourth node. */
const Who = query<void, string>("Who");
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** Plays a seed (a safe integer) with so many nodes; each sends two requests a second. */
export async function simulateStorm(seed: number, nodes: number): Promise<Stormed> {
  const cluster = new StormCluster(seed, nodes);
  try {
    return await cluster.play();
  } finally {
    cluster.end();
  }
}

class StormCluster {
  readonly #random: Random;
  readonly #clock = new VirtualClock();
  readonly #network: MemoryNetwork;
  readonly #ids: readonly string[];
  readonly #storms: readonly Storm[];
  readonly #live = new Map<string, Catga>();
  readonly #wrongs: string[] = [];
  readonly #failed = new Map<string, number>();
  /** The requests that have no result, by their senders: of one that is killed none comes. */
  readonly #pending = new Map<Catga, number>();
  #sent = 0;
  #lastFailure = 0;
  #sending = true;

  constructor(seed: number, nodes: number) {
    this.#random = seededRandom(seed);
    this.#network = new MemoryNetwork({ clock: this.#clock, seed });
    this.#ids = Array.from({ length: nodes }, (_, i) => `n${i}`);
    // in turn, so that a few seeds show all of them, each with all others
    const first = seed % STORMS.length;
    this.#storms = [STORMS[first], STORMS[(first + 1 + Math.floor(seed / STORMS.length) % 3) % STORMS.length]];
  }

  async play(): Promise<Stormed> {
    const clock = this.#clock;
    await clock.until(Promise.all(this.#ids.map((id) => this.#start(id))));
    await clock.advance(CONVERGE);
    this.#burst();
    this.#look();
    const began = clock.monotonic();
    for (const storm of this.#storms) {
      await clock.until(this.#storm(storm));
      await clock.advance(this.#random() * 1_000);
    }
    const converged = await this.#converge();
    this.#sending = false;
    await clock.advance(TIMEOUT + LOOK);
    const pending = [...this.#pending.values()].reduce((sum, count) => sum + count, 0);
    if (pending > 0) this.#wrongs.push(`${pending} request(s) have no result`);
    await this.#probe();
    return {
      storms: this.#storms,
      violations: this.#wrongs,
      sent: this.#sent,
      failed: this.#failed,
      failing: Math.max(0, this.#lastFailure - began),
      converged,
    };
  }

  /** Ends all nodes without a word: what they would say to each other takes longer than the storm. */
  end(): void {
    this.#sending = false;
    for (const id of this.#live.keys()) this.#network.kill(id);
    this.#live.clear();
  }

  async #start(id: string): Promise<void> {
    for (let attempt = 1;; attempt++) {
      try {
        // the others have to ask
        const handlers = this.#ids.indexOf(id) % 4 === 0 ? [Who.handle((_, ctx) => ctx.node)] : [];
        const app = await catga({ network: this.#network, id, logger: quiet, handlers });
        this.#live.set(id, app);
        this.#pending.set(app, 0);
        return;
      } catch (error) {
        if (!(error instanceof CatgaError) || attempt === 50) throw error;
        await delay(this.#clock, 300);
      }
    }
  }

  #storm(storm: Storm): Promise<void> {
    if (storm === "restart") return this.#restart();
    if (storm === "vanish") return this.#vanish();
    if (storm === "server") return this.#serverGoes();
    return this.#forge();
  }

  /** Half of the nodes restart, each at some moment. */
  async #restart(): Promise<void> {
    await Promise.all(
      this.#pick(0.5).map(async (id) => {
        await delay(this.#clock, this.#random() * RESTART);
        if (this.#random() < 0.5) this.#kill(id);
        else {
          const app = this.#live.get(id)!;
          this.#live.delete(id);
          await app.drain({ timeout: 500 });
        }
        await delay(this.#clock, this.#random() * 1_000);
        await this.#start(id);
      }),
    );
  }

  #vanish(): Promise<void> {
    for (const id of this.#pick(1 / 3)) this.#kill(id);
    return Promise.resolve();
  }

  /** The server goes, and is back after a while: all connect again, with jitter. */
  async #serverGoes(): Promise<void> {
    const ids = [...this.#live.keys()];
    for (const id of ids) this.#network.cut(id);
    await delay(this.#clock, this.#random() * AWAY);
    await Promise.all(ids.map(async (id) => {
      await delay(this.#clock, this.#random() * JITTER);
      this.#network.restore(id);
    }));
  }

  /** Somebody with a node's permissions writes records of nodes that are not there, and over those of some that are. */
  async #forge(): Promise<void> {
    const bucket = await this.#network.store.open("catga_default_nodes");
    const ids = [...this.#live.keys()];
    const { self } = this.#live.get(ids[0])!;
    for (let i = 0; i < FORGED * this.#ids.length; i++) {
      const id = this.#random() * 100 < STOLEN ? ids[Math.floor(this.#random() * ids.length)] : `forged${i}`;
      await bucket.put(id, JSON.stringify({ ...self, id, endpoint: `${id}.forged`, handles: ["Who"], kinds: "q" }));
      if (i % 100 === 99) await delay(this.#clock, BURST);
    }
  }

  #kill(id: string): void {
    const app = this.#live.get(id)!;
    this.#live.delete(id);
    this.#sent -= this.#pending.get(app)!;
    this.#pending.delete(app);
    this.#network.kill(id);
  }

  /** So large a share of the live nodes. */
  #pick(share: number): string[] {
    const left = [...this.#live.keys()];
    const count = Math.floor(left.length * share);
    return Array.from({ length: count }, () => left.splice(Math.floor(this.#random() * left.length), 1)[0]);
  }

  /** Two requests a second for each node, from any of those that are there. */
  #burst(): void {
    if (!this.#sending) return;
    const apps = [...this.#live.values()];
    const exactly = 2 * this.#ids.length * BURST / 1_000;
    const count = Math.floor(exactly) + (this.#random() < exactly % 1 ? 1 : 0);
    for (let i = 0; i < count && apps.length > 0; i++) this.#send(apps[Math.floor(this.#random() * apps.length)]);
    this.#clock.after(BURST, () => this.#burst());
  }

  #send(app: Catga): void {
    this.#sent++;
    this.#pending.set(app, this.#pending.get(app)! + 1);
    app.send(Who, undefined, { timeout: TIMEOUT }).then(({ value, error }) => {
      const pending = this.#pending.get(app);
      if (pending === undefined) return; // it was killed
      this.#pending.set(app, pending - 1);
      if (error === undefined) {
        if (!this.#ids.includes(value)) this.#wrongs.push(`${value} has answered`);
        return;
      }
      this.#failed.set(error.code, (this.#failed.get(error.code) ?? 0) + 1);
      this.#lastFailure = this.#clock.monotonic();
    });
  }

  /** Now and then somebody's view: nothing forged is in it. */
  #look(): void {
    if (!this.#sending) return;
    const apps = [...this.#live.values()];
    for (let i = 0; i < 5 && apps.length > 0; i++) {
      const app = apps[Math.floor(this.#random() * apps.length)];
      const forged = app.nodes().filter(({ endpoint }) => endpoint.endsWith(".forged"));
      if (forged.length > 0) this.#wrongs.push(`${app.self.id} believes ${forged.length} forged record(s)`);
    }
    this.#clock.after(LOOK, () => this.#look());
  }

  /** Resolves with how long it took until every node saw the live ones and no other, each as its own process. */
  async #converge(): Promise<number> {
    const since = this.#clock.monotonic();
    const endpoints = new Set([...this.#live.values()].map(({ self }) => self.endpoint));
    const right = (app: Catga) => {
      const seen = app.nodes();
      return seen.length === endpoints.size && seen.every(({ endpoint }) => endpoints.has(endpoint));
    };
    for (;;) {
      const passed = this.#clock.monotonic() - since;
      const wrong = [...this.#live.values()].filter((app) => !right(app));
      if (wrong.length === 0) return passed;
      if (passed >= CONVERGE) {
        const [app] = wrong;
        const many = `${wrong.length} of ${this.#live.size} views are wrong ${CONVERGE} ms after the last fault`;
        this.#wrongs.push(`${many}: ${app.self.id} sees ${app.nodes().length} nodes`);
        return passed;
      }
      await this.#clock.advance(100);
    }
  }

  /** In the calm, requests succeed. */
  async #probe(): Promise<void> {
    const apps = [...this.#live.values()].slice(0, 20);
    const results = await this.#clock.until(Promise.all(apps.map((app) => app.send(Who, undefined, { timeout: 500 }))));
    for (const { error } of results) {
      if (error !== undefined) this.#wrongs.push(`a request in the calm failed: ${error}`);
    }
  }
}

/** What a seed has shown, in a line. */
export function lineOf(seed: number, { storms, violations, sent, failed, failing, converged }: Stormed): string {
  const failures = [...failed].map(([code, count]) => `${code} ${count}`).join(", ") || "none";
  return `seed ${seed} (${
    storms.join(", ")
  }): views right after ${converged} ms; ${sent} requests, failed: ${failures}, ` +
    `the last after ${Math.round(failing)} ms; ${violations.join("; ") || "nothing went wrong"}`;
}

if (import.meta.main) {
  const [first, last = first] = (process.argv[2] ?? "0").split("..").map(Number);
  const nodes = Number(process.argv[3] ?? 1_000);
  for (let seed = first; seed <= last; seed++) {
    const stormed = await simulateStorm(seed, nodes);
    console.log(lineOf(seed, stormed));
    if (stormed.violations.length > 0) process.exitCode = 1;
  }
}
