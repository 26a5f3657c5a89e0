import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { MemoryNetwork } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { LogReader, LogStream } from "../../ports/event_log.ts";
import { leasePattern, leaseSubject } from "../format/names.ts";
import { streamOptions } from "../format/streams.ts";
import { streamName } from "../format/stream_name.ts";
import { Leases } from "./leases.ts";

const NAMESPACE = "test";

/** Starts nodes that follow each other's leases. */
async function setUp(...endpoints: string[]) {
  const clock = new VirtualClock();
  const network = new MemoryNetwork({ clock, seed: 1 });
  const lost: string[] = [];
  const held: string[] = [];
  const faults: unknown[] = [];
  const nodes: { leases: Leases; stream: LogStream; reader: LogReader }[] = [];
  for (const endpoint of endpoints) {
    const name = streamName(NAMESPACE, "subscriptions");
    const stream = await clock.until(network.connect().log.open(name, streamOptions(NAMESPACE, "subscriptions", 1)));
    const leases = new Leases({
      ...{ stream, namespace: NAMESPACE, endpoint, clock },
      onLost: () => lost.push(endpoint),
      onHeld: () => held.push(endpoint),
      onFailed: () => {},
      fault: (error) => faults.push(error),
    });
    const reader = stream.follow({
      subjects: [leasePattern(NAMESPACE)],
      after: undefined,
      onMessage: (message) => leases.onMessage(message),
      onStart: () => {},
      onFault: (error) => faults.push(error),
    });
    nodes.push({ leases, stream, reader });
  }
  /** Lets time pass, during which the nodes of these leases renew them. */
  const pass = async (ms: number, ...leading: Leases[]) => {
    for (let passed = 0; passed < ms; passed += 100) {
      for (const leases of leading) leases.tick(clock.monotonic());
      await clock.advance(100);
    }
  };
  return { clock, lost, held, faults, pass, nodes, leases: nodes.map(({ leases }) => leases), stream: nodes[0].stream };
}

describe("Leases", () => {
  it("of a node that is alone are written once, and held from then on", async () => {
    const { clock, stream, pass, held } = await setUp("other.1");
    const alone = new Leases({
      ...{ stream, namespace: NAMESPACE, endpoint: "a.1", clock, isAlone: true },
      onLost: () => {},
      onHeld: () => held.push("a.1"),
      onFailed: () => {},
      fault(error) {
        throw error;
      },
    });
    assertEquals([alone.holds, alone.renewsAt < Infinity], [false, true]);
    assertEquals(await clock.until(alone.hold()), true);
    const before = (await clock.until(stream.state()))!;
    await pass(120_000, alone);
    assertEquals(await clock.until(alone.hold()), true);
    assertEquals([alone.holds, alone.renewsAt, held], [true, Infinity, ["a.1"]]);
    assertEquals((await clock.until(stream.state()))!.last, before.last);
  });

  it("are held while they are renewed, every 0.8 s, in one message that stays", async () => {
    const { clock, leases: [own], stream, pass } = await setUp("a.1");
    assertEquals(own.holds, false);
    assertEquals(await clock.until(own.hold()), true);
    const before = (await clock.until(stream.state()))!;
    await pass(10_000, own);
    const after = (await clock.until(stream.state()))!;
    assertEquals([own.holds, after.last - before.last, after.messages], [true, 12, 1]);
  });

  it("are reported when they are held again, not when they are renewed", async () => {
    const { clock, held, leases: [own], pass } = await setUp("a.1");
    await clock.until(own.hold());
    await pass(10_000, own);
    assertEquals(held, ["a.1"]);
    await pass(1_300);
    await pass(1_000, own);
    assertEquals([own.holds, held], [true, ["a.1", "a.1"]]);
  });

  it("are not held any more before others take over from one that stands still", async () => {
    const { clock, leases: [own, other], pass } = await setUp("a.1", "b.1");
    await clock.until(own.hold());
    await pass(1_300);
    assertEquals(own.holds, false);
    assertEquals(other.stopped("a.1", clock.monotonic()), false);
    await pass(400);
    assertEquals(other.stopped("a.1", clock.monotonic()), true);
    assertEquals(other.still("a.1", clock.monotonic()) < 3_000, true);
    await pass(1_400);
    assertEquals(other.still("a.1", clock.monotonic()) >= 3_000, true);
  });

  it("that do not say when their owners stop have not stopped before they are over", async () => {
    const { clock, leases: [own], stream, pass } = await setUp("a.1");
    await clock.until(stream.append(leaseSubject(NAMESPACE, "b.1"), '{"v":1,"by":"b.1"}', { timeout: 1_000 }));
    await pass(60_000);
    assertEquals(own.stopped("b.1", clock.monotonic()), false);
  });

  it("of a node that was never seen stand still from the first question on", async () => {
    const { clock, leases: [own], pass } = await setUp("a.1");
    assertEquals(own.still("b.1", clock.monotonic()), 0);
    await pass(500);
    assertEquals(own.still("b.1", clock.monotonic()), 500);
  });

  it("that are overwritten are lost: the owner finds out at its next write, and others know at once", async () => {
    const { clock, lost, leases: [own, other, third], pass } = await setUp("a.1", "b.1", "c.1");
    await clock.until(own.hold());
    await pass(3_500);
    assertEquals(await clock.until(other.fence("a.1")), true);
    await pass(100);
    // the time since then is known, so that the nodes of the order do not all begin at once
    assertEquals(third.still("a.1", clock.monotonic()), 3_000 + 100);
    assertEquals([await clock.until(third.fence("a.1")), lost], [true, []]);
    await pass(200, own);
    assertEquals([lost[0], new Set(lost).size], ["a.1", 1]);
    // the owner renews its lease again, because it leads subscriptions again
    await pass(300, own);
    assertEquals([own.holds, third.still("a.1", clock.monotonic()) < 500], [true, true]);
  });

  it("that have expired, as what overwrote them has, are lost", async () => {
    const { clock, lost, leases: [own, other], pass } = await setUp("a.1", "b.1");
    await clock.until(own.hold());
    assertEquals(await clock.until(other.fence("a.1")), true);
    await pass(70_000);
    assertEquals(await clock.until(own.hold()), true);
    assertEquals(lost, ["a.1"]);
  });

  it("that were overwritten are looked at before the lead is taken: their nodes may have them again", async () => {
    const { clock, leases: [own, other], nodes, pass } = await setUp("a.1", "b.1");
    await clock.until(own.hold());
    assertEquals(await clock.until(other.fence("a.1")), true);
    assertEquals(await clock.until(other.fence("a.1")), true);
    nodes[1].reader.close();
    await pass(2_000, own);
    assertEquals([own.holds, other.still("a.1", clock.monotonic())], [true, 3_000 + 2_000]);
    assertEquals(await clock.until(other.fence("a.1")), false);
    assertEquals([own.holds, other.still("a.1", clock.monotonic()) < 100], [true, true]);
  });

  it("that move again are not overwritten", async () => {
    const { clock, lost, leases: [own, other], nodes, pass } = await setUp("a.1", "b.1");
    await clock.until(own.hold());
    await pass(3_500);
    const fenced = other.fence("a.1");
    const appended = nodes[0].leases.hold();
    const [renewed, isFenced] = await clock.until(Promise.all([appended, fenced]));
    assertEquals(isFenced, !renewed);
    assertEquals(lost.length, renewed ? 0 : 1);
  });
});
