/** Tests of a start that tells its run a signal in the same call. */
import { describe, it } from "node:test";
import { assertEquals, assertMatch, assertRejects } from "@std/assert";
import { unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { QUIET } from "../../test/support/quiet.ts";

const Cart = workflow<string, string[]>("Cart");
const Added = Cart.signal<{ sku: string }>("Added");
const Paid = Cart.signal("Paid");
const cart = Cart.handle(async (flow) => {
  const skus: string[] = [];
  for (;;) {
    const [added] = await flow.wait([Added, Paid]);
    if (added === undefined) return skus;
    skus.push(added.value.sku);
  }
});

async function started() {
  const cluster = await testCluster(["node", "client"], {
    logger: QUIET,
    node: (id) => id === "client" ? {} : { handlers: cart },
  });
  const [node, client] = [cluster.app("node"), cluster.app("client")];
  return { node, client, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

describe("start with tell", () => {
  it("stores the start and the signal in one message, and tells a run that is there already", async () => {
    await using one = await started();
    for (const [n, app] of [one.client, one.node, one.client].entries()) {
      unwrap(await app.start(Cart, "ada", { id: "ada", tell: [Added, { sku: `s${n}` }] }));
    }
    unwrap(await one.client.start(Cart, "ada", { id: "ada", tell: [Paid] }));
    assertEquals(unwrap(await one.client.result(Cart, "ada")), ["s0", "s1", "s2"]);
    const [{ timeline }] = await Array.fromAsync(one.client.runs({ id: "ada" }));
    const [start, first] = timeline;
    assertEquals([start.type, first.type, first.at], ["started", "signalled", start.at]);
  });

  it("counts a repeated call once if the signal has an id", async () => {
    await using one = await started();
    const tell = [Added, { sku: "a" }, { id: "1" }] as const;
    for (let n = 0; n < 3; n++) unwrap(await one.client.start(Cart, "ada", { id: "ada", tell }));
    unwrap(await one.client.tell(Paid, "ada"));
    assertEquals(unwrap(await one.client.result(Cart, "ada")), ["a"]);
  });

  it("tells nothing with another input (ID_REUSED), nor to a run that has ended (NO_RUN)", async () => {
    await using one = await started();
    unwrap(await one.client.start(Cart, "ada", { id: "1", tell: [Added, { sku: "a" }] }));
    const other = await one.client.start(Cart, "bob", { id: "1", tell: [Added, { sku: "b" }] });
    unwrap(await one.client.start(Cart, "ada", { id: "1", tell: [Paid] }));
    assertEquals(unwrap(await one.client.result(Cart, "1")), ["a"]);
    const late = await one.client.start(Cart, "ada", { id: "1", tell: [Added, { sku: "c" }] });
    assertEquals([other.error?.code, late.error?.code], ["ID_REUSED", "NO_RUN"]);
  });

  it("is ok again under the id of a signal that the run got before its end (it was NO_RUN), as tell alone is", async () => {
    await using one = await started();
    const paid = { id: "ada", tell: [Paid, undefined, { id: "1" }] as const };
    for (let n = 0; n < 2; n++) {
      assertEquals(unwrap(await one.client.start(Cart, "ada", paid)), "ada");
      unwrap(await one.client.tell(Paid, "ada", undefined, { id: "1" }));
      assertEquals(unwrap(await one.client.result(Cart, "ada")), []);
    }
    assertEquals((await one.client.tell(Paid, "ada", undefined, { id: "2" })).error?.code, "NO_RUN");
    assertEquals((await one.client.tell(Added, "ada", { sku: "a" }, { id: "1" })).error?.code, "NO_RUN");
  });

  it("is TOO_LARGE when input, headers, tags and signal fit alone, and not into one message", async () => {
    await using one = await started();
    const half = "x".repeat(600_000);
    const tags = Array.from({ length: 10 }, (_, i) => `${i}`.padEnd(64, "☕"));
    for (
      const [input, options, why] of [
        [half, { tell: [Added, { sku: half }] }, /the signal that it tells is too large beside its input/],
        ["x".repeat(1_040_000), { tags }, /its tags are too large/],
        [half, { headers: { h: half } }, /its headers are too large/],
      ] as const
    ) {
      const { error } = await one.client.start(Cart, input, { id: "1", ...options });
      assertEquals(error?.code, "TOO_LARGE");
      assertMatch(error!.message, why);
    }
    assertEquals(await Array.fromAsync(one.client.runs()), []);
  });

  it("refuses what is no signal of the workflow, and a time", async () => {
    await using one = await started();
    const Other = workflow("Other").signal("Other");
    for (
      const [options, why] of [
        [{ tell: [Other] }, /^start Cart: tell takes a signal of Cart; Other is one of Other/],
        [{ tell: Added }, /tell must be a list/],
        [{ tell: [Added, { sku: "a" }, { key: "b" }] }, /tell Added: unknown option/],
        [{ tell: [Paid], at: new Date() }, /tell is of a start at once/],
      ] as const
    ) {
      const { message } = await assertRejects(() => one.client.start(Cart, "ada", options as never), TypeError);
      assertMatch(message, why);
    }
  });
});
