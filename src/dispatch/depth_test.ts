/** Payloads, answers, failures and cached values whose nesting is deeper than the stack. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, command, event, fail, query, unwrap } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

/** More than `JSON.stringify` takes with a `Date` inside: 5,000 in Deno, 40,000 in Bun. */
const DEPTH = 50_000;
/** What a test has, in ms: `JSON.stringify` of Bun takes more than a second to find that this is too deep. */
const LIMIT = 300_000;
const slow = { timeout: LIMIT };

const Once = command<unknown, unknown>("Once", { idempotent: true });
const Look = query<void, unknown>("Look");
const Refuse = command<void, void>("Refuse");
const Passed = event<unknown>("Passed");

describe("values of 50,000 levels", await requireNatsServer(), () => {
  it(
    "is the payload of an idempotent command over the wire, and its fingerprint detects another payload",
    slow,
    async () => {
      await using server = await startNatsServer();
      const handlers = Once.handle((payload) => innermost(payload));
      await using _node = await catga({ nats: server.url, id: "node", service: "node", handlers });
      await using app = await catga({ nats: server.url, id: "app", service: "app" });
      assertEquals(unwrap(await app.send(Once, nested(DEPTH), { id: "deep", timeout: LIMIT })), INNERMOST);
      assertEquals((await app.send(Once, nested(10), { id: "deep", timeout: LIMIT })).error?.code, "ID_REUSED");
    },
  );

  it("can be an answer", slow, async () => {
    await using server = await startNatsServer();
    const deep = nested(DEPTH);
    await using _node = await catga({
      nats: server.url,
      id: "node",
      service: "node",
      handlers: Look.handle(() => deep),
    });
    await using app = await catga({ nats: server.url, id: "app", service: "app" });
    assertEquals(innermost(unwrap(await app.send(Look, undefined, { timeout: LIMIT }))), INNERMOST);
  });

  it("can be the details of a failure, the payload of an event and a cached value", slow, async () => {
    await using server = await startNatsServer();
    const deep = nested(DEPTH);
    const passed = Promise.withResolvers<unknown>();
    const handlers = [Refuse.handle(() => fail("NO", "no", { details: deep })), Passed.on(passed.resolve)];
    await using _node = await catga({ nats: server.url, id: "node", service: "node", handlers });
    await using app = await catga({ nats: server.url, id: "app", service: "app" });
    assertEquals(innermost((await app.send(Refuse, undefined, { timeout: LIMIT })).error?.details), INNERMOST);
    unwrap(await app.publish(Passed, deep));
    assertEquals(innermost(await passed.promise), INNERMOST);
    await app.cache.set("deep", deep);
    assertEquals(innermost(await app.cache.get("deep")), INNERMOST);
  });

  it("is the payload of an idempotent command in one process", slow, async () => {
    await using app = await catga({ handlers: Once.handle(() => 1) });
    assertEquals(await app.send(Once, nested(DEPTH), { id: "deep", timeout: LIMIT }), { ok: true, value: 1 });
    assertEquals((await app.send(Once, nested(DEPTH + 1), { id: "deep", timeout: LIMIT })).error?.code, "ID_REUSED");
  });
});

function nested(levels: number): unknown {
  let value: unknown = new Date(0);
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

/** What is innermost, and how many levels lie around it. */
function innermost(value: unknown): unknown[] {
  let inner = value;
  let levels = 0;
  for (; typeof inner === "object" && inner !== null && !(inner instanceof Date); levels++) {
    inner = Object.values(inner)[0];
  }
  return [levels, inner];
}

const INNERMOST = [DEPTH, new Date(0)];
