/**
 * A cluster that lives through some bad seconds of virtual time, all of it made from one seed: nodes that are killed,
 * frozen, drained and started again, connections that break, messages that get lost or late.
 */
import { type Clock, delay, type Random } from "../clock.ts";
import {
  type Catga,
  catga,
  CatgaError,
  command,
  event,
  fail,
  type Faults,
  MemoryNetwork,
  query,
  type Result,
  type Sender,
  type SendOptions,
  VirtualClock,
} from "../../mod.ts";
import { seededRandom } from "../memory/seeded_random.ts";
import { type Happening, violations } from "./history.ts";

/** What came of a run. */
export interface Simulated {
  /** What was wrong; nothing, when the cluster kept its promises. */
  readonly violations: readonly string[];
  /** What the program, its handlers and its adversary did. */
  readonly history: readonly Happening[];
  /** All that was seen, with `trace`: a line each. */
  readonly trace: readonly string[];
}

const SERVERS = ["a", "b", "c"];
const CLIENT = "z";
const NODES = [...SERVERS, CLIENT];
/** How long things go wrong, in ms. */
const STORM = 3_000;
/** How long the cluster has to find together again, in ms: a lost answer of the store, and a record's life. */
const CALM = 9_000;
const HEARTBEAT = 3_000;
/**
 * How much longer than its timeout a drain may take, in ms: 500 that handlers have after their signals aborted, 500 at most
 * that the endpoint stays for those who still ask, and some ticks.
 */
const DRAIN_GRACE = 1_050;
const SENDS = 28;

interface Payload {
  /** The number of the message. */
  readonly n: number;
  /** How long its handler takes, in ms; 0 for one that is not even asynchronous, -1 for one that waits for its signal. */
  readonly ms: number;
}

const Add = command<Payload, string>("sim.Add");
const Ask = query<Payload, string>("sim.Ask");
/** Sends an `Add`, and answers what became of it. */
const Relay = command<Payload, string>("sim.Relay");
const Noted = event<Payload>("sim.Noted");

/** Runs the cluster of a seed (a safe integer); with `trace` it writes down all that is seen. Never rejects. */
export async function simulate(seed: number, options: { trace?: boolean } = {}): Promise<Simulated> {
  const simulation = new Simulation(seed, options.trace ?? false);
  try {
    await simulation.run();
  } catch (error) {
    simulation.wrong(`the run itself failed: ${error instanceof Error ? error.stack : error}`);
  }
  const { found, history, trace } = simulation;
  return { violations: [...found, ...violations(history, answer)], history, trace };
}

function answer(n: number): string {
  return `answer ${n}`;
}

/** One run. */
class Simulation {
  readonly history: Happening[] = [];
  readonly found: string[] = [];
  readonly trace: string[] = [];
  readonly #traces: boolean;
  /** Of the program and the adversary; the network has another from the same seed. */
  readonly #random: Random;
  readonly #clock = new VirtualClock();
  readonly #network: MemoryNetwork;
  readonly #faults: Faults;
  readonly #live = new Map<string, Catga>();
  readonly #frozen = new Map<string, number>();
  /** What has to come to its end. */
  readonly #pending = new Set<Promise<void>>();
  #messages = 0;
  #runs = 0;
  #stormy = false;
  /** Nodes that do not come back. */
  #gone = 0;

  constructor(seed: number, traces: boolean) {
    const random = this.#random = seededRandom(seed);
    this.#traces = traces;
    const servers = random() < 0.3 ? 2 : 1;
    const chance = (most: number) => random() < 0.5 ? random() * most : 0;
    this.#faults = {
      drop: chance(0.05),
      delay: Math.round(chance(400)),
      lostAck: chance(0.2),
      earlyExpiry: chance(0.3),
      falseBounce: servers > 1 ? chance(0.2) : 0,
      ...(random() < 0.5 ? { cut: { every: 500 + random() * 2_000, lasts: random() * 500 } } : {}),
    };
    this.#network = new MemoryNetwork({ clock: this.#clock, seed, servers });
    this.#note(`servers ${servers}, faults ${JSON.stringify(this.#faults)}`);
  }

  async run(): Promise<void> {
    await this.#clock.until(Promise.all(NODES.map((id) => this.#start(id))));
    await this.#storm();
    await this.#calm();
    await this.#end();
  }

  wrong(what: string): void {
    this.#note(`WRONG ${what}`);
    this.found.push(what);
  }

  async #storm(): Promise<void> {
    this.#stormy = true;
    this.#network.faults = this.#faults;
    for (let sent = 0; sent < SENDS;) {
      const burst = this.#random() < 0.2 ? this.#below(8) + 1 : 1;
      this.#at(this.#random() * STORM, () => {
        for (let i = 0; i < burst; i++) this.#send();
      });
      sent += burst;
    }
    for (let i = this.#below(5); i > 0; i--) this.#at(this.#random() * STORM * 0.8, () => this.#harm());
    await this.#clock.advance(STORM);
    this.#stormy = false;
  }

  async #calm(): Promise<void> {
    this.#network.heal();
    for (const id of [...this.#frozen.keys()]) this.#resumed(id);
    await this.#clock.advance(CALM);
    const expected = [...this.#live.keys()].sort().join(" ");
    if (this.#live.size + this.#gone < NODES.length) this.wrong(`only ${expected} came back`);
    for (const [id, app] of this.#live) {
      const seen = app.nodes().map((node) => node.id).join(" ");
      if (seen !== expected) this.wrong(`${id} sees ${seen}, not ${expected}`);
      if (app.self.load.inFlight > 0) this.wrong(`${id} still has ${app.self.load.inFlight} under way`);
    }
    const servers = SERVERS.filter((id) => this.#live.has(id));
    const sends = [...this.#live.values()].flatMap((app) => [
      ...servers.map((node) => app.send(Add, { n: ++this.#messages, ms: 10 }, { node, timeout: 500 })),
      app.send(Ask, { n: ++this.#messages, ms: 0 }, { timeout: 500 }),
    ]);
    const results = await this.#clock.until(Promise.all(sends));
    for (const { ok, error } of results) {
      if (!ok && !error.code.startsWith("ODD")) this.wrong(`a send in the calm failed: ${error}`);
    }
  }

  async #end(): Promise<void> {
    for (const [id, app] of this.#live) this.#command(Add, id, app, -1, { timeout: 10_000 });
    await this.#clock.advance(100);
    await this.#clock.until(Promise.all([...this.#live].map(([id, app]) => this.#drain(id, app, 1_000))), CALM);
    // timers of the dead, and the ttls of their records
    await this.#clock.advance(CALM);
    if (this.#clock.timers > 0) this.wrong(`${this.#clock.timers} timer(s) are left`);
    if (this.#pending.size > 0) this.wrong(`${this.#pending.size} thing(s) never ended`);
  }

  async #start(id: string): Promise<void> {
    for (let attempt = 1; !this.#live.has(id); attempt++) {
      try {
        const app = await catga({
          network: this.#network,
          id,
          service: id === "c" || id === CLIENT ? id : "app",
          heartbeat: HEARTBEAT,
          handlers: id === CLIENT ? [] : this.#handlers(id),
          logger: this.#logger,
        });
        this.#live.set(id, app);
        app.closed.catch((error) => this.wrong(`${id} had to stop: ${error}`));
        this.#note(`${id} is there`);
      } catch (error) {
        this.#note(`${id} cannot start: ${error}`);
        if (!(error instanceof CatgaError) || attempt === 50) throw error;
        await delay(this.#clock, 300);
      }
    }
  }

  #handlers(node: string) {
    const ran = (kind: "command" | "query", n: number, id: string, outcome: string) =>
      this.#happened({ type: "run", at: this.#clock.monotonic(), n, kind, node, id, outcome });
    const clock = () => this.#network.clockOf(node);
    return [
      Add.handle(({ n, ms }, { id, signal }) => {
        const run = ++this.#runs;
        const answer = () => n % 7 === 0 ? fail(`ODD_${run}`, "as it happens") : `run ${run}`;
        const result = answer();
        ran("command", n, id, typeof result === "string" ? result : result.error.code);
        return ms === 0 ? result : this.#think(clock(), ms, signal).then(() => result);
      }),
      Ask.handle(({ n, ms }, { id, signal }) => {
        ran("query", n, id, answer(n));
        return ms === 0 ? answer(n) : this.#think(clock(), ms, signal).then(() => answer(n));
      }),
      Relay.handle(({ n, ms }, ctx) => {
        const run = `relay ${++this.#runs}`;
        ran("command", n, ctx.id, run);
        return this.#command(Add, node, ctx, ms, { timeout: 500 }).then(() => run);
      }),
      ...["first", "second"].map((subscriber) =>
        Noted.on(({ n }) => {
          const service = node === "c" ? "c" : "app";
          this.#happened({ type: "event", at: this.#clock.monotonic(), n, service, subscriber, node });
        })
      ),
    ];
  }

  /** Resolves after some time of a process, or when a handler is to end. */
  #think(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
    if (ms >= 0) return delay(clock, ms);
    return new Promise((resolve) => {
      if (signal.aborted) resolve();
      else signal.addEventListener("abort", () => resolve(), { once: true });
    });
  }

  /** A message from one of the nodes that are awake: mostly the client. */
  #send(): void {
    const awake = NODES.filter((id) => this.#live.has(id) && !this.#frozen.has(id));
    const id = this.#random() < 0.7 && awake.includes(CLIENT) ? CLIENT : this.#pick(awake);
    const app = id === undefined ? undefined : this.#live.get(id);
    if (id === undefined || app === undefined) return;
    const ms = this.#random() < 0.5 ? 0 : this.#random() < 0.05 ? -1 : Math.round(this.#random() ** 3 * 1_000);
    const kind = this.#random();
    if (kind < 0.15) {
      const n = ++this.#messages;
      this.#await(app.publish(Noted, { n, ms }).then(({ ok }) => this.#note(`event ${n} of ${id}: ${ok}`)));
      return;
    }
    const timeout = 50 + Math.round(this.#random() * 1_500);
    const giveUp = this.#random() < 0.1 ? new AbortController() : undefined;
    const options = {
      timeout,
      retries: this.#below(5),
      route: this.#pick(["round-robin", "random", "local-first", "least-loaded"] as const)!,
      ...(this.#random() < 0.5 ? { id: `message-${this.#messages + 1}` } : {}),
      ...(giveUp === undefined ? {} : { signal: giveUp.signal }),
      ...(this.#random() < 0.1 ? { node: this.#pick(SERVERS)! } : {}),
    };
    if (giveUp !== undefined) this.#at(this.#random() * timeout, () => giveUp.abort());
    if (kind < 0.2) this.#broadcast(id, app, ms, timeout);
    else if (kind < 0.4) this.#query(id, app, ms, options);
    else this.#command(kind < 0.5 ? Relay : Add, id, app, ms, options);
  }

  #command(
    contract: typeof Add,
    id: string,
    sender: Sender,
    ms: number,
    options: SendOptions & { timeout: number },
  ): Promise<void> {
    const n = this.#sends("command", id, options.timeout);
    return this.#await(sender.send(contract, { n, ms }, options).then((result) => this.#settled(n, result)), id);
  }

  /** Asks everybody: each has one answer. */
  #broadcast(id: string, app: Catga, ms: number, timeout: number): void {
    const n = this.#sends("query", id, timeout);
    const everyone = app.broadcast(Ask, { n, ms }, { timeout }).then((results) => {
      const nodes = results.map(({ node }) => node);
      if (new Set(nodes).size < nodes.length) this.wrong(`broadcast ${n} of ${id}: two answers of one node: ${nodes}`);
      for (const { node, result: { value = answer(n) } } of results) {
        if (value !== answer(n)) this.wrong(`broadcast ${n} of ${id}: ${node} answered ${value}`);
      }
      this.#settled(n, results[0]?.result ?? fail("NO_HANDLER", "nobody is there"));
    });
    this.#await(everyone, id);
  }

  #query(id: string, app: Catga, ms: number, options: SendOptions & { timeout: number }): void {
    const n = this.#sends("query", id, options.timeout);
    this.#await(app.send(Ask, { n, ms }, options).then((result) => this.#settled(n, result)), id);
  }

  #sends(kind: "command" | "query", sender: string, timeout: number): number {
    const n = ++this.#messages;
    const at = this.#clock.monotonic();
    this.#happened({ type: "send", at, n, kind, sender, due: at + timeout });
    return n;
  }

  #settled(n: number, result: Result<string>): void {
    this.#happened({ type: "result", at: this.#clock.monotonic(), n, result });
  }

  /** Something bad that the network does not do by itself. */
  #harm(): void {
    const awake = NODES.filter((id) => this.#live.has(id) && !this.#frozen.has(id));
    const id = this.#pick(awake);
    if (id === undefined || !this.#stormy) return;
    const which = this.#random();
    const ms = this.#random() * 1_500;
    const stays = which < 0.4 || this.#gone === 2 || this.#random() < 0.7;
    if (!stays) this.#gone++;
    if (which < 0.4) {
      this.#note(`freeze ${id} for ${ms}`);
      this.#network.pause(id);
      this.#frozen.set(id, this.#clock.monotonic());
      this.#at(ms, () => {
        if (this.#frozen.has(id)) this.#network.resume(id);
        this.#resumed(id);
      });
    } else if (which < 0.8) {
      this.#network.kill(id);
      this.#live.delete(id);
      this.#happened({ type: "kill", at: this.#clock.monotonic(), node: id });
      if (stays) this.#at(ms, () => this.#await(this.#start(id)));
    } else {
      this.#note(`drain ${id}`);
      const app = this.#live.get(id)!;
      this.#live.delete(id);
      this.#await(this.#drain(id, app, ms).then(() => stays ? this.#start(id) : undefined));
    }
  }

  /** Drains a node, which takes its timeout and some grace at most. */
  async #drain(id: string, app: Catga, timeout: number): Promise<void> {
    const began = this.#clock.monotonic();
    await app.drain({ timeout });
    const took = this.#clock.monotonic() - began;
    this.#note(`${id} drained in ${took}`);
    // subscriptions drain, and the connection closes, with a round trip each
    if (took > timeout + DRAIN_GRACE + 6 * (this.#faults.delay ?? 0)) {
      this.wrong(`${id} took ${took} to drain, with a timeout of ${timeout}`);
    }
  }

  #resumed(node: string): void {
    const since = this.#frozen.get(node);
    if (since === undefined) return;
    this.#frozen.delete(node);
    this.#happened({ type: "resume", at: this.#clock.monotonic(), node, since });
  }

  /** Sees to it that something ends; what waits in a node that is killed need not. */
  #await(promise: Promise<void>, node?: string): Promise<void> {
    const waits: Promise<void> = promise.catch((error) => this.wrong(`${error}`)).finally(() => {
      this.#pending.delete(waits);
    });
    // what a send is missing, the history tells
    if (node === undefined) this.#pending.add(waits);
    return waits;
  }

  #at(ms: number, act: () => void): void {
    this.#clock.after(ms, act);
  }

  #happened(happening: Happening): void {
    this.history.push(happening);
    if (this.#traces) this.trace.push(JSON.stringify(happening));
  }

  readonly #note = (text: string): void => {
    if (this.#traces) this.trace.push(`${this.#clock.monotonic()} ${text}`);
  };

  get #logger() {
    const silent = () => {};
    const { log } = this.#traces ? { log: this.#note } : { log: silent };
    return {
      debug: log,
      info: log,
      warn: log,
      error: (text: string, error?: unknown) => log(`${text} ${error ?? ""}`),
    };
  }

  #below(end: number): number {
    return Math.floor(this.#random() * end);
  }

  #pick<T>(of: readonly T[]): T | undefined {
    return of[this.#below(of.length)];
  }
}
