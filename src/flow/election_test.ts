import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { unwrap, workflow } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";

const Approval = workflow<void, string>("Approval");
const Decided = Approval.signal<string>("decided");
const Nap = workflow<void>("Nap");

describe("while the stream's leader is elected", () => {
  it("start, tell and cancel wait for it within the app's timeout (tell and cancel were UNAVAILABLE 5 s into it)", async () => {
    await using cluster = new MemoryCluster();
    const { clock, network } = cluster;
    const handlers = [
      Approval.handle((flow) => flow.wait(Decided)),
      Nap.handle((flow) => flow.sleep("nap", 3_600_000)),
    ];
    const app = await cluster.start("a", { handlers });
    unwrap(await clock.until(app.start(Approval, undefined, { id: "a" })));
    unwrap(await clock.until(app.start(Nap, undefined, { id: "n" })));
    await clock.advance(3_000);
    network.log.begin("noLeader");
    const at = new Date(clock.now() + 3_600_000);
    const asked = Promise.all([
      app.tell(Decided, "a", "by ada"),
      app.cancel(Nap, "n", "enough"),
      app.start(Nap, undefined, { id: "n2" }),
      app.start(Nap, undefined, { id: "later", at }),
    ]);
    await clock.advance(9_000);
    network.log.end("noLeader");
    assertEquals((await clock.until(asked)).map(({ ok }) => ok), [true, true, true, true]);
    assertEquals(unwrap(await clock.until(app.result(Approval, "a"))), "by ada");
    assertEquals((await clock.until(app.result(Nap, "n"))).error?.code, "CANCELLED");
  });
});
