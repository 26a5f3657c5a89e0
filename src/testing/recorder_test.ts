import { assertEquals, assertRejects } from "@std/assert";
import { describe, it } from "node:test";
import { catga, event, fail, query, unwrap } from "../../mod.ts";
import { recorder } from "./mod.ts";

const Price = query<{ sku: string }, number>("Price");
const Asked = event<{ sku: string }>("Asked");

describe("recorder", () => {
  it("records what an app sends and handles, failures too", async () => {
    const messages = recorder();
    const price = Price.handle(({ sku }) => (sku === "tea" ? 420 : fail("NO_SUCH_SKU", sku)));
    await using app = await catga({ handlers: price, behaviors: [messages.behavior] });
    assertEquals(unwrap(await app.send(Price, { sku: "tea" })), 420);
    assertEquals((await app.send(Price, { sku: "milk" })).error?.code, "NO_SUCH_SKU");
    assertEquals(messages.handled(Price).map(({ result }) => result?.value ?? result?.error?.code), [
      420,
      "NO_SUCH_SKU",
    ]);
    assertEquals(messages.sent(Price).length, 2);
    unwrap(await app.publish(Asked, { sku: "tea" }));
    assertEquals((await messages.next(Asked)).payload, { sku: "tea" });
  });

  it("next: a handler that has started is known before it ends", async () => {
    const messages = recorder();
    const ends = Promise.withResolvers<number>();
    const price = Price.handle(() => ends.promise);
    await using app = await catga({ handlers: price, behaviors: [messages.behavior] });
    const coming = messages.next(Price, { type: "started" });
    const sent = app.send(Price, { sku: "tea" });
    const started = await coming;
    assertEquals([started.type, started.payload, started.result], ["handled", { sku: "tea" }, undefined]);
    const again = app.send(Price, { sku: "milk" });
    assertEquals((await messages.next(Price, { type: "started" })).payload, { sku: "milk" });
    ends.resolve(420);
    assertEquals([unwrap(await sent), unwrap(await again), started.result?.value], [420, 420, 420]);
    assertEquals((await messages.next(Price)).payload, { sku: "tea" });
    assertEquals(messages.all.map(({ type }) => type), ["sent", "handled", "sent", "handled"]);
    await assertRejects(() => messages.next(Price, { type: "started", limit: 10 }), Error, "was started within 10 ms");
  });

  it("next: rejects if no record comes within the limit", async () => {
    await assertRejects(
      () => recorder().next(Asked, { limit: 10 }),
      Error,
      "no event Asked was published within 10 ms; nothing was recorded at all",
    );
  });
});
