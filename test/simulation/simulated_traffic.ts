/** The messages of a simulated cluster, and their handlers. */
import { type Clock, delay, type Random } from "../../src/ports/clock.ts";
import { type Catga, command, event, fail, type Handler, query, type Sender, type SendOptions } from "../../mod.ts";
import type { SimulationRecord } from "./simulation_record.ts";
import type { MemoryNetwork } from "../../src/testing/mod.ts";

interface Payload {
  /** The number of the message. */
  readonly n: number;
  /**
   * How long its handler takes, in ms; 0 for one that is not even asynchronous, -1 for one that waits for its signal.
   */
  readonly ms: number;
}

type Timed = SendOptions & { timeout: number };

const Add = command<Payload, string>("sim.Add");
const Ask = query<Payload, string>("sim.Ask");
/** Sends an `Add`, and waits for what becomes of it. */
const Relay = command<Payload, string>("sim.Relay");
/** Its results are gone when a run of the simulation ends. */
const Pay = command<Payload, string>("sim.Pay", { idempotent: { ttl: 8_000 } });
const Noted = event<Payload>("sim.Noted");

/** The right answer to a query. */
export function answer(n: number): string {
  return `answer ${n}`;
}

/** Sends messages of every kind, and handles them. */
export class SimulatedTraffic {
  readonly #network: MemoryNetwork;
  readonly #random: Random;
  readonly #record: SimulationRecord;

  constructor(network: MemoryNetwork, random: Random, record: SimulationRecord) {
    this.#network = network;
    this.#random = random;
    this.#record = record;
  }

  /** What a node of a service handles. */
  handlers(node: string, service: string): Handler[] {
    const record = this.#record;
    const clock = () => this.#network.clockOf(node);
    return [
      Add.handle(({ n, ms }, { id, signal }) => {
        const run = record.nextRun();
        const result = n % 7 === 0 ? fail(`ODD_${run}`, "as it happens") : `run ${run}`;
        const outcome = typeof result === "string" ? result : result.error.code;
        record.happened({ type: "run", message: n, kind: "command", node, id, outcome });
        return ms === 0 ? result : think(clock(), ms, signal).then(() => result);
      }),
      Ask.handle(({ n, ms }, { id, signal }) => {
        record.happened({ type: "run", message: n, kind: "query", node, id, outcome: answer(n) });
        return ms === 0 ? answer(n) : think(clock(), ms, signal).then(() => answer(n));
      }, { concurrency: 2 }),
      Relay.handle(({ n, ms }, ctx) => {
        const outcome = `relay ${record.nextRun()}`;
        record.happened({ type: "run", message: n, kind: "command", node, id: ctx.id, outcome });
        return this.add(node, ctx, ms, { timeout: 500 }).then(() => outcome);
      }),
      Pay.handle(({ n, ms }, { id, signal }) => {
        const run = record.nextRun();
        const failure = n % 5 === 0 ? fail(`ODD_${run}`, "as it happens", { final: n % 10 === 0 }) : undefined;
        const outcome = failure === undefined ? `paid ${run}` : `ODD_${run}`;
        record.happened({ type: "run", message: n, kind: "idempotent", node, id, outcome });
        const result = failure ?? outcome;
        return ms === 0 ? result : think(clock(), ms, signal).then(() => result);
      }, { concurrency: 2 }),
      ...["first", "second"].map((subscriber) =>
        Noted.on(({ n }) => record.happened({ type: "event", message: n, service, subscriber, node }))
      ),
    ];
  }

  /** A message of some kind from a node. `others`: the ids of nodes that it may name. */
  send(id: string, app: Catga, others: readonly string[]): void {
    const random = this.#random;
    const ms = random() < 0.5 ? 0 : random() < 0.05 ? -1 : Math.round(random() ** 3 * 1_000);
    const timeout = 50 + Math.round(random() * 1_500);
    const kind = random();
    if (kind < 0.15) return this.#publish(app, ms);
    if (kind < 0.2) return this.#broadcast(id, app, ms, timeout);
    if (kind < 0.25) return this.#payTwice(app, ms, timeout);
    const giveUp = random() < 0.1 ? new AbortController() : undefined;
    if (giveUp !== undefined) this.#network.clock.after(random() * timeout, () => giveUp.abort());
    const options: Timed = {
      timeout,
      retries: Math.floor(random() * 5),
      route: pick(random, ["round-robin", "random", "local-first", "least-loaded"] as const),
      ...(giveUp === undefined ? {} : { signal: giveUp.signal }),
      ...(random() < 0.1 ? { node: pick(random, others) } : {}),
    };
    const named = random() < 0.5;
    const sent = (contract: typeof Add | typeof Ask | typeof Pay) => (n: number) =>
      app.send(contract, { n, ms }, named ? { ...options, id: `message-${n}` } : options);
    if (kind < 0.4) this.#record.send("query", id, timeout, sent(Ask));
    else if (kind < 0.55) this.#record.send("idempotent", id, timeout, sent(Pay));
    else this.#record.send("command", id, timeout, sent(kind < 0.65 ? Relay : Add));
  }

  /** An `Add` of a node, by its app or by a handler's context. */
  add(id: string, sender: Sender, ms: number, options: Timed): Promise<void> {
    return this.#record.send("command", id, options.timeout, (n) => sender.send(Add, { n, ms }, options));
  }

  /** One message to each of these nodes, and a query to anybody: in the calm, when all of them must succeed. */
  async probe(app: Catga, nodes: readonly string[]): Promise<void> {
    const timeout = 500;
    const results = await Promise.all([
      ...nodes.map((node) => app.send(Add, { n: this.#record.nextMessage(), ms: 10 }, { node, timeout })),
      app.send(Ask, { n: this.#record.nextMessage(), ms: 0 }, { timeout }),
    ]);
    for (const { ok, error } of results) {
      if (!ok && !error.code.startsWith("ODD")) this.#record.wrong(`a send in the calm failed: ${error}`);
    }
  }

  #publish(app: Catga, ms: number): void {
    const n = this.#record.nextMessage();
    this.#record.own(app.publish(Noted, { n, ms }).then(({ ok }) => this.#record.note(`event ${n}: ${ok}`)));
  }

  /** Several sends of one id: all that is acknowledged is the same. */
  #payTwice(app: Catga, ms: number, timeout: number): void {
    const n = this.#record.nextMessage();
    const paid = new Set<string>();
    // a result that is gone before its time may be another one the next time
    const lasting = (this.#network.faults.earlyExpiry ?? 0) === 0;
    for (const route of ["round-robin", "random", "local-first"] as const) {
      const sent = app.send(Pay, { n, ms }, { id: `payment-${n}`, timeout, route });
      this.#record.owe(sent.then(({ ok, value, error }) => {
        if (ok) paid.add(value);
        this.#record.note(`payment ${n}: ${ok ? value : error.code}`);
        if (lasting && paid.size > 1) this.#record.wrong(`payment ${n}: acknowledged as ${[...paid].join(" and as ")}`);
      }));
    }
  }

  /** A broadcast: each node answers once. */
  #broadcast(id: string, app: Catga, ms: number, timeout: number): void {
    this.#record.send("query", id, timeout, async (n) => {
      const results = await app.broadcast(Ask, { n, ms }, { timeout });
      const nodes = results.map(({ node }) => node);
      if (new Set(nodes).size < nodes.length) this.#record.wrong(`broadcast ${n}: a node answered twice: ${nodes}`);
      for (const { node, result: { value = answer(n) } } of results) {
        if (value !== answer(n)) this.#record.wrong(`broadcast ${n}: ${node} answered ${value}`);
      }
      return results[0]?.result ?? fail("NO_HANDLER", "nobody is there");
    });
  }
}

/** Resolves after some time of a process, or when its handler is to end. */
function think(clock: Clock, ms: number, signal: AbortSignal): Promise<void> {
  if (ms >= 0) return delay(clock, ms);
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

function pick<T>(random: Random, of: readonly T[]): T {
  return of[Math.floor(random() * of.length)];
}
