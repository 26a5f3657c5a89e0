import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { command, event } from "../../contract/declaration/definition.ts";
import { COMMANDS } from "../../contract/nodes/announcement.ts";
import { subscriptionSpecs } from "./spec.ts";

const Placed = event<number>("shop.Placed", { durable: true });
const Paid = event<number>("shop.Paid", { durable: true });
const Mail = command<number>("Mail", { durable: true });

function specs(...handlers: ReturnType<typeof Placed.on>[]) {
  return subscriptionSpecs(
    "shop",
    handlers.map(({ contract, "~handler": { subscription } }) => ({ contract, settings: subscription! })),
  );
}

describe("subscriptionSpecs", () => {
  it("groups handlers by the name of their subscription, and leaves read models out", () => {
    const found = specs(
      Placed.on(() => {}, { name: "billing" }),
      Paid.on(() => {}, { name: "billing", from: "start" }),
      Paid.on(() => {}),
      Paid.on(() => {}, { each: "node", name: "model" }),
    );
    const names = found.map(({ service, name, categories }) => [service, name, [...categories.keys()]]);
    assertEquals(names, [["shop", "billing", ["shop.Placed", "shop.Paid"]], ["shop", "shop-Paid", ["shop.Paid"]]]);
    assertEquals(found[0].categories.get("shop.Paid")?.from, "start");
  });

  it("gives a queued command a subscription of its own, from the start", () => {
    const [{ service, name, categories }] = specs(Mail.handle(() => {}));
    assertEquals([service, name], [COMMANDS, "Mail"]);
    assertEquals(categories.get("Mail")?.from, "start");
  });

  it("two handlers of one event in batches get the smaller ones; beside a handler of single events, single ones", () => {
    const batchOf = (...handlers: Parameters<typeof specs>) =>
      specs(...handlers)[0].categories.get("shop.Placed")?.batch;
    const [few, quick] = [{ max: 10, within: 50 }, { max: 20, within: 5 }].map((batches) =>
      Placed.onBatch(() => {}, { name: "b", ...batches })
    );
    assertEquals(batchOf(few, quick), { max: 10, within: 5 });
    assertEquals(batchOf(few, Placed.on(() => {}, { name: "b" })), undefined);
  });

  it("throws for a subscription to more contracts than its leader can read at once", () => {
    const events = Array.from({ length: 1_025 }, (_, i) => event(`E${i}`, { durable: true }));
    assertEquals(specs(...events.slice(1).map((each) => each.on(() => {}, { name: "b" }))).length, 1);
    assertThrows(
      () => specs(...events.map((each) => each.on(() => {}, { name: "b" }))),
      TypeError,
      "more than 1024 contracts",
    );
  });
});
