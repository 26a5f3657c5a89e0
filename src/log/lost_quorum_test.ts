import { describe, it } from "node:test";
import { assertEquals, assertStringIncludes } from "@std/assert";
import { event, unwrap } from "../../mod.ts";
import { MemoryCluster } from "../../test/support/memory_cluster.ts";

const Booked = event<{ seat: string }>("Booked", { durable: true });

describe("a subscription whose store has lost its quorum, and is read all the same", () => {
  it("is stalled after 5 s, and leads when the store takes writes again (it said leading all the time)", async () => {
    await using cluster = new MemoryCluster();
    const { clock, network } = cluster;
    const seats: string[] = [];
    const handlers = Booked.on(({ seat }) => void seats.push(seat), { name: "seats" });
    const app = await cluster.start("a", { handlers, service: "shop" });
    unwrap(await clock.until(app.publish(Booked, { seat: "1" })));
    await clock.advance(5_000);
    const health = () => app.health().subscriptions.find(({ name }) => name === "seats");
    assertEquals([seats, health()?.state], [["1"], "leading"]);
    network.log.begin("noQuorum");
    await clock.advance(8_000);
    assertEquals([health()?.state, health()?.error?.code], ["stalled", "UNAVAILABLE"]);
    assertStringIncludes(health()!.error!.message, "the store takes no writes");
    network.log.end("noQuorum");
    await clock.advance(3_000);
    assertEquals([health()?.state, health()?.error], ["leading", undefined]);
    unwrap(await clock.until(app.publish(Booked, { seat: "2" })));
    await clock.advance(1_000);
    assertEquals(seats, ["1", "2"]);
  });
});
