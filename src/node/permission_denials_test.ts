import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import type { Observation } from "../contract/nodes/observer.ts";
import { CatgaError } from "../error.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import type { Violation } from "../ports/transport.ts";
import { PermissionDenials } from "./permission_denials.ts";

function setUp() {
  const clock = new VirtualClock();
  const reported: string[] = [];
  const observer = (seen: Observation) => {
    if (seen.type === "forbidden") reported.push(`${seen.operation} ${seen.subject}`);
  };
  return { clock, reported, forbidden: new PermissionDenials(clock, observer, "shop") };
}

const publish = (subject: string): Violation => ({ operation: "publish", subject });
const subscribe = (subject: string): Violation => ({ operation: "subscribe", subject });

describe("Forbidden", () => {
  it("reports the frames to all nodes once a minute, with the first subject", async () => {
    const { clock, reported, forbidden } = setUp();
    forbidden.add(publish("catga.shop.node.a.1"));
    forbidden.add(publish("catga.shop.node.b.1"));
    assertEquals(reported, ["publish catga.shop.node.a.1"]);
    await clock.advance(60_000);
    forbidden.add(publish("catga.shop.node.b.1"));
    assertEquals(reported.length, 2);
  });

  it("reports the answers to plain clients as one, whatever reply subjects they choose, with the first subject", async () => {
    const { clock, reported, forbidden } = setUp();
    for (const reply of ["_INBOX.a.1", "_INBOX.b.1", "chosen.c"]) forbidden.add(publish(reply));
    assertEquals(reported, ["publish _INBOX.a.1"]);
    await clock.advance(60_000);
    forbidden.add(publish("chosen.d"));
    assertEquals(reported, ["publish _INBOX.a.1", "publish chosen.d"]);
  });

  it("reports each operation and each other subject by itself", () => {
    const { reported, forbidden } = setUp();
    forbidden.add(publish("catga.shop.event.Paid"));
    forbidden.add(subscribe("catga.shop.event.Paid"));
    forbidden.add(publish("catga.shop.event.Sent"));
    assertEquals(reported, [
      "publish catga.shop.event.Paid",
      "subscribe catga.shop.event.Paid",
      "publish catga.shop.event.Sent",
    ]);
  });

  it("check rejects with the first violation that a node cannot do without, also when it comes in the same turn", async () => {
    const { clock, forbidden } = setUp();
    const checked = assertRejects(() => clock.until(forbidden.check()), CatgaError, "catga.shop.event.Paid");
    forbidden.add(publish("catga.shop.event.Paid"));
    forbidden.add(subscribe("catga.shop.event.Paid"));
    forbidden.add(subscribe("catga.shop.node.a.>"));
    const { code, details } = await checked;
    assertEquals([code, details], ["UNAVAILABLE", { operation: "subscribe", subject: "catga.shop.event.Paid" }]);
  });

  it("check resolves when a node can do without what is forbidden", async () => {
    const { clock, forbidden } = setUp();
    forbidden.add(publish("catga.shop.event.Paid"));
    forbidden.add(subscribe("$SRV.PING"));
    assertEquals(await clock.until(forbidden.check()), undefined);
  });
});
