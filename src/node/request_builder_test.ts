import { describe, it } from "node:test";
import { assertEquals, assertThrows } from "@std/assert";
import { command, query } from "../contract/declaration/definition.ts";
import type { SendOptions } from "../contract/calls/send_options.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import type { RemoteRequest } from "../dispatch/remote.ts";
import { localApp } from "../../test/support/local_app.ts";
import { counting } from "../../test/support/schemas.ts";
import { RequestBuilder } from "./request_builder.ts";

const Read = query<number, number>("Read", { timeout: 500 });
const Once = command<number>("Once", { idempotent: true });

function setUp() {
  const builder = new RequestBuilder(localApp({ handlers: [] }).inside, {
    timeout: 1_000,
    retries: 3,
    route: "round-robin",
  });
  const prepare = (contract: AnyContract, options?: SendOptions) => {
    const prepared = builder.prepare("send", contract, 1, options, undefined);
    return "contract" in prepared ? { request: prepared } : { failure: prepared };
  };
  return { builder, prepare };
}

describe("RequestBuilder", () => {
  it("takes an option from the send, else from the contract, else from the app", () => {
    const { prepare } = setUp();
    const timeouts = [prepare(Read, { timeout: 5 }), prepare(Read), prepare(Once)];
    assertEquals(timeouts.map(({ request }) => request?.timeout), [5, 500, 1_000]);
    assertEquals(prepare(Read).request?.retries, 3);
  });

  it("gives an idempotent command an id of its own, unless the send has one; other messages have none", () => {
    const { prepare } = setUp();
    const ids = [prepare(Once), prepare(Once), prepare(Once, { id: "mine" })].map(({ request }) => request?.meta?.id);
    assertEquals([new Set(ids).size, typeof ids[0], ids[2]], [3, "string", "mine"]);
    assertEquals(prepare(Read).request?.meta, undefined);
  });

  it("gives an idempotent command the id that its contract makes: at once, or after its schema", async () => {
    const { builder, prepare } = setUp();
    const id = (n: number) => `n${n}`;
    const Paid = command<number>("Paid", { idempotent: true, id });
    assertEquals(prepare(Paid).request?.meta?.id, "n1");
    assertEquals(prepare(Paid, { id: "mine" }).request?.meta?.id, "mine");
    const Typed = command("Typed", { input: counting<number, number>((value) => value), idempotent: true, id });
    const parsed = (options?: SendOptions) =>
      builder.parse<unknown>(prepare(Typed, options).request!, ({ meta }) => meta?.id);
    assertEquals([await parsed(), await parsed({ id: "mine" })], ["n1", "mine"]);
  });

  it("names each send of a command of an entity whose id was given, and says how old the command is", () => {
    const app = localApp({ handlers: [] }).inside;
    const builder = new RequestBuilder(app, { timeout: 1_000, retries: 3, route: "random" }, () => true);
    const Keyed = command<number>("Keyed", { key: (n) => `${n}` });
    const metaOf = (options: SendOptions) => {
      const prepared = builder.prepare("send", Keyed, 1, options, undefined);
      return "contract" in prepared ? prepared.meta : undefined;
    };
    const [first, again] = [metaOf({ id: "x" }), metaOf({ id: "x", firstSent: new Date(app.clock.now() - 60_000) })];
    assertEquals([first?.id, again?.id, first?.send === again?.send], ["x", "x", false]);
    assertEquals(first?.span, undefined);
    const age = again!.span! - 1_000;
    assertEquals(age >= 60_000 && age < 120_000, true, `${age}`);
    // `firstSent` lies in the future, because the clock of the first sender was ahead of this one
    assertEquals(metaOf({ id: "x", firstSent: new Date(app.clock.now() + 60_000) })?.span, 1_000);
    assertEquals([metaOf({})?.send, metaOf({})?.span], [undefined, undefined]);
  });

  it("refuses a send whose signal has aborted, and every send after stop", () => {
    const { builder, prepare } = setUp();
    assertEquals(prepare(Read, { signal: AbortSignal.abort() }).failure?.error.code, "CANCELLED");
    builder.stop();
    assertEquals(prepare(Read).failure?.error.code, "CLOSED");
  });

  it("throws for an ordered contract with another route than hash, and for one, or hash, without a key", () => {
    const { prepare } = setUp();
    const Ordered = command<number>("Ordered", { ordered: true } as never);
    assertThrows(() => prepare(Ordered, { route: "random", key: "k" }), TypeError, 'has the route "hash"');
    assertThrows(() => prepare(Ordered), TypeError, "an ordered contract needs a key");
  });

  it("parse calls the key function with a payload that has passed the schema, and adds the parsed payload", async () => {
    const { builder } = setUp();
    const keys: number[] = [];
    const key = (n: number) => `${keys.push(n)}`;
    const Doubled = query("Doubled", { input: counting((n: number) => n * 2), key });
    const prepared = builder.prepare("send", Doubled, 4, undefined, undefined);
    assertEquals(keys, []);
    const ready = await builder.parse<RemoteRequest>(prepared as RemoteRequest, (go) => go);
    const { payload, parsed, key: routed } = ready as RemoteRequest;
    assertEquals({ payload, parsed, routed, keys }, { payload: 4, parsed: 8, routed: "1", keys: [4] });
  });
});
