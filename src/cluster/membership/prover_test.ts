import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import type { Observation } from "../../contract/nodes/observer.ts";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { Player } from "../../../test/support/stage.ts";
import { MalformedCount } from "../wire/frame_reader.ts";
import { processOf, Prover, proverOf } from "./unproven.ts";

/** Makes the prover of the process `a.1`, and records what it reports. */
function setUp() {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const transport = network.connect();
  const observed: Observation[] = [];
  const reports: string[] = [];
  const prover = new Prover({
    transport,
    namespace: "default",
    endpoint: "a.1",
    malformed: new MalformedCount(transport, (observation) => observed.push(observation)),
    alive: (endpoint) => reports.push(`alive ${endpoint}`),
    bounced: (endpoint) => reports.push(`bounced ${endpoint}`),
  });
  return { clock, network, transport, prover, reports, observed };
}

describe("Prover", () => {
  it("reports a process that answers as alive, and one whose ping bounces as bounced", async () => {
    const { clock, network, prover, reports } = setUp();
    const player = new Player(network, "b");
    prover.ping(player.endpoint, 1);
    prover.ping("nobody.1", 1);
    await clock.advance(0);
    assertEquals(reports.toSorted(), ["alive b.1", "bounced nobody.1"]);
  });

  it("ignores bounces that no server has sent, and reports answers that are no frames as malformed", async () => {
    const { clock, transport, reports, observed } = setUp();
    transport.publish("catga.default.bounce.a.1-ping.b.1.1", "");
    transport.publish("catga.default.bounce.a.1-ping.b.1.1", "text");
    transport.publish("catga.default.node.a.1-ping.b.1", "no frame");
    await clock.advance(0);
    assertEquals(reports, []);
    assertEquals(observed.map(({ type }) => type), ["malformed"]);
  });

  it("a prover's endpoint is that of its process with a suffix", () => {
    assertEquals(proverOf("a.1"), "a.1-ping");
    assertEquals(processOf("a.1-ping"), "a.1");
    assertEquals(processOf("a.1"), "a.1");
  });
});
