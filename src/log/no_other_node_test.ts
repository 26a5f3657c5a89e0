/** Tests of what an app without a network stores for handlers that only another node could have. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { catga, command, unwrap, workflow } from "../../mod.ts";
import { eventually } from "../../test/support/eventually.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { MemoryNetwork } from "../memory/network.ts";

const Mail = command<string>("Mail", { durable: true });
const Parcel = workflow<string, string>("Parcel");
const Order = workflow<string, string>("Order");

const HINT = "pass one to catga() in `handlers`, or give `nats` to reach a node that has one";

describe("an app without a network", () => {
  it("does not store a command that it has no handler for, now or later", async () => {
    await using app = await catga();
    for (const options of [undefined, { delay: 60_000 }, { cron: "0 0 5 * * *" }]) {
      const { error } = await app.enqueue(Mail, "hello", { id: "m", ...options });
      assertEquals([error?.code, error?.message], ["NO_HANDLER", `no handler for command Mail: ${HINT}`]);
    }
    assertEquals(await app.unschedule(Mail, "m"), false);
  });

  it("does not start a run of a workflow that it has no handler for, now or later", async () => {
    await using app = await catga();
    for (const options of [undefined, { at: new Date(Date.now() + 60_000) }, { cron: "0 0 5 * * *" }]) {
      const { error } = await app.start(Parcel, "tea", { id: "p", ...options });
      assertEquals([error?.code, error?.message], ["NO_HANDLER", `no handler for workflow Parcel: ${HINT}`]);
    }
    assertEquals((await app.result(Parcel, "p")).error?.code, "NO_RUN");
  });

  it("a step that sends such a workflow is stuck at once, and names it", async () => {
    const order = Order.handle(async (flow, sku) => unwrap(await flow.send(Parcel, sku)));
    await using app = await catga({ handlers: order, logger: QUIET });
    unwrap(await app.start(Order, "tea", { id: "o" }));
    const stuck = await eventually("the run to be stuck", async () => {
      const [info] = await Array.fromAsync(app.runs({ workflow: "Order", status: "stuck" }));
      return info?.pending[0];
    });
    assertEquals([stuck.name, stuck.error?.code, stuck.error?.message], [
      "Parcel",
      "NO_HANDLER",
      `no handler for workflow Parcel: ${HINT}`,
    ]);
  });
});

describe("a node of a cluster", () => {
  it("stores them: another node may have the handler", async () => {
    const network = new MemoryNetwork();
    await using app = await catga({ network });
    assertEquals((await app.enqueue(Mail, "hello")).ok, true);
    assertEquals((await app.start(Parcel, "tea", { id: "p" })).value, "p");
  });
});
