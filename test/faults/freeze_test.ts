/** Fault: a node process is stopped (SIGSTOP) for some seconds, with requests in hand, and goes on (SIGCONT). */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer } from "../../tools/nats_server.ts";
import { Read, Record, Slow } from "../processes/node_messages.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster } from "../support/fault_cluster.ts";
import { Load } from "../support/checked_sends.ts";

const IN_HAND = 50;
/** How long handlers run that have begun when it freezes, in ms: the test has to see that they run, and freeze it. */
const RUNS_FOR = 2_000;

describe("SIGSTOP, and SIGCONT three seconds later", await requireNatsServer(), () => {
  for (const victim of ["d1", "b1"]) {
    // docs/cluster.md, crash semantics, "freeze": requests in hand there, new requests
    // docs/cluster.md, crash semantics, "end of a freeze": requests in hand there, new requests
    it(
      `queries go to another node, commands wait, new requests go elsewhere, and nothing runs late: ${victim}`,
      { timeout: 1_200_000 },
      async () => {
        // Promise: queries of a silent node go to another one after 500 ms; commands wait for it, and end at their
        // deadline with OUTCOME_UNKNOWN; new requests avoid it; what reaches it late is refused, not run.
        const others = ["b2", "d2"];
        await using cluster = await FaultCluster.open({ nodes: [victim, ...others] });
        const { caller, sends, log } = cluster;
        const ran = async (name: string) => (await log.runs(name)).filter(({ node }) => node === victim);
        const toVictim = {
          route: (nodes: readonly { id: string }[]) => nodes.find(({ id }) => id === victim) ?? nodes[0],
        };
        await sends.many(3, caller, Record, 0, { node: victim }); // now each has measured the other's clock

        // what is under way when it freezes: its handlers have begun, and take longer than that
        const queries = sends.many(IN_HAND, caller, Read, RUNS_FOR, toVictim as never);
        const commands = sends.many(IN_HAND, caller, Slow, RUNS_FOR, { node: victim });
        const hasty = sends.many(IN_HAND, caller, Slow, 2 * RUNS_FOR, { node: victim, timeout: RUNS_FOR });
        await eventually(
          "all of it to run",
          async () => (await ran("Read")).length === IN_HAND && (await ran("Slow")).length === 2 * IN_HAND,
        );
        const frozen = cluster.signal(victim, "SIGSTOP");
        // it reaches the socket of the frozen process
        const late = sends.many(IN_HAND, caller, Record, 0, { node: victim, timeout: 1_000 });

        const moved = await queries;
        const after = moved.map(({ ended }) => ended - frozen);
        console.log(
          `${victim} frozen: its queries were answered ${Math.min(...after)} to ${Math.max(...after)} ms later`,
        );
        assertEquals(moved.filter(({ result }) => !result.ok), []);
        assert(moved.every(({ result }) => others.includes(result.value!)), "answered by it, though it is frozen");
        // because it was silent, not by a bounce, which another mechanism would follow
        const silent = `retrying Read: node ${victim} failed (silent)`;
        assertEquals(cluster.said.filter((line) => line.includes(silent)).length, IN_HAND);

        assert(cluster.wasSuspect(victim));
        const sentBefore = sends.sent.length;
        const load = new Load(16, (i) => sends.send(caller, i % 2 === 0 ? Record : Read));
        await eventually("new requests", () => load.done > 500);
        const given = [...await hasty, ...await late];
        assertEquals(new Set(given.map(({ result }) => result.error?.code)), new Set(["OUTCOME_UNKNOWN"]));
        await eventually("three seconds", () => Date.now() > frozen + 3_000);
        await load.stop();
        assertEquals(sends.sent.slice(sentBefore).filter(({ result }) => !others.includes(result?.value ?? "")), []);

        const woken = cluster.signal(victim, "SIGCONT");
        const answered = await commands;
        console.log(`${victim} goes on: its commands were answered within ${Date.now() - woken} ms`);
        assertEquals(answered.map(({ result }) => result.value), answered.map(() => victim));
        const [again] = await sends.many(1, caller, Record, 0, { node: victim }); // behind all that was sent before
        assertEquals(again.result.value, victim);
        const entries = new Set((await ran("Record")).map(({ entry }) => entry));
        assertEquals(
          (await late).filter(({ entry }) => entries.has(entry)),
          [],
          "ran, though its deadline was long over",
        );
        await eventually("requests to go to it again", async () => {
          const { result } = await sends.send(caller, Record);
          return result.value === victim;
        });
        await cluster.finish();
      },
    );
  }
});
