import process from "node:process";
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { command } from "../../../mod.ts";
import { testCluster } from "../../testing/mod.ts";

const Do = command<void, void>("Do", { route: ([node]) => node });

describe("a retry", () => {
  it("is not made after the deadline, when the news of the failure comes before that of the time", async () => {
    const codes = new Set<string | undefined>();
    for (let seed = 0; seed < 10; seed++) {
      await using cluster = await testCluster(["a", "b", "client"], {
        seed,
        time: "manual",
        node: (id) => (id === "client" ? {} : { handlers: Do.handle(() => {}) }),
      });
      cluster.kill("a");
      const sent = cluster.app("client").send(Do, undefined, { timeout: 100 });
      await Promise.resolve().then(() => process.nextTick(() => cluster.pause("client")));
      await cluster.advance(1_000);
      cluster.resume("client");
      codes.add((await cluster.until(sent)).error?.code);
      assertEquals(cluster.recorder.handled(Do), []);
    }
    // the bounce came first, or the deadline did
    assertEquals([...codes].sort(), ["OUTCOME_UNKNOWN", "UNAVAILABLE"]);
  });
});
