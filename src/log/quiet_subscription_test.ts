/** A subscription of few messages beside a busy one, in one log, when its leader dies. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { event, unwrap } from "../../mod.ts";
import { testCluster } from "../testing/mod.ts";

const Quiet = event<number>("Quiet", { durable: true });
const Busy = event<number>("Busy", { durable: true });

describe("a quiet subscription beside a busy one", () => {
  it("its next leader goes on where the last one was, and takes nothing for lost", async () => {
    const logged: string[] = [];
    const quiet: number[] = [];
    const note = (text: string) => void logged.push(text);
    await using cluster = await testCluster(3, {
      handlers: [Quiet.on((n) => void quiet.push(n), { name: "q" }), Busy.on(() => {}, { name: "b" })],
      logger: { debug: () => {}, info: () => {}, warn: note, error: note },
    });
    const [app] = cluster.apps;
    unwrap(await app.publish(Quiet, 1));
    // the place of the quiet one moves behind the others twice a minute
    for (let n = 0; n < 70; n++) {
      unwrap(await app.publish(Busy, n));
      await cluster.advance(1_000);
    }
    const node = await cluster.leader("q");
    cluster.kill(node);
    await cluster.advance(20_000);
    const [other] = cluster.apps;
    unwrap(await other.publish(Quiet, 2));
    await cluster.advance(5_000);
    assertEquals(quiet, [1, 2]);
    assertEquals(logged.filter((text) => text.includes("log")), []);
  });
});
