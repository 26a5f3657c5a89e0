import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, event, query, unwrap, workflow } from "../../mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { CALLER_HEADER } from "../contract/calls/send_options.ts";
import { encodeValue } from "../data/encoding.ts";

describe("ctx.caller", () => {
  it("goes on with what handlers send, over durable events too; undefined where nobody named one", async () => {
    const Inner = query<void, unknown>("Inner");
    const Outer = command<void, unknown>("Outer");
    const Done = event("Done", { durable: true });
    const inner = Inner.handle((_, ctx) => ctx.caller ?? "nobody");
    const outer = Outer.handle(async (_, ctx) => {
      unwrap(await ctx.publish(Done));
      return unwrap(await ctx.send(Inner));
    });
    const heard = Promise.withResolvers<unknown>();
    const done = Done.on((_, ctx) => heard.resolve(ctx.caller), { name: "done" });
    await using app = await catga({ logger: QUIET, handlers: [inner, outer, done] });
    const caller = { id: "ann", since: new Date(0) };
    const headers = { [CALLER_HEADER]: encodeValue(caller, "caller") };
    assertEquals(unwrap(await app.send(Outer, undefined, { headers })), caller);
    assertEquals(await heard.promise, caller);
    assertEquals(unwrap(await app.send(Inner)), "nobody");
    assertEquals(unwrap(await app.send(Inner, undefined, { headers: { [CALLER_HEADER]: "~nothing" } })), "nobody");
  });
});

describe("meta", () => {
  it("of a contract is a frozen copy, which behaviors see", async () => {
    const given = { role: "admin", of: ["a"] };
    const Ask = query<void, number>("Ask", { meta: given });
    assertEquals([Ask.options.meta, Object.isFrozen(Ask.options.meta)], [{ role: "admin", of: ["a"] }, true]);
    const seen: unknown[] = [];
    await using app = await catga({
      logger: QUIET,
      handlers: Ask.handle(() => 1),
      behaviors: [({ contract }, next) => {
        seen.push(contract.options.meta?.role);
        return next();
      }],
    });
    unwrap(await app.send(Ask));
    assertEquals(seen, ["admin"]);
    assertThrows(() => command("X", { meta: 7 as never }), TypeError, "meta must be a plain object");
    assertThrows(() => workflow("X", { meta: [] as never }), TypeError, "meta must be a plain object");
  });
});
