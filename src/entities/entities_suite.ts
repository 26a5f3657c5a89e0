/** Tests of what entities promise; they run in memory and over NATS. */
import { assertEquals, assertLess, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { it } from "node:test";
import { eventually } from "../../test/support/eventually.ts";
import {
  type Behavior,
  type Catga,
  CatgaError,
  type CatgaOptions,
  command,
  entity,
  event,
  fail,
  query,
  type Result,
  unwrap,
} from "../../mod.ts";
import { retry } from "../behaviors/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";

/**
 * Starts nodes on one network, in a namespace of their own.
 * @decides tests that run in memory and over NATS alike, or for each implementation, are in a file `…_suite.ts`
 * beside the code, which `…_test.ts` and `…_nats_test.ts` of the folder call
 */
export interface EntitiesHarness {
  start(options: CatgaOptions): Promise<Catga>;
}

interface CartState {
  readonly items: readonly string[];
  readonly paid: boolean;
}

/** The entity of these tests, a shopping cart; its events and commands follow. */
export const Cart = entity<CartState>("Cart", { initial: () => ({ items: [], paid: false }) });
export const ItemAdded = Cart.event<{ sku: string }>(
  "ItemAdded",
  (cart, { sku }) => ({ ...cart, items: [...cart.items, sku] }),
);
export const Paid = Cart.event("Paid", (cart) => ({ ...cart, paid: true }));
export const AddItem = command<{ cartId: string; sku: string; times?: number }, number, "PAID">("AddItem", {
  key: ({ cartId }) => cartId,
});
export const Pay = command<{ cartId: string }, void, "PAID">("Pay", { key: ({ cartId }) => cartId });
export const Look = command<{ cartId: string }, number>("Look", { key: ({ cartId }) => cartId });
export const addItem = Cart.handle(AddItem, (cart, { sku, times = 1 }) => {
  if (cart.state.paid) return fail("PAID", "this cart has been paid");
  for (let i = 0; i < times; i++) cart.emit(ItemAdded, { sku });
  return cart.state.items.length;
});
export const pay = Cart.handle(Pay, async (cart, _, ctx) => {
  await ctx.clock.sleep(1);
  if (cart.state.paid) return fail("PAID", "this cart has been paid");
  cart.emit(Paid);
});
export const look = Cart.handle(Look, (cart) => cart.version);
/** All handlers of the cart's commands. */
export const handlers = [addItem, pay, look];

/** Defines the tests of entities for one network. */
export function entitiesSuite(harness: EntitiesHarness): void {
  it("a command is stored, its result is what the handler returned, and the state follows from its events", async () => {
    await using app = await harness.start({ handlers });
    assertEquals(unwrap(await app.send(AddItem, { cartId: "c-1", sku: "tea" })), 1);
    assertEquals(unwrap(await app.send(AddItem, { cartId: "c-1", sku: "milk", times: 2 })), 3);
    assertEquals(unwrap(await app.send(Look, { cartId: "c-1" })), 3);
    assertEquals(await app.load(Cart, "c-1"), {
      id: "c-1",
      version: 3,
      state: { items: ["tea", "milk", "milk"], paid: false },
    });
    assertEquals(await app.load(Cart, "none"), { id: "none", version: 0, state: { items: [], paid: false } });
  });

  it("a handler loads an entity through its context, as long as its message has time", async () => {
    const CountItems = query<{ cartId: string }, number>("CountItems");
    const late: unknown[] = [];
    const count = CountItems.handle(async ({ cartId }, ctx) => {
      if (cartId !== "late") return (await ctx.load(Cart, cartId, { latest: true })).state.items.length;
      await ctx.clock.sleep(60_000).catch(() => {});
      late.push(await ctx.load(Cart, cartId).then(() => "loaded", (error) => error.code));
      return 0;
    });
    await using app = await harness.start({ handlers: [...handlers, count] });
    unwrap(await app.send(AddItem, { cartId: "c-14", sku: "tea", times: 2 }));
    assertEquals(unwrap(await app.send(CountItems, { cartId: "c-14" })), 2);
    assertEquals(codeOf(await app.send(CountItems, { cartId: "late" }, { timeout: 50 })), "TIMEOUT");
    await eventually("the late handler", () => late.length === 1);
    assertEquals(late, ["TIMEOUT"]);
  });

  it("another node reads what was stored, and decides on it", async () => {
    await using one = await harness.start({ handlers });
    await using other = await harness.start({ handlers });
    for (let n = 1; n <= 10; n++) {
      const node = n % 2 === 0 ? one.self.id : other.self.id;
      assertEquals(unwrap(await one.send(AddItem, { cartId: "c-2", sku: `${n}` }, { node })), n);
    }
    assertEquals((await other.load(Cart, "c-2", { latest: true })).version, 10);
    assertEquals(unwrap(await other.send(Pay, { cartId: "c-2" }, { node: other.self.id })), undefined);
    const refused = await one.send(AddItem, { cartId: "c-2", sku: "late" }, { node: one.self.id });
    assertEquals(codeOf(refused), "PAID");
  });

  it("a failure is that of the latest state, whatever this node knew", async () => {
    await using one = await harness.start({ handlers });
    await using other = await harness.start({ handlers });
    const cart = { cartId: "c-3" };
    unwrap(await one.send(Look, cart, { node: one.self.id }));
    unwrap(await one.send(Pay, cart, { node: other.self.id }));
    assertEquals(codeOf(await one.send(Pay, cart, { node: one.self.id })), "PAID");
    assertEquals(unwrap(await one.send(Look, cart, { node: one.self.id })), 1);
  });

  it("many commands at once on two nodes: each is applied once", async () => {
    await using one = await harness.start({ handlers });
    await using other = await harness.start({ handlers });
    const sent = Array.from({ length: 60 }, (_, n) => {
      const [app, node] = n % 2 === 0 ? [one, one.self.id] : [other, other.self.id];
      const add = async (): Promise<number> => {
        const result = await app.send(AddItem, { cartId: "c-4", sku: `${n}` }, { node, id: `add-${n}` });
        return codeOf(result) === "CONFLICT" ? await add() : unwrap(result);
      };
      return add();
    });
    const results = await Promise.all(sent);
    assertEquals(results.toSorted((a, b) => a - b), Array.from({ length: 60 }, (_, n) => n + 1));
    const { state: { items } } = await one.load(Cart, "c-4", { latest: true });
    assertEquals(items.length, 60);
    for (const [n, at] of results.entries()) assertEquals(items[at - 1], `${n}`);
  });

  it("a command that comes again gets its recorded result, on any node, and another payload is ID_REUSED", async () => {
    await using one = await harness.start({ handlers });
    await using other = await harness.start({ handlers });
    const payload = { cartId: "c-5", sku: "tea" };
    assertEquals(unwrap(await one.send(AddItem, payload, { id: "first", node: one.self.id })), 1);
    assertEquals(unwrap(await one.send(AddItem, payload, { id: "second", node: one.self.id })), 2);
    for (const node of [one.self.id, other.self.id]) {
      assertEquals(unwrap(await one.send(AddItem, payload, { id: "first", node })), 1);
      const reused = await one.send(AddItem, { ...payload, sku: "milk" }, { id: "first", node });
      assertEquals(codeOf(reused), "ID_REUSED");
    }
    assertEquals((await one.load(Cart, "c-5", { latest: true })).version, 2);
  });

  it("two commands with one id are two commands: each is applied, and remembered", async () => {
    await using app = await harness.start({ handlers });
    const cart = { cartId: "c-12" };
    unwrap(await app.send(AddItem, { ...cart, sku: "tea" }, { id: "both" }));
    for (let n = 0; n < 2; n++) {
      assertEquals(unwrap(await app.send(Pay, cart, { id: "both" })), undefined);
      assertEquals(unwrap(await app.send(AddItem, { ...cart, sku: "tea" }, { id: "both" })), 1);
    }
    const { version, state } = await app.load(Cart, "c-12", { latest: true });
    assertEquals([version, state.paid], [2, true]);
  });

  // regression: a command whose id Catga had made was applied twice
  it("a command is applied once, although a behavior that throws has retry() run it again", async () => {
    let runs = 0;
    const throwsOnce: Behavior = async (_, next) => {
      const result = await next();
      if (runs++ % 2 === 0) throw new Error("the audit is down");
      return result;
    };
    const twice: Behavior = async (_, next) => (await Promise.all([next(), next()]))[0];
    for (const [n, behaviors] of [[retry({ backoff: 0 }), throwsOnce], [twice]].entries()) {
      await using app = await harness.start({ handlers, behaviors, logger: QUIET });
      const payload = { cartId: `audited-${n}`, sku: "tea" };
      assertEquals(unwrap(await app.send(AddItem, payload)), 1);
      assertEquals(unwrap(await app.send(AddItem, payload, { id: "audited" })), 2);
      assertEquals((await app.load(Cart, `audited-${n}`, { latest: true })).version, 2);
    }
  });

  it("after a restart of all nodes a command that comes again gets its recorded result", async () => {
    const payload = { cartId: "c-6", sku: "tea" };
    {
      await using app = await harness.start({ handlers });
      assertEquals(unwrap(await app.send(AddItem, payload, { id: "only" })), 1);
    }
    await using app = await harness.start({ handlers });
    assertEquals(unwrap(await app.send(AddItem, payload, { id: "only" })), 1);
    assertEquals(unwrap(await app.send(AddItem, payload)), 2);
  });

  it("a command that is sent again gets its recorded result, however much came since, also with the time of its first send", async () => {
    const Bin = entity("Bin", { initial: () => 0 });
    const Filled = Bin.event("Filled", (count) => count + 1);
    const Fill = command<{ id: string; size: number }, string>("Fill", { key: ({ id }) => id });
    const fill = Bin.handle(Fill, (bin, { size }) => {
      bin.emit(Filled);
      return "x".repeat(size);
    });
    await using app = await harness.start({ handlers: fill });
    const firstSent = new Date(app.clock.now() - 3_600_000);
    const send = (id: string, size: number, options = {}) => app.send(Fill, { id: "b", size }, { id, ...options });
    unwrap(await send("old", 1));
    for (let n = 0; n < 4; n++) unwrap(await send(`large-${n}`, 100_000));
    await using other = await harness.start({ handlers: fill });
    for (const options of [{}, { firstSent }, { node: other.self.id }, { node: other.self.id, firstSent }]) {
      assertEquals(unwrap(await send("old", 1, options)), "x");
      assertEquals(codeOf(await send("old", 2, options)), "ID_REUSED");
    }
    // a command is applied if it certainly was not applied before
    assertEquals(unwrap(await send("new", 3, { firstSent })), "xxx");
    assertEquals((await app.load(Bin, "b", { latest: true })).version, 6);
  });

  it("commands that wait for one that is stored are decided on each other's state, and stored together", async () => {
    await using app = await harness.start({ handlers });
    unwrap(await app.send(AddItem, { cartId: "c-15", sku: "first" }));
    const sent = Array.from(
      { length: 40 },
      (_, n) =>
        n === 20
          ? app.send(Look, { cartId: "c-15" })
          : app.send(AddItem, { cartId: "c-15", sku: `${n}` }, { id: `w-${n}` }),
    );
    const results = (await Promise.all(sent)).map(unwrap);
    // command 20 returns the version that it saw, and changes nothing
    assertEquals(results, Array.from({ length: 40 }, (_, n) => n < 20 ? n + 2 : n + 1));
    const { version, state: { items } } = await app.load(Cart, "c-15", { latest: true });
    assertEquals([version, items.slice(1)], [
      40,
      Array.from({ length: 40 }, (_, n) => `${n}`).filter((sku) => sku !== "20"),
    ]);
    // although stored together, each command has a result of its own
    const again = await app.send(AddItem, { cartId: "c-15", sku: "7" }, { id: "w-7" });
    assertEquals(unwrap(again), 9);
    assertEquals(codeOf(await app.send(AddItem, { cartId: "c-15", sku: "8" }, { id: "w-7" })), "ID_REUSED");
  });

  it("of two sends at once with one id one is applied, and both get its result", async () => {
    await using app = await harness.start({ handlers });
    unwrap(await app.send(AddItem, { cartId: "c-16", sku: "first" }));
    const payload = { cartId: "c-16", sku: "tea" };
    const sent = ["a", "same", "b", "same", "same"].map((id) => app.send(AddItem, payload, { id }));
    assertEquals((await Promise.all(sent)).map(unwrap), [2, 3, 4, 3, 3]);
    assertEquals((await app.load(Cart, "c-16", { latest: true })).version, 4);
  });

  it("what one command emits is TOO_LARGE if it could not be handed to another node, and is not stored", async () => {
    const Page = entity("Page", { initial: () => 0 });
    const Written = Page.event<string>("Written", (count) => count + 1);
    const Write = command<{ id: string; size: number }>("Write", { key: ({ id }) => id });
    const write = Page.handle(Write, (page, { size }) => page.emit(Written, "x".repeat(size)));
    const handled: number[] = [];
    const reading = Written.on((text) => void handled.push(text.length), { name: "readers" });
    await using app = await harness.start({ handlers: write, service: "writer" });
    await using _reader = await harness.start({ handlers: reading, service: "pages" });
    assertEquals(codeOf(await app.send(Write, { id: "p", size: 1_047_000 })), "TOO_LARGE");
    assertEquals((await app.load(Page, "p", { latest: true })).version, 0);
    unwrap(await app.send(Write, { id: "p", size: 1_030_000 }));
    await eventually("the large one", () => handled.length === 1);
    assertEquals(handled, [1_030_000]);
  });

  it("a broadcast of a command of an entity, and firstSent without an id, are misuse", async () => {
    await using app = await harness.start({ handlers });
    await using other = await harness.start({ handlers });
    const payload = { cartId: "c-broadcast", sku: "tea" };
    for (const options of [{}, { node: other.self.id }]) {
      await assertRejects(
        async () => await app.broadcast(AddItem, payload, options),
        TypeError,
        "it is a command of an entity, which is decided once, by one node: send it",
      );
    }
    assertEquals((await app.load(Cart, "c-broadcast", { latest: true })).version, 0);
    const firstSent = new Date();
    await assertRejects(async () => await app.send(AddItem, payload, { firstSent }), TypeError, "give its id, too");
    const never = { id: "x", firstSent: new Date(NaN) };
    await assertRejects(async () => await app.send(AddItem, payload, never), TypeError, "a valid Date");
  });

  it("snapshots: a cold load begins with the last one, also for commands that come again", async () => {
    {
      await using app = await harness.start({ handlers });
      for (let n = 0; n < 25; n++) {
        unwrap(await app.send(AddItem, { cartId: "c-7", sku: `${n}`, times: 10 }, { id: `a-${n}` }));
      }
    }
    await using app = await harness.start({ handlers });
    const { version, state } = await app.load(Cart, "c-7");
    assertEquals([version, state.items.length, state.items.at(-1)], [250, 250, "24"]);
    assertEquals(unwrap(await app.send(AddItem, { cartId: "c-7", sku: "3", times: 10 }, { id: "a-3" })), 40);
    assertEquals(unwrap(await app.send(AddItem, { cartId: "c-7", sku: "x" })), 251);
  });

  it("a command that is sent with another key than its contract makes is refused (it was applied to the contract's)", async () => {
    await using app = await harness.start({ handlers });
    const send = (key: string) => app.send(AddItem, { cartId: "keyed", sku: "tea" }, { key });
    const { error } = await send("other");
    assertEquals(error?.code, "INVALID_MESSAGE");
    assertStringIncludes(error!.message, 'sent with the key "other", and its contract makes the key "keyed"');
    assertEquals((await app.load(Cart, "keyed", { latest: true })).version, 0);
    assertEquals(unwrap(await send("keyed")), 1);
  });

  it("snapshots: one that was due soon after another is written later, when no command comes any more", async () => {
    const Count = command<Record<never, never>, void>("CountUp", { key: () => "n" });
    let applied = 0;
    const Counter = entity("Counter", { initial: () => 0 });
    const Counted = Counter.event("Counted", (sum) => {
      applied++;
      return sum + 1;
    });
    const handlers = Counter.handle(Count, (counter) => {
      for (let n = 0; n < 100; n++) counter.emit(Counted);
    });
    await using app = await harness.start({ handlers });
    await using reader = await harness.start({});
    for (let n = 0; n < 3; n++) unwrap(await app.send(Count, {}));
    await eventually("a snapshot of all events", async () => {
      applied = 0;
      return (await reader.load(Counter, "n", { latest: true })).state === 300 && applied === 0;
    });
  });

  it("snapshots: one that is due when its node stops is written before that", async () => {
    const Count = command<Record<never, never>, void>("CountAndStop", { key: () => "n" });
    let applied = 0;
    const Counter = entity("Stopped", { initial: () => 0 });
    const Counted = Counter.event("Counted", (sum) => {
      applied++;
      return sum + 1;
    });
    const handlers = Counter.handle(Count, (counter) => {
      for (let n = 0; n < 100; n++) counter.emit(Counted);
    });
    await using reader = await harness.start({});
    {
      await using app = await harness.start({ handlers });
      unwrap(await app.send(Count, {}));
    }
    applied = 0;
    assertEquals((await reader.load(Counter, "n", { latest: true })).state, 100);
    assertEquals(applied, 0);
  });

  it("snapshots of two versions stand beside each other: nodes of both begin with theirs, and read what follows", async () => {
    const Add = command<{ times: number }, number>("AddToTally", { key: () => "t" });
    const made = (version: number) => {
      let applied = 0;
      const Tally = entity("Tally", { initial: () => 0, version });
      const Added = Tally.event("Added", (sum) => {
        applied++;
        return sum + version;
      });
      const add = Tally.handle(Add, (tally, { times }) => {
        for (let n = 0; n < times; n++) tally.emit(Added);
        return tally.state;
      });
      return { Tally, add, version, applied: () => applied };
    };
    const start = async (versions: readonly ReturnType<typeof made>[]) =>
      await Promise.all(
        versions.map(async ({ add, version }) => await harness.start({ handlers: add, id: `v${version}` })),
      );
    {
      const apps = await start([made(1), made(2)]);
      try {
        for (let n = 1; n <= 15; n++) {
          for (const [index, { self }] of apps.entries()) {
            const sent = await apps[0].send(Add, { times: 20 }, { node: self.id });
            assertEquals(unwrap(sent), (40 * n - 20 * (1 - index)) * (index + 1));
          }
        }
      } finally {
        for (const app of apps) await app.drain();
      }
    }
    const versions = [made(1), made(2)];
    const apps = await start(versions);
    try {
      for (const [index, { Tally, version, applied }] of versions.entries()) {
        assertEquals((await apps[index].load(Tally, "t")).state, 600 * version);
        assertLess(applied(), 600); // loading began with the node's own snapshot
      }
    } finally {
      for (const app of apps) await app.drain();
    }
  });

  it("a decision that emits too much, or what cannot be sent, changes nothing", async () => {
    const Emit = command<{ id: string; what: "many" | "function" | "result" }, unknown>("Emit", {
      key: ({ id }) => id,
    });
    const Box = entity("Box", { initial: () => 0 });
    const Put = Box.event<{ n: unknown }>("Put", (sum) => sum + 1);
    const emit = Box.handle(Emit, (box, { what }) => {
      for (let n = 0; n < (what === "many" ? 513 : 1); n++) box.emit(Put, { n: what === "function" ? () => n : n });
      return what === "result" ? () => {} : 1;
    });
    await using app = await harness.start({ handlers: emit });
    assertEquals(codeOf(await app.send(Emit, { id: "b", what: "many" })), "TOO_LARGE");
    assertEquals(codeOf(await app.send(Emit, { id: "b", what: "function" })), "INVALID_MESSAGE");
    assertEquals(codeOf(await app.send(Emit, { id: "b", what: "result" })), "INVALID_RESPONSE");
    assertEquals((await app.load(Box, "b")).version, 0);
  });

  it("what a sender or reader holds is not the state: values of any kind come back as themselves", async () => {
    const Note = entity("Note", { initial: () => ({ notes: [] as { at: Date; by: Map<string, bigint> }[] }) });
    const Noted = Note.event<{ at: Date; by: Map<string, bigint> }>("Noted", ({ notes }, note) => ({
      notes: [...notes, note],
    }));
    const Take = command<{ at: Date; by: Map<string, bigint> }, Map<string, bigint>>("Take", { key: () => "n" });
    const take = Note.handle(Take, (note, given) => {
      note.emit(Noted, given);
      return given.by;
    });
    await using app = await harness.start({ handlers: take });
    const by = new Map([["a", 1n]]);
    const given = { at: new Date(5), by };
    assertEquals(unwrap(await app.send(Take, given, { id: "t" })), new Map([["a", 1n]]));
    by.set("b", 2n);
    assertEquals((await app.load(Note, "n")).state.notes, [{ at: new Date(5), by: new Map([["a", 1n]]) }]);
    by.delete("b");
    assertEquals(unwrap(await app.send(Take, given, { id: "t" })), new Map([["a", 1n]]));
  });

  it("a forgotten entity is gone, and late commands do not bring it back", async () => {
    await using one = await harness.start({ handlers });
    await using other = await harness.start({ handlers });
    const payload = { cartId: "c-8", sku: "tea", times: 60 };
    for (const node of [one.self.id, other.self.id]) unwrap(await one.send(AddItem, payload, { node }));
    await other.forget(Cart, "c-8");
    await other.forget(Cart, "c-8");
    for (const node of [one.self.id, other.self.id]) {
      const { error } = await one.send(AddItem, payload, { node });
      assertEquals([error?.code, error?.final], ["FORGOTTEN", true]);
    }
    for (const app of [one, other]) {
      const error = await assertRejects(() => app.load(Cart, "c-8", { latest: true }), CatgaError);
      assertEquals(error.code, "FORGOTTEN");
    }
    await one.forget(Cart, "never-was");
    assertEquals(codeOf(await other.send(AddItem, { cartId: "never-was", sku: "tea" })), "FORGOTTEN");
  });

  it("a handler that throws fails with HANDLER_FAILED, and its entity goes on", async () => {
    const Break = command<{ cartId: string }>("Break", { key: ({ cartId }) => cartId });
    const broken = Cart.handle(Break, (cart) => {
      cart.emit(Paid);
      throw new Error("broken");
    });
    await using app = await harness.start({ handlers: [...handlers, broken], logger: QUIET });
    assertEquals(codeOf(await app.send(Break, { cartId: "c-9" })), "HANDLER_FAILED");
    assertEquals(unwrap(await app.send(AddItem, { cartId: "c-9", sku: "tea" })), 1);
  });

  it("a handler that never ends gives up its turn at its deadline", async () => {
    const Hang = command<{ cartId: string }>("Hang", { key: ({ cartId }) => cartId, timeout: 1_000 });
    const hang = Cart.handle(Hang, () => new Promise<void>(() => {}));
    await using app = await harness.start({ handlers: [...handlers, hang] });
    await app.load(Cart, "c-10"); // opens the stores first, which may take longer than the deadline
    const hung = app.send(Hang, { cartId: "c-10" });
    assertEquals(unwrap(await app.send(AddItem, { cartId: "c-10", sku: "tea" }, { timeout: 20_000 })), 1);
    assertEquals(codeOf(await hung), "OUTCOME_UNKNOWN");
  });

  it("a key function that throws, or gives no text, is INVALID_MESSAGE at every sender, and of sendAll its own result", async () => {
    const Keyed = command<{ cart: { id: string } }, number>("Keyed", { key: ({ cart }) => cart.id });
    const keyed = Cart.handle(Keyed, (cart) => {
      cart.emit(ItemAdded, { sku: "tea" });
      return cart.state.items.length;
    });
    await using node = await harness.start({ handlers: keyed });
    await using client = await harness.start({});
    const good = { cart: { id: "c-24" } };
    for (const bad of [{}, { cart: { id: 7 as never } }] as (typeof good)[]) {
      for (const app of [node, client]) {
        for (const options of [undefined, { timeout: 5_000 }]) {
          const { error } = await app.send(Keyed, bad, options);
          assertEquals(error?.code, "INVALID_MESSAGE");
          assertMatch(`${error?.message}`, /^the key of Keyed cannot be made of this payload: /);
        }
      }
    }
    const results = await client.sendAll(Keyed, [good, {} as typeof good, good], { concurrency: 1 });
    assertEquals(results.map(({ value, error }) => error?.code ?? value), [1, "INVALID_MESSAGE", 2]);
  });

  it("misuse: an entity's event is not published, an id is a string of 1 to 256 characters", async () => {
    await using app = await harness.start({ handlers });
    await assertRejects(
      // @ts-expect-error an entity's event
      async () => await app.publish(ItemAdded, { sku: "tea" }),
      TypeError,
      "only commands of Cart emit this event: send one of them",
    );
    await assertRejects(() => app.load(Cart, ""), TypeError, "1 to 256 characters");
    await assertRejects(() => app.load({} as typeof Cart, "c"), TypeError, "load takes what entity(…) gives");
    const names = "load takes what entity(…) gives; got command AddItem: send it";
    await assertRejects(() => app.load(AddItem as never, "c"), TypeError, names);
    assertEquals(codeOf(await app.send(AddItem, { cartId: "", sku: "tea" })), "INVALID_MESSAGE");
    assertEquals(codeOf(await app.send(AddItem, { cartId: "x".repeat(257), sku: "tea" })), "INVALID_MESSAGE");
    const odd = "a.b/ö *>";
    assertEquals(unwrap(await app.send(AddItem, { cartId: odd, sku: "tea" })), 1);
    assertEquals((await app.load(Cart, odd)).version, 1);
  });

  it("subscriptions and read models get the events of entities in order, and that one was forgotten", async () => {
    const Told = event<{ n: number }>("Told", { durable: true, key: () => "k" });
    const handled: string[] = [];
    const seen: string[] = [];
    const watching = [
      ItemAdded.on(({ sku }, ctx) => void handled.push(`${ctx.correlationId} ${sku} of ${ctx.key}`), {
        name: "mixed",
        from: "start",
      }),
      Told.on(({ n }, ctx) => void handled.push(`told ${n} of ${ctx.key}`), { name: "mixed" }),
      Paid.on(() => void handled.push("paid"), { name: "mixed", from: "start" }),
      Cart.forgotten.on(({ id }) => void handled.push(`forgotten ${id}`), { name: "mixed", from: "start" }),
    ];
    const model = [
      ItemAdded.on(({ sku }, ctx) => void seen.push(`${ctx.correlationId} ${sku} of ${ctx.key}`), {
        name: "model",
        each: "node",
        from: "start",
      }),
    ];
    await using writer = await harness.start({ handlers, service: "carts" });
    const cartId = "c-11";
    unwrap(await writer.send(AddItem, { cartId, sku: "before", times: 2 }, { id: "one" }));
    await using reader = await harness.start({ handlers: watching, service: "reader" });
    await using mirror = await harness.start({ handlers: model, service: "mirror" });
    assertEquals(seen.filter((text) => text.startsWith("one ")), ["one before of c-11", "one before of c-11"]);
    unwrap(await reader.publish(Told, { n: 1 }));
    unwrap(await writer.send(AddItem, { cartId, sku: "after" }, { id: "two" }));
    unwrap(await writer.send(Pay, { cartId }, { id: "three" }));
    const own = () => handled.filter((text) => ["one", "two"].includes(text.split(" ")[0]));
    await eventually(
      "the events of the log and of the entity",
      () => own().length === 3 && handled.includes("told 1 of k"),
    );
    assertEquals(own(), ["one before of c-11", "one before of c-11", "two after of c-11"]);
    await eventually("the read model", () => seen.includes("two after of c-11"));
    await reader.forget(Cart, cartId);
    await eventually("the forgotten one", () => handled.includes(`forgotten ${cartId}`));
    const infos = (await reader.subscriptions()).filter(({ service }) => service === "reader");
    assertEquals(infos.map(({ name, contracts }) => [name, contracts]), [
      ["mixed", ["Told"]],
      ["mixed:entities", ["Cart.ItemAdded", "Cart.Paid", "Cart.forgotten"]],
    ]);
    await eventually("no lag", async () => (await reader.subscriptions()).every(({ lag }) => lag === 0));
    assertEquals(mirror.health().subscriptions.map(({ name }) => name), ["model:entities"]);
  });

  it("a durable command is enqueued, runs in its time, and is applied once, whatever becomes of its run", async () => {
    const Wake = command<{ cartId: string; sku: string }, number, "PAID">("Wake", {
      key: ({ cartId }) => cartId,
      durable: true,
    });
    let runs = 0;
    const wake = Cart.handle(Wake, (cart, { sku }) => {
      cart.emit(ItemAdded, { sku });
      return cart.state.items.length;
    }, {
      retry: { delay: [1, 1] },
      // this behavior makes the first run fail after its events were stored
      behaviors: [async (_, next) => {
        const result = await next();
        return ++runs === 1 ? { ok: false, error: new CatgaError("UNAVAILABLE", "it cannot be said") } : result;
      }],
    });
    await using app = await harness.start({ handlers: [...handlers, wake] });
    await using sender = await harness.start({});
    unwrap(await app.send(AddItem, { cartId: "c-17", sku: "first" }));
    unwrap(await sender.enqueue(Wake, { cartId: "c-17", sku: "woken" }, { delay: 50 }));
    await eventually("its second run", () => runs === 2);
    const { state: { items } } = await app.load(Cart, "c-17", { latest: true });
    assertEquals(items, ["first", "woken"]);
    // the command can be sent by `send`, too
    assertEquals(unwrap(await sender.send(Wake, { cartId: "c-17", sku: "sent" })), 3);
    assertEquals(runs, 3);
  });

  it("a queued command of a forgotten entity is a dead letter at once", async () => {
    const Wake = command<{ cartId: string }>("Wake", { key: ({ cartId }) => cartId, durable: true });
    await using app = await harness.start({ handlers: [...handlers, Cart.handle(Wake, () => {})] });
    await app.forget(Cart, "c-18");
    unwrap(await app.enqueue(Wake, { cartId: "c-18" }));
    await eventually("its letter", async () => (await Array.fromAsync(app.deadLetters())).length > 0);
    const [{ attempts, error }] = await Array.fromAsync(app.deadLetters());
    assertEquals([error.code, attempts], ["FORGOTTEN", 1]);
  });

  it("a subscription that nobody handles falls behind, and its lag says by how much", async () => {
    await using writer = await harness.start({ handlers, service: "carts" });
    const handled: string[] = [];
    const counting = ItemAdded.on(({ sku }) => void handled.push(sku), { name: "counting" });
    const add = async (sku: string) =>
      unwrap(await writer.send(AddItem, { cartId: "c-13", sku }, { node: writer.self.id }));
    const lag = async () => (await writer.subscriptions()).find(({ name }) => name === "counting:entities")?.lag;
    {
      await using _reader = await harness.start({ handlers: counting, service: "counting" });
      await add("first");
      await eventually("the first one", () => handled.includes("first"));
    }
    assertEquals(await lag(), 0);
    for (const sku of ["a", "b", "c"]) await add(sku);
    assertEquals(await lag(), 3);
    await using _reader = await harness.start({ handlers: counting, service: "counting" });
    await eventually("no lag", async () => await lag() === 0);
    assertEquals(handled, ["first", "a", "b", "c"]);
  });
}

/** Returns the code of a result's failure; `undefined` for a success. */
export function codeOf(result: Result<unknown>): string | undefined {
  return result.error?.code;
}
