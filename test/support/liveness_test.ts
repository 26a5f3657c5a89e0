import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { catga } from "../../src/catga.ts";
import { livenessViolations, lockProbe, type Probe, probe, type Probed } from "./liveness.ts";
import { MemoryNetwork } from "../../src/testing/mod.ts";

describe("the checker of liveness", () => {
  const seen = (took: number | undefined, gaps = 0): Probed => ({ what: "lock a", limit: 3_500, took, gaps });

  it("accepts a probe that succeeds within its limit", () => {
    assertEquals(livenessViolations([seen(0), seen(3_500)]), []);
  });

  it("finds a probe that succeeds too late", () => {
    assertEquals(livenessViolations([seen(3_501)]), [
      "lock a: 3501 ms after the last fault, 0 of them in gaps; limit 3500",
    ]);
  });

  it("finds a probe that never succeeds, whatever the gaps were", () => {
    assertEquals(livenessViolations([{ ...seen(undefined, 60_000), problem: "LOCK_TIMEOUT" }]), [
      "lock a: never (limit 3500 ms): LOCK_TIMEOUT",
    ]);
  });

  it("excuses the gaps of the probing process, and no more", () => {
    assertEquals(livenessViolations([seen(4_500, 1_000)]), []);
    assertEquals(livenessViolations([seen(4_501, 1_000)]).length, 1);
  });
});

describe("probes of liveness", () => {
  it("a free lock is acquired at once", async () => {
    await using app = await catga({ network: new MemoryNetwork() });
    const [{ took }] = await probe([lockProbe(app, "a", 1_000)]);
    assertEquals(livenessViolations([{ what: "lock a", limit: 2_500, took, gaps: 0 }]), []);
  });

  it("time counts from the last fault, not from the start of the probe", async () => {
    const at = Date.now() - 10_000;
    const late: Probe = { what: "x", limit: 5_000, run: () => Promise.resolve() };
    assertMatch(livenessViolations(await probe([late], { since: at })).join(), /^x: 10\d{3} ms after the last fault/);
  });

  it("the gaps of the probed processes are excused as well", async () => {
    const at = Date.now() - 10_000;
    const late: Probe = { what: "x", limit: 5_000, run: () => Promise.resolve() };
    const gaps = () => Promise.resolve([{ from: at, to: at + 6_000 }]);
    assertEquals(livenessViolations(await probe([late], { since: at, gaps })), []);
  });

  it("a time is excused for the probe that says so, and for no other", async () => {
    const at = Date.now() - 10_000;
    const late: Probe = { what: "x", limit: 5_000, run: () => Promise.resolve() };
    const excused = () => Promise.resolve([{ from: at, to: at + 6_000 }]);
    const violations = livenessViolations(await probe([{ ...late, excused }, { ...late, what: "y" }], { since: at }));
    assertMatch(violations.join(), /^y: 10\d{3} ms after the last fault/);
  });

  it("a probe that fails reports the reason", async () => {
    const broken: Probe = { what: "x", limit: 5_000, run: () => Promise.reject(new Error("no leader")) };
    assertEquals(livenessViolations(await probe([broken])), ["x: never (limit 5000 ms): no leader"]);
  });
});
