import { describe, it } from "node:test";
import { assertThrows } from "@std/assert";
import { checkContract, command, event } from "./definition.ts";
import type { AnyContract } from "./contract.ts";
import { workflow } from "./workflow.ts";

describe("checkContract", () => {
  const Buy = command("Buy");
  const Sold = event("Sold");

  it("accepts a contract of one of the kinds", () => {
    checkContract("send", Buy, "command", "query");
    checkContract("publish", Sold, "event");
  });

  it("refuses a contract of another kind, and names the method to use", () => {
    const wanted = "send: the first argument must be what command(…) or query(…) gives; got event Sold: publish it";
    assertThrows(() => checkContract("send", Sold, "command", "query"), TypeError, wanted);
    assertThrows(() => checkContract("publish", Buy, "event"), TypeError, "got command Buy: send it");
    const Order = workflow<void>("Order") as never;
    assertThrows(() => checkContract("send", Order, "command"), TypeError, "got workflow Order: start it");
  });

  it("refuses a handler, and names its contract", () => {
    const handler = Buy.handle(() => {}) as unknown as AnyContract;
    assertThrows(() => checkContract("send", handler, "command"), TypeError, "a handler: give its contract, Buy");
  });

  it("refuses any other value, and shows it", () => {
    for (const [value, shown] of [[undefined, "undefined"], ["Buy", '"Buy"'], [{}, "an object"]] as const) {
      assertThrows(() => checkContract("send", value as unknown as AnyContract, "command"), TypeError, `got ${shown}`);
    }
  });
});
