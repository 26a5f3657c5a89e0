import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { describe, it } from "node:test";
import { AddItem, Cart, ItemAdded, Paid } from "../../../test/support/cart.ts";
import { counting, refusing } from "../../../test/support/schemas.ts";
import { command, event } from "./definition.ts";
import { entity } from "./entity.ts";
import { fail } from "../calls/result.ts";

const Pay = command<{ cartId: string }, number>("Pay", { key: ({ cartId }) => cartId });
const addItem = Cart.handle(AddItem, (cart, { sku }) => {
  cart.emit(ItemAdded, { sku });
  if (cart.state.paid) return fail("PAID", "this cart has been paid");
  return cart.state.items.length;
});
const pay = Cart.handle(Pay, (cart, _, ctx) => {
  cart.emit(Paid);
  return Number(ctx.headers.cents) * ctx.attempt;
});
const Told = event<{ sku: string }>("Told");
const when = { cartId: "c-1", sku: "b" };

describe("decide", () => {
  it("returns the result, what was emitted and the state, by values", async () => {
    const { result, emitted, state } = await Cart.decide(addItem, { given: [ItemAdded.of({ sku: "a" })], when });
    assertEquals(result, { ok: true, value: 2 });
    assertEquals(emitted, [{ event: "Cart.ItemAdded", payload: { sku: "b" } }]);
    assertEquals(state, { items: ["a", "b"], paid: false });
  });

  it("a command that fails has emitted nothing, and the state is that before it", async () => {
    const { result, emitted, state } = await Cart.decide(addItem, { given: [Paid.of()], when });
    assertEquals([result.error?.code, emitted, state], ["PAID", [], { items: [], paid: true }]);
  });

  it("a state that is a promise, which rejects, is a TypeError, and no more (it ended the process)", async () => {
    for (const at of ["first", "next"] as const) {
      const state = async () => await Promise.reject(new Error("no state"));
      const Async = entity("Async", { initial: () => at === "first" ? state() : 0 as unknown });
      const Made = Async.event("Made", () => state());
      const made = Async.handle(Pay, (it) => {
        it.emit(Made);
        return 1;
      });
      await assertRejects(() => Async.decide(made, { when }), TypeError, `must return the ${at} state; got a promise`);
      await new Promise((resolve) => setTimeout(resolve)); // time for an unhandled rejection to end the process
    }
  });

  it("rejects with what the handler throws", async () => {
    const bug = new RangeError("bug");
    const broken = Cart.handle(Pay, (cart) => {
      cart.emit(Paid);
      throw bug;
    });
    assertStrictEquals(await assertRejects(() => Cart.decide(broken, { when }), RangeError), bug);
  });

  it("the handler reads of its context what the test gives; reading more is an error that names it", async () => {
    const headers = { cents: "5" };
    const { result } = await Cart.decide(pay, { when, ctx: { headers, attempt: 3 } });
    assertEquals(result, { ok: true, value: 15 });
    const missing = "decide: the handler reads ctx.attempt: give it in the option ctx";
    await assertRejects(() => Cart.decide(pay, { when, ctx: { headers } }), TypeError, missing);
    await assertRejects(() => Cart.decide(pay, { when }), TypeError, "reads ctx.headers");
  });

  it("the entity has the command's key as its id, also for its first state, and a version of as many events as given", async () => {
    const Named = entity("Named", { initial: (id) => ({ id }) });
    const Kept = Named.event("Kept", (state) => state);
    const Keep = command<string>("Keep", { key: (name) => `n-${name}`, input: counting((_: string) => "parsed") });
    const seen: unknown[] = [];
    const keep = Named.handle(Keep, (named, payload) => {
      named.emit(Kept);
      seen.push(named.id, named.state.id, named.version, payload);
    });
    await Named.decide(keep, { given: [Kept.of(), Kept.of()], when: "x" });
    assertEquals(seen, ["n-x", "n-x", 2, "parsed"]);
  });

  it("waits for an asynchronous schema of the command, and rejects with what a schema finds wrong", async () => {
    const key = () => "1";
    const Add = command("Add", { key, input: counting((n: number) => Promise.resolve(n * 2)) });
    const No = command("No", { key, input: refusing({ message: "too large" }) });
    const got: unknown[] = [];
    await Cart.decide(Cart.handle(Add, (_, n) => void got.push(n)), { when: 4 });
    assertEquals(got, [8]);
    const no = Cart.handle(No, () => void got.push("ran"));
    await assertRejects(() => Cart.decide(no, { when: 4 }), TypeError, "No: too large");
    assertEquals(got, [8]);
  });

  it("events are applied as they are stored: apply gets a copy, and a state that is frozen", async () => {
    const Box = entity("Box", { initial: () => ({ at: [] as Date[] }) });
    const payloads: unknown[] = [];
    const Put = Box.event<{ at: Date; note?: string | undefined }>("Put", (box, payload) => {
      payloads.push(payload);
      return { at: [...box.at, payload.at] };
    });
    const Pushed = Box.event<Date>("Pushed", (box, at) => (box.at.push(at), box));
    const Do = command<string>("Do", { key: (id) => id });
    const nothing = Box.handle(Do, () => {});
    const payload = { at: new Date(0), note: undefined };
    const { state } = await Box.decide(nothing, { given: [Put.of(payload)], when: "b" });
    assertEquals([payloads, payloads[0] === payload], [[payload], false]);
    assert(Object.isFrozen(state) && Object.isFrozen(state.at));
    await assertRejects(() => Box.decide(nothing, { given: [Pushed.of(new Date(0))], when: "b" }), TypeError);
    const unsendable = { at: new Date(0), note: (() => "") as unknown as string };
    const put = Box.handle(Do, (box) => box.emit(Put, unsendable));
    await assertRejects(() => Box.decide(put, { when: "b" }), TypeError, "payload of Box.Put.note is a function");
  });

  it("names what an untyped caller mistakes", async () => {
    const decide = Cart.decide as unknown as (handler: unknown, options?: unknown) => Promise<unknown>;
    const takes = "Cart.decide takes what Cart.handle(…) returns; got";
    const wrong: [args: [handler: unknown, options?: unknown], message: string][] = [
      [[AddItem, { when }], `${takes} the command AddItem itself`],
      [[Told.on(() => {}), { when }], `${takes} an object`],
      [[entity("Cart", { initial: () => 0 }).handle(Pay, () => 1), { when }], `${takes} an object`],
      [[undefined, { when }], `${takes} undefined`],
      [[addItem], "Cart.decide takes an object of options; got undefined"],
      [[addItem, { when, after: [] }], "Cart.decide: unknown option after; it takes given, when, ctx"],
      [[addItem, { when, given: ItemAdded }], "Cart.decide: given must be an array of events; got an object"],
      [[addItem, { when, given: [Paid.of(), ItemAdded] }], "got the event Cart.ItemAdded itself"],
      [[addItem, { when, given: ["Cart.ItemAdded"] }], "Cart.decide: given[0] must be an event with its payload"],
    ];
    for (const [args, message] of wrong) await assertRejects(() => decide(...args), TypeError, message);
  });
});
