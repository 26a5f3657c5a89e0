/** Tests of payloads, answers, failures and cached values that are nested deeply: 1,000 levels is the maximum. */
import { describe, it } from "node:test";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { catga, command, event, fail, query, unwrap } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";

const MAX_DEPTH = 1_000;
const TOO_DEEP = /is nested too deeply: 1000 levels are the most/;

const Once = command<unknown, unknown>("Once", { idempotent: true });
const Look = query<number, unknown>("Look");
const Refuse = command<number, void>("Refuse");
const Passed = event<unknown>("Passed");

describe("values of 1,000 levels", await requireNatsServer(), () => {
  it("are payloads, answers, details of failures, events and cached values; deeper ones are refused", async () => {
    await using server = await startNatsServer();
    const passed = Promise.withResolvers<unknown>();
    const handlers = [
      Once.handle((payload) => innermost(payload)),
      Look.handle((levels) => nested(levels)),
      Refuse.handle((levels) => fail("NO", "no", { details: nested(levels) })),
      Passed.on(passed.resolve),
    ];
    await using _node = await catga({ nats: server.url, id: "node", service: "node", handlers });
    await using app = await catga({ nats: server.url, id: "app", service: "app" });

    assertEquals(unwrap(await app.send(Once, nested(MAX_DEPTH), { id: "deep" })), [MAX_DEPTH, new Date(0)]);
    assertEquals((await app.send(Once, nested(10), { id: "deep" })).error?.code, "ID_REUSED");
    assertEquals(innermost(unwrap(await app.send(Look, MAX_DEPTH))), [MAX_DEPTH, new Date(0)]);
    unwrap(await app.publish(Passed, nested(MAX_DEPTH)));
    assertEquals(innermost(await passed.promise), [MAX_DEPTH, new Date(0)]);
    await app.cache.set("deep", nested(MAX_DEPTH));
    assertEquals(innermost(await app.cache.get("deep")), [MAX_DEPTH, new Date(0)]);

    for (const levels of [MAX_DEPTH + 1, 100_000]) {
      const sent = await app.send(Once, nested(levels), { id: "deeper" });
      assertEquals(sent.error?.code, "INVALID_MESSAGE");
      assertMatch(sent.error!.message, TOO_DEEP);
      assertEquals((await app.publish(Passed, nested(levels))).error?.code, "INVALID_MESSAGE");
      const answered = await app.send(Look, levels);
      assertEquals(answered.error?.code, "INVALID_RESPONSE");
      assertMatch(answered.error!.message, TOO_DEEP);
      const refused = await app.send(Refuse, levels);
      assertEquals(refused.error?.code, "NO");
      assertEquals(refused.error?.details, "(the details could not be sent)");
      await assertRejects(() => app.cache.set("deeper", nested(levels)), TypeError, "is nested too deeply");
    }
  });

  it("idempotent commands in one process: a deeper payload is INVALID_MESSAGE", async () => {
    await using app = await catga({ handlers: Once.handle(() => 1) });
    assertEquals(await app.send(Once, nested(MAX_DEPTH), { id: "deep" }), { ok: true, value: 1 });
    assertEquals((await app.send(Once, nested(MAX_DEPTH + 1), { id: "deeper" })).error?.code, "INVALID_MESSAGE");
  });
});

function nested(levels: number): unknown {
  let value: unknown = new Date(0);
  for (let i = 0; i < levels; i++) value = i % 2 === 0 ? [value] : { a: value };
  return value;
}

/** Returns how many levels a value has around its innermost part, and that part. */
function innermost(value: unknown): unknown[] {
  let inner = value;
  let levels = 0;
  for (; typeof inner === "object" && inner !== null && !(inner instanceof Date); levels++) {
    inner = Object.values(inner)[0];
  }
  return [levels, inner];
}
