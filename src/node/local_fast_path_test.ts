import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { command, event, query } from "../contract/definition.ts";
import { unwrap } from "../contract/result.ts";
import { MemoryNetwork } from "../memory/network.ts";
import { catga } from "../catga.ts";
import { Mediator } from "../dispatch/mediator.ts";
import { collect } from "../dispatch/registry.ts";
import { localApp } from "../../test/support/local_app.ts";
import { counting } from "../../test/support/schemas.ts";
import { systemClock } from "../ports/clock.ts";
import { fastPaths, RequestBuilder } from "./request_builder.ts";

describe("the local fast path", () => {
  const contracts = [
    query("Plain").handle(() => {}),
    query("Keyed", { route: "hash", key: () => "k" }).handle(() => {}),
    query("NeedsKey", { route: "hash" } as never).handle(() => {}),
    query("Checked", { input: counting((n) => n) }).handle(() => {}),
    command("Ordered", { ordered: true, key: () => "k" }).handle(() => {}),
    command("Once", { idempotent: true }).handle(() => {}),
    query("Chosen", { route: ([node]) => node }).handle(() => {}),
    event("Happened").on(() => {}),
  ];

  /** The contracts that have a fast path; another node handles `shared`, too. */
  function names(shared?: string): string[] {
    const { inside } = localApp({ handlers: contracts });
    const tools = { clock: systemClock, random: () => 0, logger: undefined };
    const mediator = new Mediator(collect(contracts), [], () => {}, tools);
    const builder = new RequestBuilder(inside, { timeout: 1_000, retries: 0, route: "round-robin" });
    const alone = new Set(mediator.served.filter((name) => name !== shared));
    return [...fastPaths(inside, { mediator, builder, alone }).keys()].map(({ name }) => name);
  }

  it("is there for contracts that need no preparation, and for no others", () => {
    assertEquals(names(), ["Keyed", "Plain"]);
  });

  it("is not there for a contract that another node handles, too", () => {
    assertEquals(names("Plain"), ["Keyed"]);
  });

  it("ends when another node joins with a handler: sends are routed from then on", async () => {
    const Where = query<void, string>("Where");
    const handlers = Where.handle((_, { node }) => node);
    const network = new MemoryNetwork();
    await using a = await catga({ network, id: "a", handlers });
    assertEquals(unwrap(await a.send(Where)), "a");
    await using _b = await catga({ network, id: "b", handlers });
    const nodes = [unwrap(await a.send(Where)), unwrap(await a.send(Where))];
    assertEquals(nodes.sort(), ["a", "b"]);
  });
});
