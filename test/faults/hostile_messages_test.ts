/** Fault: a client publishes malformed messages to every subject of a node, under every name. */
import { connect } from "@nats-io/transport-node";
import { assert, assertEquals, assertLess } from "@std/assert";
import { describe, it } from "node:test";
import { unwrap } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { Inspect, Read, Record } from "../processes/node_messages.ts";
import { seededRandom } from "../../src/memory/seeded_random.ts";
import { FaultCluster, FLAT } from "../support/fault_cluster.ts";
import { mangled } from "../support/mangled.ts";
import { subscriptions, SYSTEM_ACCOUNT } from "../support/system_account.ts";

const MESSAGES = 10_000; // a round, over all subjects
const ROUNDS = 3;

describe("hostile messages", await requireNatsServer(), () => {
  for (const id of ["d1", "b1"]) {
    it(`${MESSAGES} of them, ${ROUNDS} times, change neither memory, subscriptions nor answers: ${id}`, {
      timeout: 1_200_000,
    }, async () => {
      // Promise: a malformed message is dropped; what is kept of senders, forged ones included, is bounded; the node
      // answers as before, and nothing in it is subscribed to more than before.
      await using server = await startNatsServer({ config: SYSTEM_ACCOUNT });
      await using cluster = await FaultCluster.open({ url: server.url.replace("//", "//app:app@"), nodes: [id] });
      const { caller, sends } = cluster;
      const { endpoint } = cluster.node(id);
      // a valid plain call would run a handler; those of this node hang and burn on request, so one contract stands for
      // all
      const all = async () => await subscriptions(server, `catga ${id}`);
      const subjects = (await all()).filter((subject) => !subject.includes(".call.") || subject.endsWith(".call.Who"));
      const subscribed = (await all()).length;
      assert(subjects.some((subject) => subject.includes(`.node.${endpoint}.`)), subjects.join(" "));
      const hostile = await connect({ servers: server.url, user: "app", pass: "app" });
      const random = seededRandom(3);
      let senders = 0;
      // a client that uses the name of a live process is trusted: the senders of frames are not authenticated
      // (docs/security.md)
      const end = () => {
        const ends = [
          `forged.${senders++}`,
          "caller.forged",
          endpoint,
          "x",
          "-1.0",
          "a.b.c",
          "__proto__.__proto__",
        ];
        return ends[Math.floor(random() * ends.length)];
      };
      // garbage of what is under way counts as well: the least of a few
      const held = async () => {
        const seen: number[] = [];
        while (seen.length < 5) seen.push(unwrap(await caller.send(Inspect)).heap);
        return Math.min(...seen);
      };
      try {
        const heaps: number[] = [];
        for (let round = 0; round <= ROUNDS; round++) {
          for (let i = 0; i < MESSAGES; i++) {
            const subject = subjects[i % subjects.length].replace(/[>*]$/, end);
            const reply = random() < 0.1 ? `catga.default.node.${endpoint}.forged.reply` : undefined;
            hostile.publish(subject, mangled(random), reply === undefined ? {} : { reply });
            if (i % 500 === 0) await hostile.flush();
          }
          await hostile.flush();
          const [read] = await sends.many(50, caller, Read); // behind all of them
          assertEquals(read.result.value, id);
          heaps.push(await held());
        }
        const grown = heaps[ROUNDS] - heaps[0];
        console.log(`${id}: heap after each round: ${heaps.map((heap) => (heap / 1e6).toFixed(2)).join(", ")} MB`);
        assertLess(grown, FLAT);
        assertEquals((await sends.many(50, caller, Record)).filter(({ result }) => result.value !== id), []);
        assertEquals((await all()).length, subscribed);
        assertEquals(caller.nodes().map((node) => node.id).sort(), [id, "caller"].sort());
        await cluster.finish();
      } finally {
        await hostile.close();
      }
    });
  }
});
