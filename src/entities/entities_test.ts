import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, unwrap } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { AddItem, addItem, entitiesSuite, ItemAdded } from "./entities_suite.ts";
import { definitionsSuite } from "./definitions_suite.ts";
import { forgottenLettersSuite } from "./forgotten_letters_suite.ts";
import { frozenStateSuite } from "./frozen_state_suite.ts";
import { waitingSuite } from "./waiting_suite.ts";
import { MemoryNetwork } from "../testing/mod.ts";

describe("entities in memory", () => {
  const network = new MemoryNetwork();
  entitiesSuite({ start: (options) => catga({ network, ...options }) });
  frozenStateSuite({ start: (options) => catga({ network, ...options }) });
  forgottenLettersSuite({ start: (options) => catga({ network, ...options }) });
  definitionsSuite({ start: (options) => catga({ network, ...options }) });
  waitingSuite({ start: (options) => catga({ network, ...options }) });

  it("in an app without a network, too, subscribers and read models get what commands emit", async () => {
    const [handled, seen]: string[][] = [[], []];
    await using app = await catga({
      handlers: [
        addItem,
        ItemAdded.on(({ sku }) => void handled.push(sku), { name: "alone" }),
        ItemAdded.on(({ sku }) => void seen.push(sku), { each: "node", from: "start" }),
      ],
    });
    unwrap(await app.send(AddItem, { cartId: "c", sku: "tea" }));
    await eventually("both", () => handled.length === 1 && seen.length === 1);
    assertEquals([handled, seen], [["tea"], ["tea"]]);
  });
});
