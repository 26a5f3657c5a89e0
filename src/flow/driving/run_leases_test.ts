import { describe, it } from "node:test";
import { assertEquals, assertRejects } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { untaken } from "../../../test/support/taken_changes.ts";
import { LEASE_STATES, type RunLease, RunLeases } from "./run_leases.ts";

const refOf = (run: string) => ({ workflow: "One", run });

/** Makes the leases of a node, with a tick every 100 ms. `store` may refuse a lease, or take long to store it. */
function leasesOf(store: (lease: RunLease) => Promise<void> = () => Promise.resolve()) {
  const clock = new VirtualClock();
  const stored = new Map<string, RunLease>();
  const writes: RunLease[] = [];
  const log = { epoch: 0 };
  const leases = new RunLeases({
    ...{ endpoint: "a.1", clock, log },
    lease: async (lease) => {
      writes.push(lease);
      await store(lease);
      stored.set(lease.name, lease);
    },
    unlease: ({ name }) => void stored.delete(name),
  });
  const tick = () => void clock.after(100, () => (leases.tick(), tick()));
  tick();
  return { clock, log, leases, stored, writes, runs: () => [...stored.values()].map(({ runs }) => runs.length) };
}

describe("leases of runs", () => {
  it("a thousand runs have sixteen leases, each put off once a second", async () => {
    const { clock, leases, writes, runs } = leasesOf();
    let leased = 0;
    for (let n = 0; n < 1_000; n++) leases.add(refOf(`r${n}`), () => leased++);
    await clock.advance(150);
    assertEquals([runs(), leased], [[...Array(15).fill(64), 40], 1_000]);
    await clock.advance(10_000);
    assertEquals(writes.length, 11 * 16);
    assertEquals(writes.at(-1)!.at - clock.now() > 3_000, true);
  });

  it("says in which epoch of the store its write began: what was stored before a loss may be lost", async () => {
    const { clock, log, leases } = leasesOf(() => new Promise((resolve) => void clock.after(300, resolve)));
    const epochs: number[] = [];
    leases.add(refOf("r0"), (epoch) => void epochs.push(epoch));
    await clock.advance(200);
    log.epoch++;
    await clock.advance(2_000);
    assertEquals(epochs, [0, 1]);
  });

  it("a lease has the runs of one workflow", async () => {
    const { clock, leases, writes } = leasesOf();
    for (const workflow of ["One", "Two", "One"]) {
      leases.add({ workflow, run: `${writes.length}${workflow}` }, () => {});
    }
    await clock.advance(150);
    assertEquals(writes.map(({ workflow }) => workflow), ["One", "Two"]);
  });

  it("a run that is removed gives its place to the next one, and the last one takes the lease with it", async () => {
    const { clock, leases, stored, runs } = leasesOf();
    for (let n = 0; n < 64; n++) leases.add(refOf(`r${n}`), () => {});
    await clock.advance(150);
    leases.remove(refOf("r7"));
    leases.add(refOf("new"), () => {});
    await clock.advance(150);
    assertEquals([runs(), stored.values().next().value?.runs.at(-1)], [[64], "new"]);
    for (let n = 0; n < 64; n++) leases.remove(refOf(`r${n}`));
    leases.remove(refOf("new"));
    assertEquals([stored.size, leases.size], [0, 0]);
  });

  it("a lease whose last run is removed while it is stored is removed behind that", async () => {
    const storing = Promise.withResolvers<void>();
    const { clock, leases, stored } = leasesOf(() => storing.promise);
    leases.add(refOf("r"), () => {});
    await clock.advance(150);
    leases.remove(refOf("r"));
    storing.resolve();
    await clock.advance(1);
    assertEquals(stored.size, 0);
  });

  it("an abandoned run has its lease fire, and the others of it get another one", async () => {
    const { clock, leases, stored, writes } = leasesOf();
    for (const run of ["a", "b", "c"]) leases.add(refOf(run), () => {});
    await clock.advance(150);
    leases.abandon(refOf("b"));
    await clock.advance(5_000);
    const [abandoned, other] = stored.values();
    assertEquals([abandoned.runs, other.runs], [["a", "b", "c"], ["a", "c"]]);
    assertEquals(writes.filter(({ name }) => name === abandoned.name).length, 1);
  });

  it("a lease that has called is stored again by a write that began since", async () => {
    const writes: (() => void)[] = [];
    const { clock, leases } = leasesOf(() => new Promise((resolve) => writes.push(resolve)));
    leases.add(refOf("r"), () => {});
    await clock.advance(150);
    let again = false;
    const done = leases.again([refOf("r"), refOf("unknown")]).then(() => again = true);
    writes[0]();
    await clock.advance(1);
    assertEquals([again, writes.length], [false, 2]);
    writes[1]();
    await done;
  });

  it("who waits for an abandoned lease, or for one at its node's end, is refused", async () => {
    for (const end of ["abandon", "close"] as const) {
      const { clock, leases } = leasesOf(() => new Promise(() => {}));
      leases.add(refOf("r"), () => {});
      await clock.advance(150);
      const again = leases.again([refOf("r")]);
      if (end === "abandon") leases.abandon(refOf("r"));
      else leases.close();
      await assertRejects(() => again, CatgaError, "is not put off any more");
    }
  });

  it("a write that fails is repeated: twice a second, and each 10 s where the server has no schedules", async () => {
    for (const [code, count] of [["UNAVAILABLE", 40], ["UNSUPPORTED", 2]] as const) {
      let leased = 0;
      const { clock, leases, writes } = leasesOf(() => Promise.reject(new CatgaError(code, "no")));
      leases.add(refOf("r"), () => leased++);
      await clock.advance(20_050);
      assertEquals([writes.length, leased], [count, 0]);
    }
  });

  it("takes each change of its table", async () => {
    const left = await untaken(LEASE_STATES, async () => {
      for (const after of [0, 150, 350, 1_700]) { // new, writing, written, and written again
        const { clock, leases } = leasesOf(() => new Promise((resolve) => void clock.after(100, resolve)));
        leases.add(refOf("r"), () => {});
        await clock.advance(after);
        leases.close();
      }
    });
    assertEquals(left, []);
  });
});
