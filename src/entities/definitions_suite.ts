/** Tests of nodes whose definitions of an entity differ, as during a deploy; they run in memory and over NATS. */
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { it } from "node:test";
import { z } from "zod";
import { CatgaError, command, entity, type Handlers, unwrap } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import type { EntitiesHarness } from "./entities_suite.ts";

const key = ({ id }: { id: string }) => id;
const Add = command<{ id: string }, number>("AddToBag", { key });
const Gift = command<{ id: string }, number>("GiftBag", { key });

const Count = command<{ id: string }>("CountHundred", { key });
const FillJar = command<{ id: string; n: number }, number>("FillJar", { key });

/** Makes the entity as it is before the deploy: without gifts. */
function before() {
  const Bag = entity("Bag", { initial: () => 0 });
  const Added = Bag.event("Added", (count) => count + 1);
  const add = Bag.handle(Add, (bag) => {
    bag.emit(Added);
    return bag.state;
  });
  return { Bag, Added, add };
}

/** Makes the entity as it is after the deploy: with gifts. */
function after() {
  const { Bag, add } = before();
  const Gifted = Bag.event("Gifted", (count) => count + 10);
  const gift = Bag.handle(Gift, (bag) => {
    bag.emit(Gifted);
    return bag.state;
  });
  return { Bag, handlers: [add, gift] as Handlers };
}

/** Makes an entity whose state counts its events in these members; `applied` returns how many were applied since. */
function meter(...members: readonly string[]) {
  type State = Readonly<Record<string, number>>;
  let count = 0;
  const Meter = entity<State>("Meter", { initial: () => Object.fromEntries(members.map((name) => [name, 0])) });
  const Counted = Meter.event("Counted", (state) => {
    count++;
    return Object.fromEntries(members.map((name) => [name, state[name] + 1]));
  });
  const handlers = Meter.handle(Count, (entity) => {
    for (let n = 0; n < 100; n++) entity.emit(Counted);
  });
  return { Meter, handlers, applied: () => [count, count = 0][0] };
}

const Sell = command<{ id: string; at: string }>("SellSeat", { key });

/** Makes a version of an entity whose event takes these channels. */
function sales(...channels: readonly string[]) {
  const Sale = entity("Sale", { initial: () => 0 });
  const Sold = Sale.event<{ id: string; at: string }>("Sold", (count) => count + 1, {
    input: z.object({ id: z.string(), at: z.enum(channels) }),
  });
  // a second event, without a schema, which has no shape
  const Tried = Sale.event("Tried", (count) => count);
  const sell = Sale.handle(Sell, (sale, { id, at }) => {
    if (at === "") sale.emit(Tried);
    else sale.emit(Sold, { id, at });
  });
  return { Sold, sell };
}

/** Defines the tests for one network. */
export function definitionsSuite(harness: EntitiesHarness): void {
  it("an event that a node's definition lacks: UNAVAILABLE, which says what to deploy, and nothing is changed", async () => {
    const [old, young] = [before(), after()];
    await using a = await harness.start({ handlers: old.add });
    await using b = await harness.start({ handlers: young.handlers });
    const on = (app: typeof a) => ({ node: app.self.id });
    for (const id of ["warm", "cold"]) {
      if (id === "warm") unwrap(await a.send(Add, { id }, on(a)));
      unwrap(await b.send(Gift, { id }, on(b)));
      const expected =
        `Bag ${id}: its event ${id === "warm" ? 2 : 1}, Bag.Gifted, is not in this node's definition of ` +
        "Bag: deploy the definition with Bag.Gifted to all nodes first, and what emits it after that";
      const { error } = await b.send(Add, { id }, on(a));
      assertEquals([error?.code, error?.retryable, error?.message], ["UNAVAILABLE", true, expected]);
      const rejected = await assertRejects(() => a.load(old.Bag, id, { latest: true }), CatgaError, expected);
      assertEquals([rejected.code, rejected.retryable], ["UNAVAILABLE", true]);
      assertEquals((await b.load(young.Bag, id, { latest: true })).version, id === "warm" ? 2 : 1);
      assertEquals(unwrap(await b.send(Add, { id }, on(b))), id === "warm" ? 12 : 11);
    }
  });

  it("a stored event that the schema of today refuses: UNAVAILABLE, which names the entity and the remedy", async () => {
    const Box = entity("BoxOfOld", { initial: () => 0 });
    const Put = Box.event<{ n: number }>("Put", (sum, { n }) => sum + n);
    const Fill = command<{ id: string }, number>("FillBox", { key });
    const fill = Box.handle(Fill, (box) => {
      box.emit(Put, { n: 1 });
      return box.state;
    });
    const Strict = entity("BoxOfOld", { initial: () => 0 });
    Strict.event("Put", (sum, { n }) => sum + n, { input: z.object({ n: z.number().min(5, "at least 5") }) });
    const strict = Strict.handle(Fill, (box) => box.state);
    await using a = await harness.start({ handlers: fill });
    await using b = await harness.start({ handlers: strict });
    unwrap(await a.send(Fill, { id: "x" }, { node: a.self.id }));
    const expected = "BoxOfOld x: its event 1 cannot be applied: the schema of BoxOfOld.Put refuses its payload: " +
      "n: at least 5; the schema of an event has to accept all that is stored";
    const { error } = await a.send(Fill, { id: "x" }, { node: b.self.id });
    assertEquals([error?.code, error?.retryable, error?.message], ["UNAVAILABLE", false, expected]);
    await assertRejects(() => b.load(Strict, "x"), CatgaError, expected);
  });

  it("an entity that a node cannot read is an alarm of that node until the node has read it", async () => {
    const Case = entity("Case", { initial: () => 0 });
    const Packed = Case.event<{ n: number }>("Packed", (sum, { n }) => sum + n);
    const Pack = command<{ id: string }, number>("PackCase", { key });
    const pack = Case.handle(Pack, (box) => {
      box.emit(Packed, { n: 1 });
      return box.state;
    });
    let least = 5;
    const Strict = entity("Case", { initial: () => 0 });
    const input = z.object({ n: z.number().refine((n) => n >= least, "too few") });
    Strict.event("Packed", (sum, { n }) => sum + n, { input });
    await using a = await harness.start({ handlers: pack });
    await using b = await harness.start({ handlers: Strict.handle(Pack, (box) => box.state) });
    const alarms = () =>
      b.health().alarms.filter(({ kind }) => kind === "entity-unreadable").map(({ about, count, message }) => ({
        ...{ about, count, message },
      }));
    for (const id of ["y", "z"]) unwrap(await a.send(Pack, { id }, { node: a.self.id }));
    const why = (id: string) =>
      `Case ${id}: its event 1 cannot be applied: the schema of Case.Packed refuses its payload: n: too few; ` +
      "the schema of an event has to accept all that is stored";
    assertEquals(alarms(), []);
    for (let n = 0; n < 2; n++) await a.send(Pack, { id: "y" }, { node: b.self.id });
    const one = `The entity Case y cannot be read, and its commands fail: ${why("y")}`;
    assertEquals(alarms(), [{ about: "Case", count: 1, message: one }]);
    await assertRejects(() => b.load(Strict, "z"), CatgaError, why("z"));
    const two = `2 entities Case cannot be read, and their commands fail: y, z. Why the first: ${why("y")}`;
    assertEquals(alarms(), [{ about: "Case", count: 2, message: two }]);
    assertEquals(a.health().alarms.filter(({ kind }) => kind === "entity-unreadable"), []);
    // the alarm about one entity goes on, although another entity is read
    assertEquals((await b.load(Strict, "none")).version, 0);
    assertEquals(alarms()[0].count, 2);
    await a.forget(Case, "y");
    await assertRejects(() => b.load(Strict, "y", { latest: true }), CatgaError, "Case y was forgotten");
    assertEquals(alarms()[0].count, 1);
    least = 0;
    assertEquals(unwrap(await a.send(Pack, { id: "z" }, { node: b.self.id })), 1);
    assertEquals(alarms(), []);
  });

  it("an apply that throws on what another node has stored: HANDLER_FAILED each time, and the node goes on", async () => {
    const of = (most: number) => {
      const Jar = entity("Jar", { initial: () => 0 });
      const Filled = Jar.event<{ n: number }>("Filled", (sum, { n }) => {
        if (n > most) throw new Error(`${n} is more than ${most}`);
        return sum + n;
      });
      return Jar.handle(FillJar, (jar, { n }) => {
        jar.emit(Filled, { n });
        return jar.state;
      });
    };
    await using a = await harness.start({ handlers: of(1) });
    await using b = await harness.start({ handlers: of(9) });
    const fill = (n: number, { self }: typeof a) => a.send(FillJar, { id: "x", n }, { node: self.id });
    unwrap(await fill(1, a));
    unwrap(await fill(9, b));
    // node `a` has the entity in memory, and notices the event that node `b` has stored only when it stores an event
    // itself
    for (let n = 0; n < 2; n++) assertEquals((await fill(1, a)).error?.code, "HANDLER_FAILED");
    assertEquals(unwrap(await fill(1, b)), 11);
  });
  it("a state that begins with other members: a snapshot of it is not used, in a deploy or a rollback, though the version is the same", async () => {
    const [old, young] = [meter("sum"), meter("sum", "count")];
    const send = async ({ handlers }: typeof old) => {
      await using app = await harness.start({ handlers });
      unwrap(await app.send(Count, { id: "m" }));
    };
    await using reader = await harness.start({});
    const load = async ({ Meter }: typeof old) => (await reader.load(Meter, "m", { latest: true })).state;
    await send(old);
    old.applied();
    assertEquals([await load(old), old.applied()], [{ sum: 100 }, 0]);
    assertEquals([await load(young), young.applied()], [{ sum: 100, count: 100 }, 100]);
    await send(young);
    young.applied();
    assertEquals([await load(young), young.applied()], [{ sum: 200, count: 200 }, 0]);
    assertEquals([await load(old), old.applied()], [{ sum: 200 }, 200]);
    await send(old);
    assertEquals([await load(young), young.applied()], [{ sum: 300, count: 300 }, 300]);
  });

  it("subscriptions wait for the version of an event's writer, in the order of its entity, and other entities go on", async () => {
    const [old, young] = [sales("web", "app"), sales("web", "app", "kiosk")];
    const handled: string[] = [];
    const subscribe = ({ Sold }: typeof old) => (id: string) =>
      harness.start({
        ...{ id, service: "printers", logger: QUIET },
        handlers: Sold.on(({ id: sale, at }, ctx) => void handled.push(`${sale} ${at} ${ctx.node}`), { name: "print" }),
      });
    await using reader = await subscribe(old)("old");
    // a node of the deploy that is taken back stores events, and leaves
    const writer = await harness.start({ id: "canary", service: "sales", handlers: young.sell });
    // the events of the commands of `a` that wait for the first one are stored in one message
    const sent = ["", "", "kiosk", "app"].map((at) => writer.send(Sell, { id: "a", at }));
    for (const result of await Promise.all(sent)) unwrap(result);
    for (const at of ["web", "app"]) unwrap(await writer.send(Sell, { id: "b", at }));
    await writer.drain();
    const print = () => reader.health().subscriptions.find(({ name }) => name === "print:entities");
    await eventually("the other entity's events to be handled", () => handled.length === 2);
    await eventually("the refused event to be recorded", () => (print()?.retrying ?? 0) + (print()?.dead ?? 0) > 0);
    assertEquals([handled, print()?.awaiting?.contract, print()?.dead], [["b web old", "b app old"], "Sale.Sold", 0]);
    await using _ = await subscribe(young)("new");
    await eventually("the entity's events to be handled", () => handled.length === 4);
    assertEquals(handled[2], "a kiosk new");
    assertMatch(handled[3], /^a app /);
    assertEquals((await reader.subscriptions()).find(({ name }) => name === "print:entities")?.dead, 0);
  });
}
