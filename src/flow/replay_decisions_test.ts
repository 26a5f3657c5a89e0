/** Tests that a replayed handler makes new decisions only after the stored entries, and that no outcome is lost. */
import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { type Flow, type Handler, unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { delay } from "../ports/clock.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Job = workflow<void, string>("Job");
const Told = Job.signal("Told");

/** Returns the result of a run whose node is killed, and that gets a signal before another node takes it over. */
async function resultOfTakenOver(job: (node: string) => Handler): Promise<string> {
  const node = (id: string) => id === "client" ? {} : { handlers: job(id) };
  await using cluster = await testCluster(["one", "two", "client"], { logger: QUIET, node });
  const [one, client] = [cluster.app("one"), cluster.app("client")];
  const run = unwrap(await one.start(Job));
  await cluster.advance(200);
  cluster.kill("one");
  unwrap(await client.tell(Told, run));
  return unwrap(await client.result(Job, run, { timeout: 60_000 }));
}

describe("a time that is over when a run is replayed", () => {
  it("does not go before a signal that was stored while the run waited for it (the signal was lost)", async () => {
    const job = Job.handle(async (flow) => {
      const limit = flow.sleep("limit", 500).then(() => "too late");
      for (const name of ["a", "b", "c"]) await flow.step(name, () => {});
      // deno-lint-ignore catga/no-wait-race
      return await Promise.race([flow.wait(Told).then(() => "told"), limit]);
    });
    assertEquals(await resultOfTakenOver(() => job), "told");
  });

  it("does not go before a signal whose wait the handler throws in front of (the signal was lost)", async () => {
    let thrown = 0;
    const job = (node: string) =>
      Job.handle(async (flow) => {
        const limit = flow.sleep("limit", 500).then(() => "too late");
        await flow.step("a", () => {});
        if (node === "two" && thrown++ === 0) throw new Error("down for a moment");
        // deno-lint-ignore catga/no-wait-race
        return await Promise.race([flow.wait(Told).then(() => "told"), limit]);
      });
    assertEquals(await resultOfTakenOver(job), "told");
    assertEquals(thrown > 1, true);
  });
});

describe("steps that lose a race, in a run whose handler throws behind it", () => {
  it("keep their outcomes: none is performed again (an outcome that came beside the error was dropped)", async () => {
    const performed: string[] = [];
    let attempts = 0;
    const job = Job.handle(async (flow) => {
      const step = (name: string, ms: number) =>
        flow.step(name, async () => {
          performed.push(name);
          await delay(cluster.clock, ms);
        });
      for (const part of ["a", "b", "c", "d"]) await Promise.race([step(part, 10), step(`slow ${part}`, 200)]);
      if (++attempts < 4) throw new Error("not yet");
      return "done";
    });
    await using cluster = await testCluster(1, { logger: QUIET, handlers: job });
    cluster.network.faults = { delay: 5 };
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    assertEquals(unwrap(await app.result(Job, run, { timeout: 60_000 })), "done");
    assertEquals(performed.toSorted(), ["a", "b", "c", "d", "slow a", "slow b", "slow c", "slow d"]);
  });
});

describe("a step with an undo that began at a node that was killed", () => {
  const Trip = workflow<void, string>("Trip", { timeout: 2_000 });

  /** Runs a workflow whose node is killed during its step "charge". Returns what the steps did. */
  async function play(before: (flow: Flow, node: string) => Promise<unknown>, cancels: boolean): Promise<string[]> {
    const did: string[] = [];
    const trip = (node: string) =>
      Trip.handle(async (flow) => {
        await before(flow, node);
        const charge = async () => {
          did.push(`charge ${node}`);
          if (node === "one") await new Promise(() => {});
        };
        await flow.step("charge", charge, { undo: () => void did.push("refund") });
        return await flow.step("later", () => "done");
      });
    const node = (id: string) => id === "client" ? {} : { handlers: trip(id) };
    await using cluster = await testCluster(["one", "two", "client"], { logger: QUIET, node });
    const [one, client] = [cluster.app("one"), cluster.app("client")];
    const run = unwrap(await one.start(Trip));
    while (did.length === 0) await cluster.advance(10);
    if (cancels) unwrap(await client.cancel(Trip, run, "enough"));
    cluster.kill("one");
    const { error } = await client.result(Trip, run, { timeout: 60_000 });
    return [...did, error!.code];
  }

  it("is undone after a cancel, although the handler that goes on throws before it (nothing was undone)", async () => {
    let thrown = 0;
    const before = async (flow: Flow, node: string) => {
      await flow.step("first", () => {});
      if (node === "two" && thrown++ < 3) throw new Error("down for a moment");
    };
    assertEquals(await play(before, true), ["charge one", "charge two", "refund", "CANCELLED"]);
  });

  it("is undone after a timeout that is stored while the handler gets to it (nothing was undone)", async () => {
    const before = async (flow: Flow) => {
      for (let n = 0; n < 20; n++) await flow.step(`step ${n}`, () => {});
    };
    assertEquals(await play(before, false), ["charge one", "charge two", "refund", "TIMEOUT"]);
  });
});
