import { describe, it } from "node:test";
import { assert, assertEquals } from "@std/assert";
import { command, query, unwrap } from "../../mod.ts";
import { testCluster } from "../testing/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";

// docs/cluster.md, crash semantics, "drain": requests in hand there
// (requests that handlers of the draining node run when the node dies)
describe("a node that dies while it drains", () => {
  it("its command in hand ends 3 s later, its query goes to another node then", async () => {
    const Pay = command<void, void>("Pay");
    const Price = query<void, string>("Price");
    const handlers = [
      Pay.handle((_, { clock }) => clock.sleep(20_000)),
      Price.handle(async (_, { clock, node }) => {
        if (node === "a") await clock.sleep(20_000);
        return node;
      }),
    ];
    await using cluster = await testCluster(["client", "a", "b"], {
      logger: QUIET,
      node: (id) => id === "client" ? {} : { handlers },
    });
    const client = cluster.app("client");
    const at = cluster.clock.monotonic();
    const price = client.send(Price, undefined, { route: (nodes) => nodes.find(({ id }) => id === "a") ?? nodes[0] });
    const pay = client.send(Pay, undefined, { node: "a" });
    await cluster.recorder.next(Pay, { type: "started" });
    cluster.app("a").drain().catch(() => {});
    await cluster.advance(100);
    cluster.kill("a");
    assertEquals((await pay).error?.code, "OUTCOME_UNKNOWN");
    assertEquals(unwrap(await price), "b");
    const ms = cluster.clock.monotonic() - at;
    assert(ms > 3_000 && ms < 3_600, `${ms} ms`);
  });
});
