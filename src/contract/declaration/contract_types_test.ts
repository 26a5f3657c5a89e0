/**
 * The types of contracts, as the compiler sees them: `deno check` and tsc read this file, and report an error that is
 * expected (`@ts-expect-error`) and does not come. Wrong code here is compiled, and never run.
 */
import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import * as v from "valibot";
import { z } from "zod";
import {
  type Catga,
  catga,
  command,
  type Context,
  type Contract,
  entity,
  event,
  fail,
  type Failure,
  type InputOf,
  type NodeInfo,
  type OutputOf,
  query,
  type Result,
  type Strategy,
  unwrap,
} from "../../../mod.ts";
import type { AnyContract } from "./contract.ts";
import type { SendArgs } from "../calls/send_options.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends (<T>() => T extends B ? 1 : 2) ? true : false;

/** Compiles only if its type argument is `true`, as for two equal types: `same<Equal<A, B>>()`. */
function same<_ extends true>(): void {}

/** Takes a function that the compiler has to check, and does not call it. */
function compiles(read: (app: Catga, ctx: Context) => unknown): void {
  assertEquals(typeof read, "function");
}

interface Order {
  sku: string;
  qty: number;
}
interface Created {
  orderId: string;
}

const CreateOrder = command<Order, Created>("CreateOrder", { idempotent: true, key: (order) => order.sku });
const Rename = command<{ id: string; name?: string }>("Rename");
const Ping = query<void, "pong">("Ping");
const Reset = command("Reset");
const Find = query<string | undefined, Order | null>("Find");
const OrderCreated = event<Created>("OrderCreated");
const Tick = event("Tick");

const ZodBook = command("ZodBook", {
  input: z.object({ at: z.iso.datetime().transform((text) => new Date(text)), seats: z.number().default(1) }),
  output: z.object({ price: z.number().transform(String) }),
});
const ValibotBook = query("ValibotBook", {
  input: v.object({ at: v.pipe(v.string(), v.transform((text) => new Date(text))), seats: v.optional(v.number(), 1) }),
  output: v.object({ price: v.pipe(v.number(), v.transform(String)) }),
});
const ZodHappened = event("ZodHappened", { input: z.object({ at: z.coerce.date<string>() }) });
const HalfSchema = command<{ n: number }, string>("HalfSchema", { input: z.object({ n: z.number() }) });

describe("types of contracts", () => {
  it("type arguments: a payload must fit", () => {
    compiles((app) => [
      app.send(CreateOrder, { sku: "tea", qty: 2 }),
      // @ts-expect-error wrong type of a property
      app.send(CreateOrder, { sku: "tea", qty: "2" }),
      // @ts-expect-error missing property
      app.send(CreateOrder, { sku: "tea" }),
      // @ts-expect-error excess property
      app.send(CreateOrder, { sku: "tea", qty: 2, color: "green" }),
      // @ts-expect-error excess property beside an optional one
      app.send(Rename, { id: "1", nmae: "tea" }),
      // @ts-expect-error the payload is missing
      app.send(CreateOrder),
      // @ts-expect-error the payload must not be undefined
      app.send(CreateOrder, undefined),
      // @ts-expect-error excess property
      app.publish(OrderCreated, { orderId: "1", at: 3 }),
      // @ts-expect-error wrong type of a property
      app.broadcast(OrderCreated, { orderId: 1 }),
    ]);
  });

  it("type arguments: the result is that of the contract", () => {
    compiles(async (app) => {
      const created = await app.send(CreateOrder, { sku: "tea", qty: 2 });
      same<Equal<typeof created, Result<Created>>>();
      const found = await app.send(Find);
      same<Equal<typeof found, Result<Order | null>>>();
      const all = await app.broadcast(Ping);
      same<Equal<(typeof all)[number]["result"], Result<"pong">>>();
      const renamed = await app.send(Rename, { id: "1" });
      same<Equal<typeof renamed, Result<void>>>();
      const published = await app.publish(Tick);
      same<Equal<typeof published, Result<void, never>>>();
      // @ts-expect-error `value` may be undefined until `ok` was checked
      created.value.orderId;
      // @ts-expect-error no such property in the answer
      unwrap(created).id;
    });
  });

  it("a result is told apart by ok, destructured or not", () => {
    compiles(async (app) => {
      const result = await app.send(CreateOrder, { sku: "tea", qty: 2 });
      if (result.ok) same<Equal<typeof result.value, Created>>();
      else same<Equal<typeof result, Failure>>();
      const { ok, value, error } = result;
      if (ok) value.orderId;
      else error.code;
      same<Equal<typeof value, Created | undefined>>();
    });
  });

  it("a payload that may be undefined may be left out", () => {
    compiles((app, ctx) => [
      app.send(Ping),
      app.send(Reset),
      app.send(Find),
      app.send(Find, "tea"),
      app.publish(Tick),
      app.broadcast(Tick),
      app.send(Ping, undefined, { timeout: 100 }),
      ctx.send(Ping),
      ctx.publish(Tick),
      // @ts-expect-error the second argument is the payload, not the options
      app.send(Ping, { timeout: 100 }),
      // @ts-expect-error a void contract takes no payload
      app.send(Reset, 3),
      // @ts-expect-error the payload may be a string or left out, and is a number here
      app.send(Find, 3),
    ]);
  });

  it("kinds: commands and queries are sent, events published, both broadcast", () => {
    compiles((app, ctx) => [
      // @ts-expect-error an event is not sent
      app.send(OrderCreated, { orderId: "1" }),
      // @ts-expect-error a command is not published
      app.publish(CreateOrder, { sku: "tea", qty: 2 }),
      // @ts-expect-error a query is not published
      app.publish(Ping),
      // @ts-expect-error an event is not sent from a handler either
      ctx.send(Tick),
      // @ts-expect-error a command is not published from a handler either
      ctx.publish(Reset),
      // @ts-expect-error an event has no method `handle`
      () => OrderCreated.handle(() => {}),
      // @ts-expect-error a command has no method `on`
      () => CreateOrder.on(() => {}),
    ]);
  });

  it("handlers: the payload is the contract's, and so is what they return", () => {
    compiles(() => [
      CreateOrder.handle((order) => {
        same<Equal<typeof order, Order>>();
        return { orderId: order.sku };
      }),
      CreateOrder.handle(({ qty }) => qty < 1 ? fail("BAD_QUANTITY", "none") : { orderId: "1" }),
      CreateOrder.handle(async (_, ctx) => {
        const published = await ctx.publish(OrderCreated, { orderId: "1" });
        return published.ok ? { orderId: "1" } : published;
      }),
      Rename.handle(() => {}),
      Tick.on(() => 3),
      // @ts-expect-error wrong type of the result
      CreateOrder.handle(() => ({ orderId: 1 })),
      // @ts-expect-error missing result
      CreateOrder.handle(() => {}),
      // @ts-expect-error wrong result of an async handler
      CreateOrder.handle(() => Promise.resolve("1")),
      // @ts-expect-error a handler may return the result of a send only if it is known to be a failure
      CreateOrder.handle((order, ctx) => ctx.send(CreateOrder, order)),
      // @ts-expect-error the handler returns another literal than the contract's answer
      Ping.handle(() => "ping"),
      // @ts-expect-error no such property in the payload
      CreateOrder.handle(({ color }) => ({ orderId: color })),
      // @ts-expect-error no such property in the event
      OrderCreated.on(({ id }) => id),
      // @ts-expect-error the handler takes another payload than the contract's
      CreateOrder.handle((order: { sku: number }) => ({ orderId: `${order.sku}` })),
    ]);
  });

  it("ctx: sends with the same types as the app, and has what a message comes with", () => {
    compiles(async (_, ctx) => {
      const created = await ctx.send(CreateOrder, { sku: "tea", qty: 2 });
      same<Equal<typeof created, Result<Created>>>();
      same<Equal<typeof ctx.signal, AbortSignal>>();
      same<Equal<typeof ctx.causationId, string | undefined>>();
      // @ts-expect-error missing property
      ctx.send(CreateOrder, { sku: "tea" });
      // @ts-expect-error missing payload
      ctx.publish(OrderCreated);
      // @ts-expect-error the members of a context are read only
      ctx.id = "mine";
    });
  });

  it("options: routes by name or function, and nothing that is not known", () => {
    const first: Strategy = (candidates: readonly NodeInfo[]) => candidates[0];
    compiles((app) => [
      app.send(Ping, undefined, { route: "hash", key: "tea" }),
      app.send(Ping, undefined, { route: first }),
      // @ts-expect-error no such route
      app.send(Ping, undefined, { route: "roundrobin" }),
      // @ts-expect-error no such option
      app.send(Ping, undefined, { timeuot: 100 }),
      // @ts-expect-error a timeout is a number of ms, not a text
      app.send(Ping, undefined, { timeout: "1s" }),
      // @ts-expect-error headers are strings
      app.send(Ping, undefined, { headers: { attempt: 1 } }),
      // @ts-expect-error no such route
      () => command("X", { route: "sticky" }),
      // @ts-expect-error a query does not take the option `idempotent`
      () => query("X", { idempotent: true }),
      // @ts-expect-error an event does not take the option `timeout`
      () => event("X", { timeout: 5 }),
      // @ts-expect-error the key must be a string, not a number
      () => command<Order>("X", { key: (order) => order.qty }),
      // @ts-expect-error no such property in the payload
      () => command<Order>("X", { key: (order) => order.color }),
      // @ts-expect-error no such option
      () => CreateOrder.handle(() => ({ orderId: "1" }), { behaviour: [] }),
      // @ts-expect-error no such route
      () => catga({ route: "nearest" }),
      // @ts-expect-error a number is no handler
      () => catga({ handlers: 3 }),
    ]);
  });

  it("options that go together, and options that do not", () => {
    const key = (order: Order) => order.sku;
    const routes: Strategy = (candidates: readonly NodeInfo[]) => candidates[0];
    compiles((flag) => [
      () => command<Order>("X", { ordered: true, key }),
      () => command<Order>("X", { ordered: true, route: "hash", key: ({ sku }) => sku }),
      () => command<Order>("X", { route: "hash", key, idempotent: { ttl: 5_000 }, id: ({ sku }) => sku }),
      () => command<Order>("X", { route: routes, key, durable: { keep: Infinity } }),
      () => command<Order>("X", { route: "random", ordered: false, idempotent: false, durable: false }),
      () => command<Order>("X", { key, ordered: Boolean(flag), idempotent: Boolean(flag), durable: Boolean(flag) }),
      () =>
        command<Order>("X", {
          idempotent: Boolean(flag),
          durable: true,
          input: z.object({ sku: z.string(), qty: z.number() }),
        }),
      () => query<Order>("X", { key, ordered: Boolean(flag) }),
      () => event<Order>("X", { durable: { keep: 60_000 }, key }),
      // @ts-expect-error an ordered contract needs a key
      () => command<Order>("X", { ordered: true }),
      // @ts-expect-error an ordered contract needs a key
      () => query<Order>("X", { ordered: true, timeout: 5 }),
      // @ts-expect-error an ordered contract needs a key
      () => command<Order>("X", { ordered: true, durable: true }),
      // @ts-expect-error the route "hash" needs a key
      () => command<Order>("X", { route: "hash" }),
      // @ts-expect-error the route "hash" needs a key
      () => query<Order>("X", { route: "hash" }),
      // @ts-expect-error an ordered contract takes only the route "hash"
      () => command<Order>("X", { ordered: true, route: "round-robin", key }),
      // @ts-expect-error an ordered contract takes only the route "hash"
      () => query<Order>("X", { ordered: true, route: routes, key }),
      // @ts-expect-error only an idempotent command takes the option `id`
      () => command<Order>("X", { id: ({ sku }) => sku }),
      // @ts-expect-error only an idempotent command takes the option `id`, also if it has a key
      () => command<Order>("X", { id: ({ sku }) => sku, idempotent: false, key }),
      // @ts-expect-error only a durable event takes the option `key`
      () => event<Order>("X", { key }),
    ]);
  });

  it("durable contracts and entities: what is stored, scheduled, subscribed to and decided", () => {
    const key = (order: Order) => order.sku;
    const Now = command<Order>("Now");
    const Keyed = command<Order, Created>("Keyed", { key });
    const Ordered = command<Order>("Ordered", { key, ordered: true, timeout: 5 });
    const Once = command<Order>("Once", { key, idempotent: true });
    const Later = command<Order>("Later", { durable: true, key });
    const Told = event<Order>("Told");
    const Kept = event<Order>("Kept", { durable: true });
    const KeptByZod = event("KeptByZod", { durable: true, input: z.object({ at: z.string().transform(Number) }) });
    const LaterByZod = command("LaterByZod", { durable: true, input: z.object({ at: z.string().transform(Number) }) });
    const Cart = entity("Cart", { initial: () => ({ items: 0 }) });
    const Added = Cart.event<Order>("Added", ({ items }) => ({ items: items + 1 }));
    const order: Order = { sku: "tea", qty: 1 };
    const subscription = { name: "n", from: "start", retry: { attempts: 3 }, timeout: 5 } as const;
    compiles((app, ctx) => [
      app.enqueue(Later, order, { delay: 5 }),
      ctx.enqueue(LaterByZod, { at: "1" }),
      app.unschedule(Later, "1"),
      app.unschedule(Kept, "1"),
      app.publish(Kept, order, { delay: 5 }),
      app.publish(KeptByZod, { at: "1" }),
      Kept.on(({ qty }) => qty, subscription),
      Added.on(({ qty }) => qty, subscription),
      Added.on((_, { key }) => same<Equal<typeof key, string>>()),
      Cart.forgotten.on(({ id }) => id, subscription),
      KeptByZod.on(({ at }) => same<Equal<typeof at, number>>(), subscription),
      LaterByZod.handle(({ at }) => same<Equal<typeof at, number>>(), { retry: { attempts: 3 } }),
      Told.on(({ qty }) => qty, { each: "node", concurrency: 3 }),
      Cart.handle(Keyed, ({ id, emit }, { sku, qty }) => (emit(Added, { sku, qty }), { orderId: id })),
      Cart.handle(Ordered, (cart) => cart.emit(Added, order)),
      // @ts-expect-error only a durable command can be enqueued
      app.enqueue(Now, order),
      // @ts-expect-error a command with `durable: false` cannot be enqueued
      app.enqueue(command<Order>("X", { durable: false }), order),
      // @ts-expect-error a handler cannot enqueue a command that is not durable
      ctx.enqueue(Once, order),
      // @ts-expect-error an event that is not durable has no schedule to cancel
      app.unschedule(Told, "1"),
      // @ts-expect-error a command that is not durable has no schedule to cancel
      app.unschedule(Now, "1"),
      app.publish(Told, order, { id: "1", delay: undefined }),
      // @ts-expect-error an event that is not durable cannot be delayed
      app.publish(Told, order, { delay: 5 }),
      // @ts-expect-error a handler cannot publish an event that is not durable for later
      ctx.publish(Told, order, { at: new Date() }),
      // @ts-expect-error only a publish of a durable event takes a timeout
      app.publish(Told, order, { timeout: 5 }),
      // @ts-expect-error only commands of the entity emit its event
      app.publish(Added, order),
      // @ts-expect-error a handler cannot publish an event of an entity
      ctx.publish(Added, order),
      // @ts-expect-error a program cannot publish the event `forgotten` of an entity
      app.publish(Cart.forgotten, { id: "1" }),
      // @ts-expect-error an event that is not durable has no subscription with a name
      Told.on(() => {}, { name: "n" }),
      // @ts-expect-error a handler of an event that is not durable does not take the option `from`
      Told.on(() => {}, { from: "start" }),
      // @ts-expect-error a handler of an event that is not durable does not take the option `retry`
      Told.on(() => {}, { retry: { attempts: 3 } }),
      // @ts-expect-error a handler of a command that is not durable does not take the option `retry`
      Now.handle(() => {}, { retry: { attempts: 3 } }),
      // @ts-expect-error an entity handles only commands with a key
      Cart.handle(Now, () => {}),
      // @ts-expect-error an entity does not handle idempotent commands, because it records their results itself
      Cart.handle(Once, () => {}),
      // no error: an entity may handle a durable command
      Cart.handle(Later, () => {}),
    ]);
  });

  it("schemas of zod: the sender gives the input, the handler sees the output, and back", () => {
    same<Equal<InputOf<typeof ZodBook>, { at: string; seats?: number | undefined }>>();
    same<Equal<OutputOf<typeof ZodBook>, { price: string }>>();
    compiles((app) => [
      ZodBook.handle(({ at, seats }) => {
        same<Equal<typeof at, Date>>();
        same<Equal<typeof seats, number>>();
        return { price: at.getTime() * seats };
      }),
      ZodHappened.on(({ at }) => at.getTime()),
      app.send(ZodBook, { at: "2026-01-01T00:00:00Z" }),
      app.publish(ZodHappened, { at: "2026-01-01" }),
      // @ts-expect-error a sender passes the schema's input (a text), not its output (a `Date`)
      app.send(ZodBook, { at: new Date() }),
      // @ts-expect-error excess property
      app.send(ZodBook, { at: "2026-01-01T00:00:00Z", places: 2 }),
      // @ts-expect-error a handler returns the input of the output schema, not the value that the sender gets
      ZodBook.handle(() => ({ price: "3" })),
      // @ts-expect-error a publisher passes the schema's input (a text), not its output (a `Date`)
      app.publish(ZodHappened, { at: new Date() }),
    ]);
  });

  it("schemas of valibot: the sender gives the input, the handler sees the output, and back", () => {
    same<Equal<InputOf<typeof ValibotBook>, { at: string; seats?: number | undefined }>>();
    same<Equal<OutputOf<typeof ValibotBook>, { price: string }>>();
    compiles((app) => [
      ValibotBook.handle(({ at, seats }) => {
        same<Equal<typeof at, Date>>();
        same<Equal<typeof seats, number>>();
        return { price: at.getTime() * seats };
      }),
      app.send(ValibotBook, { at: "2026-01-01T00:00:00Z" }),
      // @ts-expect-error a sender passes the schema's input (a text), not its output (a `Date`)
      app.send(ValibotBook, { at: new Date() }),
      // @ts-expect-error a handler returns the input of the output schema, not the value that the sender gets
      ValibotBook.handle(() => ({ price: "3" })),
    ]);
  });

  it("schemas beside type arguments: must agree with them", () => {
    compiles((app) => [
      app.send(HalfSchema, { n: 1 }),
      HalfSchema.handle(({ n }) => `${n}`),
      // @ts-expect-error the schema takes another type than the contract's payload
      () => command<{ n: number }, string>("X", { input: z.object({ n: z.string() }) }),
      // @ts-expect-error a function is no validator
      () => command("X", { input: (value: unknown) => value }),
    ]);
  });

  it("code for any contract: AnyContract takes each, SendArgs carries what send takes", () => {
    const contracts: AnyContract[] = [CreateOrder, Ping, Reset, OrderCreated, Tick, ZodBook, ValibotBook];
    assertEquals(new Set(contracts.map(({ kind }) => kind)).size, 3);
    compiles((app) => {
      const relay = <In, Out>(contract: Contract<"command" | "query", In, Out>, ...args: SendArgs<In>) =>
        app.send(contract, ...args);
      const created = relay(CreateOrder, { sku: "tea", qty: 1 });
      same<Equal<typeof created, Promise<Result<Created>>>>();
      // @ts-expect-error wrong type of a property
      relay(CreateOrder, { sku: "tea", qty: "1" });
      // @ts-expect-error missing payload
      return relay(CreateOrder);
    });
  });

  it("InputOf and OutputOf: what a sender gives and gets", () => {
    same<Equal<InputOf<typeof CreateOrder>, Order>>();
    same<Equal<OutputOf<typeof CreateOrder>, Created>>();
    same<Equal<InputOf<typeof Ping>, void>>();
    same<Equal<OutputOf<typeof Ping>, "pong">>();
    same<Equal<InputOf<typeof OrderCreated>, Created>>();
    same<Equal<OutputOf<typeof OrderCreated>, void>>();
    same<Equal<OutputOf<typeof Find>, Order | null>>();
  });

  it("what compiles runs: transforms of zod and valibot, on both sides", async () => {
    await using app = await catga({
      handlers: [
        ZodBook.handle(({ at, seats }) => ({ price: at.getUTCFullYear() * seats })),
        ValibotBook.handle(({ at, seats }) => ({ price: at.getUTCFullYear() * seats })),
      ],
    });
    const at = "2026-01-01T00:00:00Z";
    assertEquals(unwrap(await app.send(ZodBook, { at })), { price: "2026" });
    assertEquals(unwrap(await app.send(ValibotBook, { at, seats: 2 })), { price: "4052" });
    // a payload that does not compile, sent by a program without types, becomes a failed result
    const refused = await app.send(ZodBook, { at: "tomorrow" });
    assert(!refused.ok);
    assertEquals(refused.error.code, "INVALID_MESSAGE");
  });
});
