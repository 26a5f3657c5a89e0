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

  it("next: rejects if no record comes within the limit", async () => {
    await assertRejects(
      () => recorder().next(Asked, { limit: 10 }),
      Error,
      "no event Asked was published within 10 ms; nothing was recorded at all",
    );
  });
});
