import { describe, it } from "node:test";
import { assertEquals, assertStrictEquals, assertThrows } from "@std/assert";
import { command, event, query } from "../contract/declaration/definition.ts";
import { entity } from "../contract/declaration/entity.ts";
import type { Handler, Handlers, SubscriptionOptions } from "../contract/declaration/handler.ts";
import { workflow } from "../contract/declaration/workflow.ts";
import { collect } from "./registry.ts";
import * as orders from "../../test/support/orders.ts";
import * as prices from "../../test/support/prices.ts";

const names = (handlers: Handlers | undefined) =>
  Object.fromEntries(collect(handlers).map(({ handler, name }) => [name, handler.contract.name]));

const refusal = (handlers: unknown) => assertThrows(() => collect(handlers as Handlers), TypeError).message;

describe("collect", () => {
  it("of a module: its handlers, not its other exports; a handler exported twice counts once", () => {
    const found = collect(orders);
    assertEquals(found.map(({ handler }) => handler.contract.name).sort(), [
      "CountOrders",
      "CreateOrder",
      "OrderCreated",
    ]);
  });

  it("of values, modules, arrays and nested arrays: handlers named after their places", () => {
    const Price = query<void, number>("Price");
    const Tick = event("Tick");
    const shipped = [Tick.on(() => {}), [Tick.on(() => {})]];
    assertEquals(names([Price.handle(() => 1), [orders, shipped]]), {
      "handlers[0]": "Price",
      "handlers[1][0].alias": "CreateOrder",
      "handlers[1][0].announce": "OrderCreated",
      "handlers[1][0].default": "CountOrders",
      "handlers[1][1][0]": "Tick",
      "handlers[1][1][1][0]": "Tick",
    });
    assertEquals(names(Price.handle(() => 1)), { handlers: "Price" });
  });

  it("of arrays and modules that a module exports: none was found beside a handler, and nothing said so", () => {
    const Price = query<void, number>("Price");
    const around: Record<string, unknown> = { price: Price.handle(() => 1), list: [[orders.announce], 7], limits: [1] };
    // the two modules export each other
    Object.assign(around, { deep: { orders: { default: orders.default, around } }, around });
    assertEquals(names(around), {
      "handlers.price": "Price",
      "handlers.list[0][0]": "OrderCreated",
      "handlers.deep.orders.default": "CountOrders",
    });
    assertEquals(names({ list: [around.price as Handler] }), { "handlers.list[0]": "Price" });
    const modules = Array.from({ length: 30 }, (): Record<string, unknown> => ({}));
    for (const module of modules) modules.forEach((other, n) => module[`m${n}`] = other);
    modules[29].price = around.price;
    assertEquals(names(modules[0]), { "handlers.m29.price": "Price" });
  });

  it("accepts the handlers that a user's function returns", () => {
    const Price = query<string, number>("Price");
    const withDatabase = (db: Map<string, number>) => ({ price: Price.handle((sku) => db.get(sku) ?? 0), db });
    assertEquals(names(withDatabase(new Map())), { "handlers.price": "Price" });
  });

  it("undefined or an empty array has no handlers", () => {
    assertEquals(collect(undefined), []);
    assertEquals(collect([]), []);
    assertEquals(collect([[], []]), []);
  });

  it("a handler in two places counts once, under its first name", () => {
    const [first, ...rest] = collect([orders.createOrder, orders.alias, orders.createOrder]);
    assertEquals([first.name, rest.length], ["handlers[0]", 0]);
    assertStrictEquals(first.handler, orders.createOrder);
  });

  it("an event may have several handlers, in order", () => {
    const Tick = event("Tick");
    const three = [1, 2, 3].map((n) => Tick.on(() => n));
    assertEquals(collect(three).map(({ handler }): Handler => handler), three);
  });

  it("throws for two handlers of one command or query, naming both", () => {
    const Create = command("Create");
    const module = { first: Create.handle(() => {}), second: Create.handle(() => {}) };
    assertEquals(
      refusal([module]),
      "two handlers for command Create: handlers[0].first and handlers[0].second; a command or query has exactly one " +
        "handler in a node, and its name belongs to no other contract",
    );
  });

  it("throws for two handlers of one workflow, naming it", () => {
    const Order = workflow<void, void>("Order");
    assertEquals(
      refusal([Order.handle(() => {}), Order.handle(() => {})]),
      "two handlers for workflow Order: handlers[0] and handlers[1]; a workflow has exactly one handler in a node",
    );
  });

  it("throws for two contracts of one name and different kinds", () => {
    const handlers = [event("Create").on(() => {}), command("Create").handle(() => {})];
    assertEquals(
      refusal(handlers),
      "two handlers for command Create: handlers[0] and handlers[1]; a command or query has exactly one handler in a " +
        "node, and its name belongs to no other contract",
    );
  });

  it("throws for handlers of two definitions of one entity, naming both; handlers of one definition are many", () => {
    const key = (id: string) => id;
    const define = () => entity("Cart", { initial: () => 0 });
    const [one, other] = [define(), define()];
    const carts = {
      add: one.handle(command<string>("Add", { key }), () => {}),
      pay: one.handle(command<string>("Pay", { key }), () => {}),
    };
    assertEquals(names([carts]), { "handlers[0].add": "Add", "handlers[0].pay": "Pay" });
    const sell = other.handle(command<string>("Sell", { key }), () => {});
    assertEquals(
      refusal([carts, { sell }]),
      "two definitions of entity Cart: handlers[0].add and handlers[1].sell are handlers of different ones, which would " +
        "make different states of the same events; define it once, and import it",
    );
  });

  it("throws for two handlers of one event in one subscription with different settings, naming both", () => {
    const LIMITED = JSON.stringify([{ name: "", running: 1, count: null, ms: null, burst: 1, isByKey: true }]);
    const Paid = event("shop.Paid", { durable: true });
    const nothing = () => {};
    const differ: [SubscriptionOptions, SubscriptionOptions, string, string, string][] = [
      [{ retry: { attempts: 3 } }, {}, "retry.attempts", "3", "10"],
      [{}, { retry: { delay: [1, 2] } }, "retry.delay", "[1000,300000]", "[1,2]"],
      [{ retry: { outage: 0 } }, {}, "retry.outage", "0", "604800000"],
      [{}, { timeout: 5 }, "timeout", "that of the app", "5"],
      [{ from: "start" }, {}, "from", '"start"', '"now"'],
      [
        ...[{ limit: { key: () => "a", running: 1 } }, { limit: { key: () => "b", running: 1 } }],
        ...["limit", ...Array(2).fill(`${LIMITED} with a function key of its own`)],
      ] as [SubscriptionOptions, SubscriptionOptions, string, string, string],
    ];
    for (const [one, other, option, first, second] of differ) {
      assertEquals(
        refusal([{ a: Paid.on(nothing, one), b: Paid.on(nothing, other) }]),
        `two handlers for event shop.Paid in subscription shop-Paid: handlers[0].a has ${option} ${first}, ` +
          `handlers[0].b ${second}; they run together for each message: give both the same, or one of them another name`,
      );
      assertEquals(collect([Paid.on(nothing, one), Paid.on(nothing, { ...other, name: "other" })]).length, 2);
    }
  });

  it("two handlers of one event in one subscription may have the same settings, or be read models", () => {
    const Paid = event("shop.Paid", { durable: true });
    const Sent = event("shop.Sent", { durable: true });
    const retry = { attempts: 3, delay: [1, 2] } as const;
    const nothing = () => {};
    const both = [Paid.on(nothing, { retry }), Paid.onBatch(nothing, { retry: { ...retry } })];
    const apart = [Paid.on(nothing, { name: "mail", retry }), Sent.on(nothing, { name: "mail" })];
    const models = [Paid.on(nothing, { each: "node", timeout: 5 }), Paid.on(nothing, { each: "node" })];
    assertEquals(collect([both, apart, models]).length, 6);
  });

  it("throws for a module without handlers, naming its exports", () => {
    assertEquals(
      refusal(prices),
      "handlers has no handlers: it exports CURRENCY, Price; export what Contract.handle(…) and Contract.on(…) give",
    );
    assertEquals(
      refusal([orders, {}]),
      "handlers[1] has no handlers: it exports nothing; export what Contract.handle(…) and Contract.on(…) give",
    );
  });

  it("throws for a contract, a promise or a function, with what to pass instead", () => {
    assertEquals(refusal(orders.CreateOrder), "handlers is a contract, CreateOrder: pass what its handle(…) gives");
    assertEquals(refusal([orders.OrderCreated]), "handlers[0] is a contract, OrderCreated: pass what its on(…) gives");
    const gives = "pass what its handle(…) gives";
    assertEquals(refusal([entity("Cart", { initial: () => 0 })]), `handlers[0] is an entity, Cart: ${gives}`);
    assertEquals(refusal(workflow("Trip")), `handlers is a workflow, Trip: ${gives}`);
    assertEquals(
      refusal(import("../../test/support/orders.ts")),
      "handlers is a promise: await it, and pass what it gives",
    );
    const shape = "must be a module namespace (import * as orders), a handler, or an array of these";
    assertEquals(
      refusal((db: unknown) => db),
      `handlers ${shape}; got a function: call it, and pass the handlers that it gives`,
    );
    assertEquals(refusal("./orders.ts"), `handlers ${shape}; got "./orders.ts"`);
    assertEquals(refusal([orders, null]), `handlers[1] ${shape}; got null`);
  });
});
