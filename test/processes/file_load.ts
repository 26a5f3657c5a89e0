/**
 * A program on a file under a load of everything that a file keeps, which `test/faults/file_load_test.ts` kills at
 * random moments, life after life; its last life judges all of them.
 *
 *   file_load.ts load FOLDER LIFE    puts load on the file, and prints how many answers it has got
 *   file_load.ts check FOLDER LIFE   starts on the file, waits until everything is done, and prints what is wrong
 */
import { join } from "node:path";
import process from "node:process";
import { type Catga, catga, command, entity, event, type RunInfo, unwrap, workflow } from "@catga/catga";
import type { History, HistoryOperation } from "../../src/testing/history.ts";
import { breachesOf } from "../../src/testing/guarantees.ts";
import { unhandled } from "../../src/testing/pace.ts";
import { eventually } from "../support/eventually.ts";
import { type Note, readHistory, WrittenHistory } from "../support/written_history.ts";

/** A line that the program prints. */
export interface FileLoadLine {
  /** Number of answers so far in this life. */
  readonly answers?: number;
  /** What is wrong, and how many things of which kind were acknowledged. */
  readonly wrong?: readonly string[];
  readonly counts?: Readonly<Record<string, number>>;
}

const [mode, folder, life = "0"] = process.argv.slice(2);
/** Numbers of one life: more than it can use. */
const FIRST = Number(life) * 1_000_000;
const METERS = ["m-0", "m-1", "m-2"];
/** How long a run knows a question after its answer, in ms, less what a busy machine takes. */
const ASK_KEPT = 60_000;
const retry = { attempts: 3, delay: [10, 50] as const };

const Told = event<{ i: number; key: string }>("Told", { durable: true, key: ({ key }) => key });
const Counted = event<{ i: number }>("Counted", { durable: true });
const Refused = event<{ i: number }>("Refused", { durable: true });
const Later = event<{ i: number; at: number }>("Later", { durable: true });
const Job = command<{ i: number; key: string }>("Job", { durable: true, key: ({ key }) => key });
const Tick = command<void>("Tick", { durable: true });
const Charge = command<number, number>("Charge", { idempotent: true });
const Cart = entity("Cart", { initial: () => ({ items: [] as readonly number[] }) });
const ItemAdded = Cart.event<{ i: number }>("ItemAdded", ({ items }, { i }) => ({ items: [...items, i] }));
const AddItem = command<{ cart: string; i: number }, number>("AddItem", { key: ({ cart }) => cart });
const Trip = workflow<number, number>("Trip");
const Go = Trip.signal<number>("Go");
const Leg = workflow<number, number>("Leg");
const Meter = workflow<MeterState, MeterState>("Meter");
const Add = Meter.signal<number>("Add");
const Ask = Meter.question<string, Answer>("Ask");
const Over = Meter.signal("Over");

interface MeterState {
  readonly round: number;
  readonly told: readonly number[];
  readonly answers: number;
}
interface Answer {
  /** Place of the answer among all answers of the run. */
  readonly ordinal: number;
  readonly of: string;
}

const written = new WrittenHistory(folder, Number(life));
const handlers = [
  Told.on(({ i }, { attempt }) => {
    if (i % 10 === 3 && attempt === 1) throw new Error("at the first attempt");
  }, { name: "hears", retry }),
  Told.on(() => {}, { name: "also" }),
  Counted.onBatch(() => {}, { name: "counts", within: 5 }),
  Refused.on(() => {
    throw new Error("always");
  }, { name: "refuses", retry: { ...retry, attempts: 2 } }),
  Later.on(({ i, at }, { id, due }) => {
    written.note({ about: "later", i, at, id, due: due?.getTime(), now: Date.now() });
  }, { name: "waits" }),
  Job.handle(({ i }, { attempt }) => {
    if (i % 7 === 2 && attempt === 1) throw new Error("at the first attempt");
  }, { retry }),
  Tick.handle((_, { id, due }) => written.note({ about: "tick", id, due: due?.getTime(), life })),
  Charge.handle((i) => 2 * i),
  Cart.handle(AddItem, (cart, { i }) => {
    cart.emit(ItemAdded, { i });
    return cart.state.items.length;
  }),
  ItemAdded.on(() => {}, { name: "ships" }),
  Leg.handle(async (flow, i) => {
    await flow.step("board", () => i);
    await flow.sleep("fly", 20 + i % 50);
    return await flow.step("leave", () => i + 1);
  }),
  Trip.handle(async (flow, i) => {
    const undo = () => {};
    await flow.step("book", () => i, { undo });
    await flow.sleep("night", 20 + i % 100);
    const leg = await flow.send(Leg, i);
    const paid = await flow.send(Charge, i);
    const gone = await flow.wait(Go);
    return await flow.step("last", () => leg.ok && paid.ok ? leg.value + paid.value + gone : -1);
  }),
  Meter.handle(async (flow, first) => {
    let state = first;
    await flow.step("round", () => state.round);
    for (let n = 0; n < 8; n++) {
      const [added, asked, over] = await flow.wait([Add, Ask, Over]);
      if (over !== undefined) return state;
      if (added !== undefined) state = { ...state, told: [...state.told, added.value] };
      else if (asked !== undefined) {
        state = { ...state, answers: state.answers + 1 };
        asked.value.answer({ ordinal: state.answers, of: asked.value.input });
      }
    }
    return flow.again({ ...state, round: state.round + 1 });
  }),
];

/** What the node has logged of the file itself. */
const complaints: string[] = [];
const complain = (text: string) => void complaints.push(text);
const real = await catga({
  handlers: written.handlers(handlers, written.life),
  behaviors: [written.behavior(written.life)],
  file: join(folder, "app.db"),
  id: written.life.node,
  service: "program",
  timeout: 60_000,
  logger: { debug() {}, info() {}, warn: complain, error: complain },
});
const app = written.app(real, written.life, { step: () => undefined, leavesOut: () => false });

if (mode === "load") await load(app);
console.log(JSON.stringify(await judge(app)));
await real.drain();
written[Symbol.dispose]();

/** Puts load on the file, until the process is killed. */
async function load(app: Catga): Promise<never> {
  let answers = 0;
  const answered = () => {
    if (++answers % 10 === 0) console.log(JSON.stringify({ answers }));
  };
  const each = async (workers: number, pause: number, work: (i: number) => Promise<unknown>) => {
    await Promise.all(Array.from({ length: workers }, async (_, worker) => {
      for (let i = FIRST + worker;; i += workers) {
        await work(i);
        answered();
        await app.clock.sleep(pause);
      }
    }));
  };
  const first = { round: 1, told: [], answers: 0 };
  for (const id of METERS) unwrap(await app.start(Meter, first, { id }));
  // given once: a cron that is given again waits until it is not due
  if (FIRST === 0) void await app.enqueue(Tick, undefined, { cron: "* * * * * *", id: "tick" });
  void app.lead("chief", (signal) => new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve())));
  await Promise.all([
    each(4, 2, (i) => app.publish(Told, { i, key: `${i % 5}` }, { id: `told-${i}` })),
    each(2, 2, (i) => app.publish(Counted, { i }, { id: `counted-${i}` })),
    each(1, 60, (i) => app.publish(Refused, { i }, { id: `refused-${i}` })),
    each(1, 20, (i) => {
      const delay = 50 + i % 1_500;
      return app.publish(Later, { i, at: Date.now() + delay }, { id: `later-${i}`, delay });
    }),
    each(3, 2, (i) => app.enqueue(Job, { i, key: `${i % 4}` }, { id: `job-${i}` })),
    each(3, 2, (i) => app.send(Charge, i, { id: `charge-${i}` })),
    // the same id again, also of lives before
    each(1, 20, (i) => {
      const of = Math.floor(Math.random() * (Number(life) + 1)) * 1_000_000 + i % 50;
      return app.send(Charge, of, { id: `charge-${of}` });
    }),
    each(4, 2, (i) => app.send(AddItem, { cart: `c-${i % 6}`, i }, { id: `add-${i}` })),
    each(1, 50, (i) => app.load(Cart, `c-${i % 6}`)),
    each(3, 5, async (i) => {
      const id = `trip-${i}`;
      void await app.start(Trip, i, { id });
      if (i % 6 === 5) void await app.cancel(Trip, id, "on purpose");
      else void await app.tell(Go, id, 1, { id: "go" });
    }),
    each(2, 10, (i) => app.tell(Add, METERS[i % METERS.length], i, { id: `add-${i}` })),
    each(2, 10, (i) => app.ask(Ask, METERS[i % METERS.length], `${i}`, { id: `ask-${i}` })),
    each(3, 5, async () => {
      await using _lock = await app.lock("one");
      await app.clock.sleep(3);
    }),
  ]);
  throw new Error("the load has ended by itself");
}

/** Waits until everything is done, and compares it with what was acknowledged in all lives. */
async function judge(app: Catga): Promise<FileLoadLine> {
  const lives = Number(life);
  const before = readHistory(folder, lives + 1, { runs: [], deadLetters: [] });
  const wrong: string[] = [];
  const ok = (method: string, contract: string, { operations }: Pick<History, "operations"> = before.history) =>
    operations.filter((one) => one.method === method && one.contract === contract && one.outcome?.type === "ok");
  await doAgain(before.history, wrong);
  await done(app);
  // a tick comes, so the cron goes on
  const ticks = () => readHistory(folder, lives + 1, { runs: [], deadLetters: [] }).notes.filter(isTick);
  await eventually("a tick", () => ticks().some((tick) => tick.life === life));
  await app.unschedule(Tick, "tick");
  await done(app);
  const meters = new Map<string, MeterState>();
  for (const id of METERS) {
    void await app.tell(Over, id, undefined, { id: "over" });
    const { value } = await app.result(Meter, id, { timeout: 600_000 });
    if (value !== undefined) meters.set(id, value);
  }
  await using lock = await app.lock("one");
  const carts = new Map<string, readonly number[]>();
  for (let n = 0; n < 6; n++) carts.set(`c-${n}`, (await app.load(Cart, `c-${n}`)).state.items);
  const runs: RunInfo[] = await Array.fromAsync(app.runs());
  const deadLetters = [];
  for await (const { contract, subscription, id, key, position, error } of app.deadLetters()) {
    deadLetters.push({ contract, subscription, id, key, position, code: error.code, message: error.message });
  }
  const { history, notes } = readHistory(folder, lives + 1, { runs, deadLetters });

  const promised = [Told, Counted, Refused, Later, Job, Charge, AddItem, ItemAdded, Cart, Trip, Leg, Meter];
  for (const { promise, subject, text } of breachesOf(history, promised)) wrong.push(`${promise}: ${subject} ${text}`);
  wrong.push(...complaints.filter((text) => /lost|copy|damaged|takes no writes|Error/.test(text)));
  wrong.push(...wrongCarts(ok("send", "AddItem", history), carts));
  wrong.push(...wrongMeters(history, meters));
  wrong.push(...wrongSchedules(ok("publish", "Later", history), notes));
  wrong.push(...await wrongTrips(ok("start", "Trip", history)));
  for (const { contract } of deadLetters) if (contract !== "Refused") wrong.push(`a dead letter of ${contract}`);
  const tokens = history.locks.map(({ token }) => token);
  tokens.forEach((token, n) => {
    if (n > 0 && token <= tokens[n - 1]) wrong.push(`the token ${token} follows ${tokens[n - 1]}`);
  });
  if (lock.token < Math.max(...tokens)) wrong.push(`the last token is ${lock.token}`);
  const counts: Record<string, number> = {
    kills: lives,
    ticks: new Set(notes.filter(isTick).map(({ due }) => due)).size,
  };
  for (const { method, contract, outcome } of history.operations) {
    if (outcome?.type !== "ok") continue;
    const what = method === "lock" ? "lock" : `${method} ${contract}`;
    counts[what] = (counts[what] ?? 0) + 1;
  }
  return { wrong, counts };
}

/** Does again what was acknowledged, under its id: the result is the recorded one. Tells runs what a kill cut off. */
async function doAgain({ operations }: History, wrong: string[]): Promise<void> {
  for (const operation of operations) {
    const { method, contract, id, key, input, outcome, start } = operation;
    if (method === "send" && contract === "Charge" && outcome?.type === "ok") {
      const again = await app.send(Charge, input as number, { id });
      if (again.value !== outcome.value) wrong.push(`${id} gave ${outcome.value}, and then ${again.value}`);
    }
    if (method === "ask" && outcome?.type === "ok" && written.now - start < ASK_KEPT) {
      const again = await app.ask(Ask, key!, input as string, { id: `ask-${input}` });
      const [first, then] = [outcome.value, again.value].map((answer) => JSON.stringify(answer));
      if (first !== then) {
        wrong.push(`question ${input} was answered ${first}, and then ${then ?? again.error?.message}`);
      }
    }
    if (method === "start" && contract === "Trip" && Number(input) % 6 !== 5) {
      if (outcome?.type === "ok") await app.tell(Go, id!, 1, { id: "go" });
    }
  }
}

/** Resolves when all messages are handled, and no run goes on by itself. */
async function done(app: Catga): Promise<void> {
  for (let quiet = 0; quiet < 3;) {
    const open = await Array.fromAsync(app.runs({ open: true }));
    const goOn = open.filter(({ status, pending }) => status !== "waiting" || pending.some(({ next }) => next));
    const left = await unhandled(new Map([[written.life.node, real]]));
    quiet = goOn.length + left.length === 0 ? quiet + 1 : 0;
    await app.clock.sleep(quiet === 0 ? 100 : 700);
  }
}

function wrongCarts(added: readonly HistoryOperation[], carts: ReadonlyMap<string, readonly number[]>): string[] {
  const wrong: string[] = [];
  for (const [cart, items] of carts) {
    if (new Set(items).size !== items.length) wrong.push(`the cart ${cart} has an item twice`);
  }
  for (const { input, outcome } of added) {
    const { cart, i } = input as { cart: string; i: number };
    const place = (carts.get(cart) ?? []).indexOf(i) + 1;
    const told = outcome?.type === "ok" ? outcome.value : undefined;
    if (place !== told) wrong.push(`the item ${i} of ${cart} is at ${place}, and its sender was told ${told}`);
  }
  return wrong;
}

function wrongMeters({ operations }: History, meters: ReadonlyMap<string, MeterState>): string[] {
  const wrong: string[] = [];
  for (const id of METERS) {
    const told = meters.get(id)?.told;
    if (told === undefined) wrong.push(`the run ${id} has not ended with its result`);
    else if (new Set(told).size !== told.length) wrong.push(`the run ${id} took a signal twice`);
  }
  const answers = new Map<string, string>();
  for (const { method, contract, key, input, outcome } of operations) {
    if (outcome?.type !== "ok") continue;
    const isTaken = () => meters.get(key!)?.told.includes(input as number);
    if (method === "tell" && contract === "Meter.Add" && !isTaken()) {
      wrong.push(`the run ${key} has not taken ${input}`);
    }
    if (method !== "ask") continue;
    const { ordinal, of } = outcome.value as Answer;
    if (of !== input) wrong.push(`the question ${input} has the answer to ${of}`);
    const answer = `${key} ${ordinal}`;
    if ((answers.get(answer) ?? of) !== of) wrong.push(`the answer ${answer} is that of two questions`);
    answers.set(answer, of);
  }
  return wrong;
}

function wrongSchedules(scheduled: readonly HistoryOperation[], notes: readonly Note[]): string[] {
  const wrong: string[] = [];
  const later = Map.groupBy(notes.filter(({ about }) => about === "later"), ({ i }) => i);
  for (const { input } of scheduled) {
    const { i } = input as { i: number };
    if (!later.has(i)) wrong.push(`the schedule ${i} has not fired`);
  }
  for (const [i, fired] of later) {
    if (new Set(fired.map(({ id }) => id)).size > 1) wrong.push(`the schedule ${i} has fired twice`);
    for (const { at, due, now } of fired) {
      // it is due by the clock of the file, a moment after the call
      if (Number(due) < Number(at) - 1 || Number(now) < Number(due)) {
        wrong.push(`the schedule ${i} of ${at} came at ${now}, due ${due}`);
      }
    }
  }
  for (const [due, ticks] of Map.groupBy(notes.filter(isTick), ({ due }) => due)) {
    if (new Set(ticks.map(({ id }) => id)).size > 1) wrong.push(`the tick of ${due} came twice`);
  }
  return wrong;
}

async function wrongTrips(started: readonly HistoryOperation[]): Promise<string[]> {
  const wrong: string[] = [];
  for (const { id, input } of started) {
    const i = input as number;
    const { value, error } = await app.result(Trip, id!, { timeout: 1 });
    // one whose cancel was cut off waits for its signal
    const isRight = i % 6 === 5 ? error !== undefined : value === 3 * i + 2;
    if (!isRight) wrong.push(`${id} ended with ${value}: ${error?.message}`);
  }
  return wrong;
}

function isTick({ about }: Note): boolean {
  return about === "tick";
}
