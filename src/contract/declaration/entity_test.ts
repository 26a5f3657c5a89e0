import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import { type Catga, command, entity, event, fail, query } from "../../../mod.ts";
import { AddItem, Cart, ItemAdded, Paid } from "../../../test/support/cart.ts";

const addItem = Cart.handle(AddItem, (cart, { sku }) => {
  if (cart.state.paid) return fail("PAID", "this cart has been paid");
  cart.emit(ItemAdded, { sku });
  return cart.state.items.length;
});
const Order = entity("Order", { initial: (id) => ({ id, total: 0 }) });
const Placed = Order.event<{ cents: number }>("Placed", (order, { cents }) => ({ ...order, total: cents }));
const Told = event<{ sku: string }>("Told");

describe("entity", () => {
  it("what the compiler knows", () => {
    // the function is only compiled, and never called
    const read = (app: Catga) => [
      Cart.handle(AddItem, (cart) => {
        // @ts-expect-error an entity cannot emit an event of another entity
        cart.emit(Placed, { cents: 1 });
        // @ts-expect-error an entity cannot emit an event that belongs to no entity
        cart.emit(Told, { sku: "tea" });
        // @ts-expect-error the event has another payload
        cart.emit(ItemAdded, { sku: 1 });
        // @ts-expect-error the payload of the event is missing
        cart.emit(ItemAdded);
        // @ts-expect-error the state is read, not written
        cart.state.paid = true;
        return 1;
      }),
      // @ts-expect-error the handler returns another type than the command's result
      Cart.handle(AddItem, () => "one"),
      // @ts-expect-error the command does not declare this failure code
      Cart.handle(AddItem, () => fail("SOLD", "no")),
      // @ts-expect-error `apply` returns a value that is no state of the entity
      Cart.event<{ sku: string }>("Broken", (cart, { sku }) => ({ ...cart, items: sku })),
      // @ts-expect-error a payload that cannot be sent
      Cart.event<{ go: () => void }>("Unsendable", (cart) => cart),
      // @ts-expect-error an event of another entity
      Cart.decide(addItem, { given: [Placed.of({ cents: 1 })], when: { cartId: "1", sku: "a" } }),
      // @ts-expect-error the command has another payload
      Cart.decide(addItem, { when: { cartId: "1" } }),
      // @ts-expect-error a handler of another entity
      Order.decide(addItem, { when: { cartId: "1", sku: "a" } }),
      app,
    ];
    assertEquals(typeof read, "function");
  });

  it("schemas: an old event passes that of today", async () => {
    const Box = entity("Box", { initial: () => 0 });
    const input = z.object({ n: z.number().default(5) });
    const Put = Box.event("Put", (sum, { n }) => sum + n, { input });
    const Add = command<string>("Add", { key: (id) => id });
    const add = Box.handle(Add, (box) => box.emit(Put, { n: 1 }));
    assertEquals((await Box.decide(add, { given: [Put.of({}), Put.of({ n: 2 })], when: "b" })).state, 8);
    const bad = Box.handle(Add, (box) => box.emit(Put, { n: "1" as unknown as number }));
    await assertRejects(() => Box.decide(bad, { when: "b" }), TypeError, "refuses its payload");
  });

  it("misuse says what is wrong", async () => {
    const initial = () => 0;
    assertThrows(() => entity("a.b", { initial }), TypeError, "an entity's name");
    assertThrows(() => entity("Order-run", { initial }), TypeError, "the type of the runs of the workflow Order");
    assertThrows(() => entity("-stuck", { initial }), TypeError, "the type of the notes of stuck runs");
    assertThrows(() => entity("A", { initial: 1 as unknown as () => number }), TypeError, "initial must be a function");
    assertThrows(() => entity("A", { initial, version: 0 }), RangeError, "version");
    assertThrows(() => Cart.event("Paid", (cart) => cart), TypeError, "has an event Paid already");
    // @ts-expect-error a command without a key
    assertThrows(() => Cart.handle(command("NoKey"), () => {}), TypeError, "needs a key");
    // @ts-expect-error a query
    const asked = () => Cart.handle(query("Total", { key: () => "c" }), () => {});
    assertThrows(asked, TypeError, "Cart.handle takes a command; got query Total");
    const Once = command<string>("Once", { key: (id) => id, idempotent: true });
    // @ts-expect-error an idempotent command
    assertThrows(() => Cart.handle(Once, () => {}), TypeError, "leave idempotent out");
    const Unkept = command<string>("Add", { key: (id) => id });
    assertThrows(
      () => Cart.handle(Unkept, () => {}, { retry: { attempts: 3 } }),
      TypeError,
      "retry is of a durable command",
    );
    let kept: (() => void) | undefined;
    const Add = command<string>("AddLater", { key: (id) => id });
    const later = Cart.handle(Add, (cart) => void (kept = () => cart.emit(Paid)));
    await Cart.decide(later, { when: "c" });
    assertThrows(() => kept!(), TypeError, "has ended");
  });
});
