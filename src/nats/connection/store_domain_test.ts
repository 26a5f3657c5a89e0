import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { StoreDomain } from "./store_domain.ts";

describe("StoreDomain", () => {
  it("is the first domain of each connection; another one is reported, and does not replace it", () => {
    const reports: string[] = [];
    const domain = new StoreDomain(new VirtualClock(), ({ own, other }) => void reports.push(`${own} ${other}`));
    for (const named of [undefined, "", 7, "hub", "hub", "leaf", "hub"]) domain.takeOwn(named);
    assertEquals([domain.own, reports], ["hub", ["hub leaf"]]);
    domain.connected();
    assertEquals(domain.own, "hub", "until the new connection has written something");
    domain.takeOwn("other");
    assertEquals([domain.own, domain.isForeign("hub"), domain.isForeign("other")], ["other", true, false]);
  });
});
