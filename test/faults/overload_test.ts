/** Fault: ten times as much as a node can do, with handlers that wait and with handlers that compute. */
import { assert, assertEquals, assertGreater, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { unwrap } from "../../mod.ts";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { Burn, Inspect, Record, Slow } from "../processes/node_messages.ts";
import { chances, chancesOfStarved } from "../support/chances.ts";
import { FaultCluster } from "../support/fault_cluster.ts";
import { atRate, Load, type Sent } from "../support/checked_sends.ts";
import { BEFORE_RELEASE, itBeforeRelease } from "../support/before_release.ts";

const CONCURRENCY = 8;
const TIMEOUT = 2_000; // ms
const SECONDS = 2;

describe("overload", await requireNatsServer(), () => {
  for (const node of ["d1", "b1"]) {
    // with each change: each in one runtime
    for (
      const [what, contract, ms, by] of [["async", Slow, 20, "d1"], ["CPU-bound", Burn, 8, "b1"]] as const
    ) {
      if (!BEFORE_RELEASE && by !== node) continue;
      it(`ten times the capacity of ${what} handlers: ${node}`, { timeout: 1_200_000 }, async () => {
        // Promise: a node that has too much to do stays at its full pace, says OVERLOADED at once to what it cannot do
        // in time, keeps no more in memory than that, and goes on to answer pings.
        await using cluster = await FaultCluster.open({ nodes: [node], node: { concurrency: CONCURRENCY } });
        const { caller, sends } = cluster;
        const options = { timeout: TIMEOUT, retries: 0 };
        const send = () => sends.send(caller, contract, ms, options);
        const peak = async () => unwrap(await caller.send(Inspect)).peak;
        // a busy machine gets further chances: what others of it do meanwhile is no fault of the node
        const result = await chances(4, () => {
          cluster.said.length = 0;
          return overload(send, peak);
        }, (result) => isWell(result) && !cluster.wasSuspect(node));
        const { sent, goodput, capacity, offered, grown, refused, silence, wait } = result;
        console.log(
          `${node}, ${what}: capacity ${Math.round(capacity)}/s, offered ${Math.round(offered)}/s, goodput ` +
            `${Math.round(goodput)}/s (${Math.round(100 * goodput / capacity)} %); ${
              sends.tally(sent)
            }; refused after ` +
            `${wait} ms in the median; ${grown.toFixed(1)} MB more at the peak`,
        );
        assertGreater(goodput, 0.8 * capacity);
        assertGreater(refused.length, 0.8 * sent.filter(({ result }) => !result.ok).length);
        // their deadline, and the word that they had no turn, came in the same moment
        assertLess(silence.length, 0.05 * sent.length);
        assertLess(wait, TIMEOUT / 2);
        assertLess(grown, 64);
        assert(!cluster.wasSuspect(node), cluster.said.join("\n"));
        assertEquals((await sends.send(caller, Record)).result.value, node);
        await cluster.finish();
      });
    }

    (node === "d1" ? it : itBeforeRelease)(`ten thousand sends at once to an idle node all succeed: ${node}`, {
      timeout: 1_200_000,
    }, async () => {
      // Promise: a queue is no overload while everything in it can be done in time.
      await using cluster = await FaultCluster.open({ nodes: [node] });
      const { caller, sends } = cluster;
      // a failure of a node that is no suspect is one of Catga, unless this process stood still
      const failed = await chancesOfStarved(4, async () => {
        cluster.said.length = 0;
        const all = [...await sends.many(10_000, caller, Record), ...await sends.many(10_000, caller, Slow, 20)];
        return all.filter(({ result }) => !result.ok);
      }, (failed) => failed.length === 0 && !cluster.wasSuspect(node));
      console.log(`${node}: ${sends.tally()}`);
      assertEquals(failed, []);
      assert(!cluster.wasSuspect(node));
      await cluster.finish();
    });
  }
});

/**
 * Ten times what the node can do, for some seconds: what came of it, how many a second were done meanwhile, and by how
 * many MB the most memory that it had has grown.
 */
async function overload(send: () => Promise<Required<Sent>>, peak: () => Promise<number>) {
  const pace = await paceOf(send);
  const before = await peak();
  const began = Date.now();
  const sent = await atRate(10 * pace, SECONDS, send);
  const done = sent.filter(({ result, ended }) => result.ok && ended <= began + 1_000 * SECONDS);
  const grown = (await peak() - before) / 1e6;
  const capacity = Math.min(pace, await paceOf(send)); // which others of the machine's have their part in
  const refused = sent.filter(({ result }) => result.error?.code === "OVERLOADED");
  const silence = sent.filter(({ result }) => result.error?.code === "OUTCOME_UNKNOWN");
  const waits = refused.map(({ began, ended }) => ended - began).sort((a, b) => a - b);
  const wait = waits[waits.length >> 1] ?? 0;
  return {
    sent,
    goodput: done.length / SECONDS,
    capacity,
    offered: sent.length / SECONDS,
    grown,
    refused,
    silence,
    wait,
  };
}

/** Returns true if the node kept its pace, and told nearly all that it did not do at once. */
function isWell({ sent, goodput, capacity, refused, silence, wait }: Awaited<ReturnType<typeof overload>>): boolean {
  return goodput > 0.8 * capacity && refused.length > 0.8 * sent.filter(({ result }) => !result.ok).length &&
    silence.length < 0.05 * sent.length && wait < TIMEOUT / 2;
}

/** How many a second the node does when it has just enough to do. */
async function paceOf(send: () => Promise<unknown>): Promise<number> {
  const load = new Load(2 * CONCURRENCY, send);
  const began = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 1_000));
  const pace = load.done / (performance.now() - began) * 1_000;
  await load.stop();
  return pace;
}
