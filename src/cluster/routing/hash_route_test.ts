import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import { query } from "../../contract/declaration/definition.ts";
import { unwrap } from "../../contract/calls/result.ts";
import { testCluster } from "../../testing/mod.ts";

const Where = query<string, string>("Where", { key: (key) => key, route: "hash" });
const KEYS = Array.from({ length: 10_000 }, (_, n) => `order:${n}`);
const handlers = Where.handle((_, ctx) => ctx.node);

describe('route "hash"', () => {
  for (const nodes of [["a", "b"], ["a", "b", "c", "d", "e"]]) {
    it(`a join of a node to ${nodes.length} moves at most 1/n + 5 % of 10,000 keys, all to it; a leave moves them back`, async () => {
      const node = (id: string) => (id === "client" ? {} : { handlers });
      await using cluster = await testCluster(["client", ...nodes], { node });
      const where = async () => (await cluster.app("client").sendAll(Where, KEYS)).map(unwrap);
      const before = await where();
      assertEquals([...new Set(before)].sort(), nodes);
      const joined = await cluster.start("joined");
      await cluster.agreed();
      const after = await where();
      const moved = after.filter((node, n) => node !== before[n]);
      assertEquals(new Set(moved), new Set(["joined"]));
      assertLess(moved.length, KEYS.length * (1 / (nodes.length + 1) + 0.05));
      assert(moved.length > KEYS.length * (1 / (nodes.length + 1) - 0.05), String(moved.length));
      await joined.drain();
      assertEquals(await where(), before);
    });
  }
});
