/**
 * Two nodes in memory on virtual time that do a little of everything, for weeks: what is left of it, day by day. A
 * node restarts every six hours, and once a day one is killed.
 */
import process from "node:process";
import {
  type Catga,
  catga,
  command,
  entity,
  event,
  fail,
  type Handler,
  query,
  stream,
  unwrap,
  workflow,
} from "../../mod.ts";
import { MemoryNetwork, VirtualClock } from "../../src/testing/mod.ts";
import { answer } from "./answer.ts";
import { processor } from "./processor.ts";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
/** What ended stays for so long, so that weeks are many times that. */
const KEEP = 6 * HOUR;

const Price = query<{ sku: string }, number>("Price");
const Pay = command<{ order: number }, { receipt: string }>("Pay", { idempotent: { ttl: KEEP } });
const Pack = command<{ order: number }, void>("Pack", { durable: { keep: KEEP } });
const Nightly = command<void, void>("Nightly", { durable: { keep: KEEP } });
const Ordered = event<{ order: number; room: string }>("Ordered", { durable: { keep: KEEP }, key: ({ room }) => room });
const Refused = event<{ order: number }>("Refused", { durable: { keep: KEEP } });
const Seen = event<{ order: number }>("Seen");
const Lines = stream<{ order: number }, string>("Lines");
const Cart = entity("Cart", { initial: (): { items: number } => ({ items: 0 }) });
const Added = Cart.event<{ sku: string }>("Added", ({ items }) => ({ items: items + 1 }));
const Add = command<{ cart: string; sku: string }, number>("Add", { key: ({ cart }) => cart });
const Order = workflow<{ order: number }, string>("Order", { keep: KEEP });
const Delivered = Order.signal<{ by: string }>("Delivered");
const Patrol = workflow<{ round: number }, never>("Patrol", { keep: KEEP });

const done = { events: 0, nightly: 0, rounds: 0, packed: 0 };
const handlers: Handler[] = [
  Price.handle(({ sku }) => sku.length),
  Pay.handle(async ({ order }, ctx) => {
    await using _lock = await ctx.lock(`order:${order % 7}`);
    return { receipt: `r${order}` };
  }),
  Pack.handle(() => void done.packed++),
  Nightly.handle(() => void done.nightly++),
  Ordered.on(() => void done.events++, { name: "billing" }),
  Refused.on(() => fail("REFUSED", "always"), { name: "refunds", retry: { attempts: 3 } }),
  Seen.on(() => {}),
  Lines.handle(async function* ({ order }) {
    for (let line = 0; line < 5; line++) yield await Promise.resolve(`${order}: ${line}`);
  }),
  Cart.handle(Add, (cart, { sku }) => {
    cart.emit(Added, { sku });
    return cart.state.items;
  }),
  Order.handle(async (flow, { order }) => {
    const paid = await flow.send(Pay, { order });
    if (!paid.ok) return paid;
    await flow.sleep("pause", 10 * MINUTE);
    const { by } = await flow.wait(Delivered);
    return `${paid.value.receipt} by ${by}`;
  }),
  Patrol.handle(async (flow, { round }) => {
    await flow.sleep("pause", 10 * MINUTE);
    await flow.step("look", () => void done.rounds++);
    return flow.again({ round: round + 1 });
  }),
];

const clock = new VirtualClock();
/** Streams and buckets that were opened, by their names. */
const streams = new Set<string>();
const buckets = new Map<string, { readonly size: number }>();

class CountedNetwork extends MemoryNetwork {
  override connect(options?: Parameters<MemoryNetwork["connect"]>[0]): ReturnType<MemoryNetwork["connect"]> {
    const connection = super.connect(options);
    const { log, store } = connection;
    const [openStream, openBucket] = [log.open, store.open];
    log.open = (name, own) => {
      streams.add(name);
      return openStream.call(log, name, own);
    };
    store.open = async (name, own) => {
      const bucket = await openBucket.call(store, name, own);
      buckets.set(name, bucket as typeof bucket & { size: number });
      return bucket;
    };
    return connection;
  }
}

const network = new CountedNetwork({ clock, seed: 1, faults: { delay: 3 } });
const errors: string[] = [];
const logger = { debug() {}, info() {}, warn() {}, error: (line: string) => void errors.push(line) };
const apps: Catga[] = [];
let started = 0;
let order = 0;

async function startNode(): Promise<void> {
  apps.push(await clock.until(catga({ network, id: `n${started++}`, handlers, logger, timeout: 30_000 })));
}

/** Waits for what takes virtual time. */
function settled<T>(promise: Promise<T>): Promise<T> {
  return clock.until(promise, HOUR);
}

/** What happens in an hour: `times` of each, in six parts with ten minutes between. */
async function hour(times: number): Promise<void> {
  for (let part = 0; part < 6; part++) {
    const began = clock.monotonic();
    const asked: Promise<unknown>[] = [];
    for (let n = 0; n < times / 6; n++) asked.push(some(apps[n % apps.length], order++));
    await settled(Promise.all(asked));
    await clock.advance(Math.max(0, 10 * MINUTE - (clock.monotonic() - began)));
  }
}

/** A little of everything. */
async function some(app: Catga, order: number): Promise<void> {
  const cart = `c${order}`;
  unwrap(await app.send(Price, { sku: "tea" }));
  unwrap(await app.send(Pay, { order }, { id: `pay-${order}` }));
  unwrap(await app.enqueue(Pack, { order }, { delay: MINUTE }));
  unwrap(await app.publish(Ordered, { order, room: `room ${order % 100}` }));
  if (order % 10 === 0) unwrap(await app.publish(Refused, { order }));
  unwrap(await app.publish(Seen, { order }));
  for await (const _line of app.stream(Lines, { order })) { /* all of them */ }
  for (let n = 0; n < 3; n++) unwrap(await app.send(Add, { cart, sku: "tea" }));
  await app.forget(Cart, cart);
  await app.cache.set(`price:${order}`, { cents: order }, { ttl: HOUR });
  const run = unwrap(await app.start(Order, { order }, { id: `o${order}` }));
  unwrap(await app.tell(Delivered, run, { by: "ada" }));
}

/** Letters of what was refused are looked at and dropped, as somebody does in the morning. */
async function discardLetters(): Promise<number> {
  let letters = 0;
  for await (const letter of apps[0].deadLetters({ subscription: "refunds" })) {
    await letter.discard();
    letters++;
  }
  return letters;
}

/** The bench starts both runtimes with a collector to call. */
const collect = (globalThis as unknown as { gc(): void }).gc;

/** What is there at the end of a day. */
export interface Day {
  readonly heap: number;
  readonly messages: Readonly<Record<string, number>>;
  readonly entries: Readonly<Record<string, number>>;
  readonly timers: number;
  readonly letters: number;
  readonly processor: number;
  readonly done: typeof done;
  readonly errors: readonly string[];
}

answer({
  async start(): Promise<void> {
    for (let n = 0; n < 2; n++) await startNode();
    unwrap(await settled(apps[0].enqueue(Nightly, undefined, { id: "nightly", cron: "0 0 3 * * *" })));
    unwrap(await settled(apps[0].start(Patrol, { round: 0 }, { id: "patrol" })));
  },
  /** A day with so many of each an hour; of so many hours. */
  async day({ times, hours }: { times: number; hours: number }): Promise<Day> {
    const began = processor();
    for (let at = 1; at <= hours; at++) {
      await hour(times);
      if (at % 6 > 0 && at < hours) continue;
      const app = apps.shift()!;
      if (at === hours) network.kill(app.self.id);
      else await settled(app.drain());
      await startNode();
    }
    const letters = await settled(discardLetters());
    collect();
    await new Promise((resolve) => setTimeout(resolve, 50));
    collect();
    return {
      heap: process.memoryUsage().heapUsed / 1e6,
      messages: Object.fromEntries([...streams].map((name) => [name, network.log.get(name)?.state().messages ?? 0])),
      entries: Object.fromEntries([...buckets].map(([name, { size }]) => [name, size])),
      timers: clock.timers,
      letters,
      processor: processor() - began,
      done: { ...done },
      errors: errors.splice(0),
    };
  },
});
