/**
 * A process that uses the parts of Catga that keep something for other processes, in this tree or an earlier one.
 *
 *   … test/processes/version_node.ts <nats url> <id> <file> <handles: 1 or 0> <sends: 1 or 0> <kills: 1 or 0>
 *
 * Appends what it does to the file of its test. Sends until SIGUSR1; SIGTERM drains it. `kills`: nodes are killed, so
 * that a command which is not idempotent may have run.
 *
 * @module
 */
import { openSync, writeSync } from "node:fs";
import process from "node:process";
import { setTimeout as wait } from "node:timers/promises";
import { z } from "zod";
import {
  type Catga,
  catga,
  type CatgaError,
  command,
  entity,
  event,
  fail,
  type Handler,
  query,
  stream,
  unwrap,
  workflow,
} from "@catga/catga";

/** A line of the file: what was done, where, and of what. */
export interface VersionLine {
  readonly what: string;
  readonly of: string;
  readonly node: string;
  /** Number of a message among those of its key, the value of a result, or the token of a lock. */
  readonly n: number | string | undefined;
}

const [nats, id, path, handles, sends, kills] = process.argv.slice(2);
const file = openSync(path, "a");
// one write each: lines of several processes do not mix, and stand in the order in which they were written
const note = (what: string, of: string, n?: VersionLine["n"]) =>
  void writeSync(file, `${JSON.stringify({ what, of, node: id, n } satisfies VersionLine)}\n`);

const Tick = event<{ of: string; n: number }>("Tick", { durable: true, key: ({ of }) => of });
const Bulk = event<{ of: string; n: number }>("Bulk", { durable: true, key: ({ of }) => of });
// with schemas: nodes tell each other the versions of these contracts
const about = z.object({ of: z.string() });
const Later = event("Later", { durable: true, input: about });
const Mail = command("Mail", { durable: true, input: about });
const Act = command("Act", { input: about });
const Once = command<{ of: string }, string>("Once", { idempotent: true });
const Cart = entity("Cart", { initial: () => 0 });
const Added = Cart.event("Added", (count) => count + 1, { input: about });
const Add = command<{ cart: string; of: string }, number>("Add", { key: ({ cart }) => cart });
const Step = command<{ of: string }>("Step", { idempotent: true });
const Order = workflow<{ fails: boolean }, string, "NO">("Order", { input: z.object({ fails: z.boolean() }) });
const Go = Order.signal<string>("Go");
const Child = workflow<{ of: string }, string>("Child");
const Double = query("Double", { input: z.object({ n: z.number() }), output: z.number() });
const Letter = event<{ of: string }>("Letter", { durable: true });
const Numbers = stream<{ from: number; to: number }, number>("Numbers", {
  resume: (input, last) => ({ ...input, from: (last ?? input.from - 1) + 1 }),
});
/** By key: the next number that this process's read model of {@link Tick} gets. */
const nextTicks = new Map<string, number>();

const handlers: readonly Handler[] = [
  Tick.on(async ({ of, n }) => {
    note("tick", of, n);
    if (n % 10 === 3) await wait(50);
  }, { name: "ticks", from: "start" }),
  Bulk.onBatch((batch) => {
    for (const { payload: { of, n } } of batch) note("bulk", of, n);
  }, { name: "bulks", from: "start" }),
  Later.on(({ of }) => note("later", of), { name: "laters", from: "start" }),
  Tick.on(({ of, n }) => {
    const next = nextTicks.get(of) ?? 0;
    if (n > next) note("failed", `the read model got ${of} ${n} instead of ${next}`);
    nextTicks.set(of, Math.max(next, n + 1));
  }, { name: "model", each: "node", from: "start" }),
  Letter.on(async ({ of }, ctx) => {
    if (await answered(() => ctx.cache.get(`mended ${of}`)) !== true) throw new Error("it is to be replayed");
    note("letter", of);
  }, { name: "letters", from: "start", retry: { attempts: 1 } }),
  Double.handle(({ n }) => 2 * n),
  Numbers.handle(async function* ({ from, to }) {
    for (let n = from; n <= to; n++) {
      yield n;
      await wait(10);
    }
  }),
  Added.on(({ of }) => note("added", of), { name: "added", from: "start" }),
  Mail.handle(({ of }) => note("mail", of)),
  Act.handle(({ of }) => note("act", of)),
  Once.handle(async ({ of }) => {
    note("once", of);
    await wait(20);
    return `${id} ${Math.random()}`;
  }),
  Cart.handle(Add, (cart, { of }) => {
    cart.emit(Added, { of });
    return cart.state;
  }),
  Step.handle(({ of }) => note("step", of)),
  Child.handle(async (flow, { of }) => {
    unwrap(await flow.send(Step, { of: `${of} child` }));
    await flow.sleep("a while", 20);
    return "grown";
  }),
  Order.handle(async (flow, { fails }) => {
    const of = flow.id;
    // which the earlier version has not: its nodes drive runs with entries that they do not know
    (flow as { stage?(name: string): void }).stage?.("begun");
    const step = (name: string) =>
      flow.send(Step, { of: `${of} ${name}` }, {
        name,
        undo: async () => void await flow.send(Step, { of: `${of} undo ${name}` }, { name: `undo ${name}` }),
      });
    await step("first");
    await Promise.all([step("left"), step("right")]);
    await flow.sleep("a while", 50);
    const said = await flow.wait(Go);
    unwrap(await flow.send(Child, { of }));
    return fails ? fail("NO", "it was to fail") : said;
  }),
];

/** For sends, which the machine may take long to answer. */
const PATIENT = { timeout: 120_000 };
/** For sends that go on to another node when one is silent: on a machine that stood still each is, at a retry each. */
const REPEATED = { ...PATIENT, retries: 20 };

if (import.meta.main) await main();

async function main(): Promise<void> {
  // handlers of letters are to fail, and processes that are killed leave messages whose handlers may have run; at an
  // earlier build the lease of a node that stood still fails until a later one gets it (docs/upgrading.md)
  const isExpected = (message: string) =>
    /Letter|letters|Order-run\.due threw \(message lease /.test(message) || kills === "1";
  const failed = (message: string, { error }: { error?: unknown }) =>
    isExpected(message) || note("failed", `${message}: ${error ?? ""}`);
  const app = await catga({
    nats,
    id,
    service: handles === "1" ? "app" : "clients",
    handlers: handles === "1" ? handlers : [],
    logger: { debug() {}, info() {}, warn() {}, error: failed },
  });
  let [stops, drains] = [false, false];
  const loops = sends === "1" ? loopsOf(app, () => stops) : [];
  const ended = (error: Partial<Error>) => note("failed", `${error.stack ?? error}`);
  const replays = sends === "1" ? replayLetters(app, () => drains).catch(ended) : undefined;
  console.log(JSON.stringify({ event: "ready" }));
  const isDone = Promise.all(loops).then(() => console.log(JSON.stringify({ event: "done" })), ended);
  process.once("SIGUSR1", () => stops = true);
  process.once("SIGTERM", async () => {
    stops = true;
    await isDone;
    drains = true;
    await replays;
    await app.drain();
    process.exit(0);
  });
}

/**
 * Does what was not done (`UNAVAILABLE`) again: on a slow machine a store takes longer to answer than a node waits. As
 * `patiently` of `test/support`, which is not in the tree of the earlier version that this file is copied to.
 */
async function answered<T>(act: () => Promise<T>): Promise<T> {
  while (true) {
    try {
      return await act();
    } catch (error) {
      if ((error as Partial<CatgaError>).code !== "UNAVAILABLE") throw error;
    }
  }
}

/** By its id: the time at which a letter of this client was dead last. */
const died = new Map<string, number>();

/**
 * Replays each letter of this client that is dead, as an operator does, until the process drains; also one that is dead
 * again, because a letter has one attempt, and the kill of a process that runs nothing else is that attempt.
 */
async function replayLetters(app: Catga, isOver: () => boolean): Promise<void> {
  for (; !isOver(); await wait(100)) {
    for (const letter of await answered(() => Array.fromAsync(app.deadLetters({ subscription: "letters" })))) {
      const { id: of, at, error } = letter;
      const before = died.get(of);
      // a letter that is still listed with this death has been replayed: the leader is to carry that out
      if (!of.startsWith(`${id}-`) || before === at.getTime()) continue;
      const why = `${error.code} ${error.message}`;
      note("letter dead", of, why);
      const isKilled = kills === "1" && error.code === "OUTCOME_UNKNOWN";
      if (before !== undefined && !isKilled) note("failed", `the letter ${of} was replayed, and is dead again: ${why}`);
      await answered(() => app.cache.set(`mended ${of}`, true));
      await answered(() => letter.replay());
      died.set(of, at.getTime());
    }
  }
}

/** Begins the loops of a client, which run beside each other: each does one kind of thing again and again. */
function loopsOf(app: Catga, isOver: () => boolean): Promise<void>[] {
  const loop = async (pause: number, once: (n: number) => Promise<unknown>) => {
    for (let n = 0; !isOver(); n++) {
      await answered(() => once(n));
      await wait(pause);
    }
  };
  // side by side where an act takes many round trips: no kind of act is long behind the others
  const lanes = (count: number, begin: (lane: number) => Promise<void>) =>
    Array.from({ length: count }, (_, n) => begin(n));
  const runs: Promise<void>[] = [];
  const ended = async (run: string, fails: boolean) => {
    const { value, error } = await app.result(Order, run, { timeout: 300_000 });
    note("order ok", run, (fails ? error?.code === "NO" : value === "on") ? "right" : `${error ?? value}`);
  };
  const mayHaveRun = (error: CatgaError | undefined) => kills === "1" && error?.code === "OUTCOME_UNKNOWN";
  const keyed = (n: number) => ({ of: `${id}-${n % 3}`, n: Math.floor(n / 3) });
  return [
    loop(40, async (n) => {
      unwrap(await app.publish(Tick, keyed(n), n % 2 ? {} : { id: `${id}-${n}` }));
      note("tick ok", keyed(n).of, keyed(n).n);
    }),
    loop(30, async (n) => {
      unwrap(await app.publish(Bulk, keyed(n)));
      note("bulk ok", keyed(n).of, keyed(n).n);
    }),
    loop(300, async (n) => {
      const of = `${id}-${n}`;
      const delay = 300 + 500 * (n % 4);
      const due = performance.now() + delay;
      try {
        unwrap(await app.publish(Later, { of }, { id: of, delay }));
        const isBack = n % 4 === 3 && await app.unschedule(Later, of);
        note(isBack ? "later back" : "later ok", of);
      } catch (error) {
        // on a machine that stood still it was due before it was acknowledged, or before it was to be taken back
        if ((error as Partial<CatgaError>).code !== "OUTCOME_UNKNOWN" || performance.now() < due) throw error;
      }
    }),
    loop(50, async (n) => {
      unwrap(await app.enqueue(Mail, { of: `${id}-${n}` }));
      note("mail ok", `${id}-${n}`);
    }),
    ...lanes(2, (lane) =>
      loop(40, async (n) => {
        const of = `${id}-${lane}-${n}`;
        const result = await app.send(Act, { of }, PATIENT);
        if (mayHaveRun(result.error)) return;
        unwrap(result);
        note("act ok", of);
      })),
    ...lanes(3, () =>
      loop(50, async () => {
        const of = `${Math.floor(Date.now() / 250)}`; // clients of both versions have the same ids
        note("once ok", of, unwrap(await app.send(Once, { of }, { ...REPEATED, id: of })));
      })),
    ...lanes(2, (lane) =>
      loop(30, async (n) => {
        const cart = n % 2 === 0 ? "shared" : id;
        const of = `${id}-${lane}-${n}`;
        const add = () => app.send(Add, { cart, of }, { ...REPEATED, id: of });
        let added = await add();
        // on a machine that stood still several nodes decide for a cart, and one may lose nine times: the id stays
        while (["CONFLICT", "OUTCOME_UNKNOWN"].includes(added.error?.code ?? "")) added = await add();
        note("add ok", cart, unwrap(added));
      })),
    ...lanes(2, (lane) =>
      loop(40, async (n) => {
        if (unwrap(await app.send(Double, { n }, REPEATED)) !== 2 * n) throw new Error("a query has a wrong answer");
        const own = `own ${id} ${lane}`;
        await app.cache.set(own, n);
        if (await app.cache.get(own) !== n) throw new Error("the cache has another value");
        note("double ok", id);
      })),
    ...lanes(2, () =>
      loop(50, async () => {
        let next = 1;
        for await (const n of app.stream(Numbers, { from: 1, to: 40 }, PATIENT)) {
          if (n !== next++) throw new Error(`the item ${n} came instead of ${next - 1}`);
        }
        if (next !== 41) throw new Error(`a stream ended before the item ${next}`);
        note("numbers ok", id);
      })),
    ...lanes(2, (lane) =>
      loop(150, async (n) => {
        const of = `${id}-${lane}-${n}`;
        unwrap(await app.publish(Letter, { of }, { id: of }));
        note("letter ok", of);
        while (!died.has(of) && !isOver()) await wait(10);
      })),
    loop(30, async () => {
      await using lock = await app.lock("k", { timeout: 300_000 });
      note("locked", "k", lock.token);
      await wait(5);
      note("unlocked", "k", lock.token);
    }),
    loop(400, async (n) => {
      const run = unwrap(await app.start(Order, { fails: n % 3 === 0 }, { id: `${id}-${n}` }));
      note("order begun", run);
      unwrap(await app.tell(Go, run, "on"));
      runs.push(ended(run, n % 3 === 0));
    }).then(async () => void await Promise.all(runs)),
  ];
}
