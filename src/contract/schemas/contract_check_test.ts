import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { checkContract, command, event, query, stream } from "../declaration/definition.ts";
import type { AnyContract } from "../declaration/contract.ts";
import { runContracts, workflow } from "../declaration/workflow.ts";

describe("checkContract", () => {
  const Buy = command("Buy");
  const Sold = event("Sold");
  const FORGED = { kind: "command", name: "Buy" };

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
    for (
      const [value, shown] of [[undefined, "undefined"], ["Buy", '"Buy"'], [{}, "an object"], [
        FORGED,
        "an object",
      ]] as const
    ) {
      assertThrows(() => checkContract("send", value as unknown as AnyContract, "command"), TypeError, `got ${shown}`);
    }
  });
});

describe("names of contracts", () => {
  const kinds: ((name: string) => AnyContract)[] = [
    command,
    query,
    event,
    (name) => event(name, { durable: true }),
    stream,
  ];

  it("those of the messages that drive the runs of a workflow are refused: a handler would get these", () => {
    const names = Object.values(runContracts("Order-run")).map(({ name }) => name);
    for (const make of kinds) {
      for (const name of [...names, "Order-run.ended"]) {
        assertThrows(
          () => make(name),
          TypeError,
          `${name} is a message of the runs of a workflow: choose another name`,
        );
      }
    }
  });

  it("others that end with -run, or have it before a dot, are not", () => {
    for (const name of ["Order-run", "Order-run.Started", "shop.Order-run.due", "Order-runs.due", "-run.due"]) {
      for (const make of kinds) assertEquals(make(name).name, name);
    }
  });
});
