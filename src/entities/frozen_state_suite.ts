/** Tests that only events can change the state of an entity; they run in memory and over NATS. */
import { assertEquals, assertRejects, assertThrows } from "@std/assert";
import { it } from "node:test";
import { command, entity, unwrap } from "../../mod.ts";
import { codeOf, type EntitiesHarness } from "./entities_suite.ts";
import { QUIET } from "../../test/support/quiet.ts";

interface List {
  items: string[];
}

const List = entity<List>("List", { initial: () => ({ items: [] }) });
const Put = List.event<{ sku: string }>("Put", (list, { sku }) => ({ items: [...list.items, sku] }));
const Replaced = List.event<List>("Replaced", (_, list) => list);
const Pushed = List.event<{ sku: string }>("Pushed", (list, { sku }) => {
  list.items.push(sku);
  return list;
});
// invalid `apply` functions, as a program without types may have them
const Later = List.event<{ sku: string }>("Later", ((list: List) => Promise.resolve(list)) as never);
const Nothing = List.event<{ sku: string }>("Nothing", (() => {}) as never);
interface Do {
  id: string;
  what: "put" | "push" | "change the state" | "replace and push" | "return" | "later" | "nothing";
}
const Do = command<Do, string[]>("DoWithList", { key: ({ id }) => id });
const given = { items: ["given"] };
const handler = List.handle(Do, (list, { what }) => {
  if (what === "put") list.emit(Put, { sku: what });
  if (what === "push") list.emit(Pushed, { sku: what });
  if (what === "later") list.emit(Later, { sku: what });
  if (what === "nothing") list.emit(Nothing, { sku: what });
  if (what === "change the state") list.state.items.push(what);
  if (what === "replace and push") {
    list.emit(Replaced, given);
    list.emit(Pushed, { sku: what });
  }
  return list.state.items;
});

/**
 * Defines the tests for one network.
 * @decides tests: handlers and `apply` cannot change an entity's state in place
 */
export function frozenStateSuite(harness: EntitiesHarness): void {
  it("an apply or a handler that changes the state, and an apply that returns none, fails with HANDLER_FAILED, and nothing is stored", async () => {
    await using app = await harness.start({ handlers: handler, logger: QUIET });
    for (const stored of [[], ["put"]]) {
      for (const what of ["push", "change the state", "replace and push", "later", "nothing"] as const) {
        assertEquals(codeOf(await app.send(Do, { id: "l", what })), "HANDLER_FAILED", what);
      }
      assertEquals(await app.load(List, "l", { latest: true }), {
        id: "l",
        version: stored.length,
        state: { items: stored },
      });
      if (stored.length === 0) unwrap(await app.send(Do, { id: "l", what: "put" }));
    }
    assertEquals(Object.isFrozen(given), false);
  });

  it("what load returns, or a handler returned of the state, cannot be changed, warm or cold", async () => {
    await using app = await harness.start({ handlers: handler });
    await using other = await harness.start({ handlers: handler });
    unwrap(await app.send(Do, { id: "m", what: "put" }, { node: app.self.id }));
    for (const reader of [app, other]) {
      const { state } = await reader.load(List, "m", { latest: true });
      assertThrows(() => state.items.push("more"), TypeError);
      assertThrows(() => (state.items = []), TypeError);
      const none = await reader.load(List, "none");
      assertThrows(() => none.state.items.push("more"), TypeError);
    }
    const returned = unwrap(await app.send(Do, { id: "m", what: "return" }, { node: app.self.id }));
    assertThrows(() => returned.push("more"), TypeError);
    assertEquals((await app.load(List, "m")).state.items, ["put"]);
  });

  it("decide finds it, too, and leaves the test's own payloads as they are", async () => {
    for (const what of ["push", "change the state", "replace and push"] as const) {
      await assertRejects(
        () => List.decide(handler, { given: [Put.of({ sku: "a" })], when: { id: "d", what } }),
        TypeError,
      );
    }
    const own = { items: ["own"] };
    const when = { id: "d", what: "put" } as const;
    const { state } = await List.decide(handler, { given: [Replaced.of(own)], when });
    assertEquals([state, Object.isFrozen(own), Object.isFrozen(state)], [{ items: ["own", "put"] }, false, true]);
  });
}
