/** Fault: the TCP link of a node, or of a caller, to the nats-server is slow, cut, or half-closed. */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { Read, Record, Slow } from "../processes/node_messages.ts";
import { startTcpProxy, type TcpProxy } from "../processes/tcp_proxy.ts";
import { chances } from "../support/chances.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster } from "../support/fault_cluster.ts";
import { subscriptions, SYSTEM_ACCOUNT } from "../support/system_account.ts";
import { Load, type Sent } from "../support/checked_sends.ts";

const IN_HAND = 50;
const DELAY = 100; // ms
const DELAYED = `delayed by ${DELAY} ms`;

/** What is done to a link, and for how long, in ms. */
const FAULTS: readonly (readonly [string, (link: TcpProxy) => void, number])[] = [
  [DELAYED, (link) => link.delay(DELAY), 700],
  ["cut", (link) => link.cut(), 700],
  ["half-closed", (link) => link.halfClose(), 300],
];

describe("a bad link to the nats-server", await requireNatsServer(), () => {
  for (const id of ["d1", "b1"]) {
    // docs/cluster.md, crash semantics, "it loses its connection": requests in hand there, new requests
    it(
      `of a node: its queries go to others, nothing runs twice, and it is used again: ${id}`,
      { timeout: 1_200_000 },
      async () => {
        // Promise: a node that loses its connection is as good as dead for what it has in hand: its queries go to
        // another one, its commands end with OUTCOME_UNKNOWN; it goes on as before when it is back.
        await using server = await startNatsServer({ config: SYSTEM_ACCOUNT });
        await using cluster = await FaultCluster.open({ nodes: ["d2"], url: withUser(server.url) });
        const { caller, sends } = cluster;
        await using link = await startTcpProxy(server.port);
        await cluster.start(id, {}, withUser(link.url));
        await cluster.complete();
        const subscribed = async () => (await subscriptions(server, `catga ${id}`)).length;
        const before = await subscribed();
        for (const [what, worsen, ms] of FAULTS) {
          const first = sends.sent.length;
          const { accepted } = link;
          const load = new Load(48, (i) => sends.send(caller, [Read, Record, Slow][i % 3], 40));
          await eventually("some load", () => load.done > 300);
          worsen(link);
          const at = Date.now();
          const during = () => sends.sent.filter(({ began, result }) => began > at && result?.value === id);
          const hasMet = () => what === DELAYED ? link.delayed > 0 && during().length > 0 : link.accepted > accepted;
          await eventually("it to last", () => Date.now() > at + ms && (what !== DELAYED || hasMet()));
          mend(link);
          await eventually("it to have met the node", hasMet);
          await eventually(
            "it to be asked again",
            async () => (await sends.send(caller, Record)).result.value === id,
          );
          await load.stop();
          console.log(`the link of ${id} ${what} for ${ms} ms: ${sends.tally(sends.sent.slice(first))}`);
          assertEquals(sends.failures("OUTCOME_UNKNOWN"), []);
          assertEquals(sends.sent.filter(({ kind, result }) => kind === "query" && !result?.ok), []);
          await eventually("it to be subscribed as before, and to no more", async () => await subscribed() === before);
        }
        await cluster.finish();
      },
    );
  }

  it("of a caller: answers that come after the reconnect are not lost, and sends during the cut wait", {
    timeout: 1_200_000,
  }, async () => {
    // Promise: a caller that is away for a moment gets its answers when it is back, and nothing that it sent runs
    // twice. Of what goes into a link that is dying, or comes out of it, commands may end with OUTCOME_UNKNOWN, at
    // their deadline.
    await using cluster = await FaultCluster.open({ nodes: ["d1", "b1"] });
    const { sends } = cluster;
    await using link = await startTcpProxy(cluster.server.port);
    await using away = await cluster.app({ id: "away", nats: link.url });
    await eventually("it to see all", () => away.nodes().length === 4);
    for (const [what, worsen, ms] of FAULTS) {
      const first = sends.sent.length;
      const { accepted } = link;
      const inHand: Promise<Required<Sent>[]>[] = [];
      // a query may run again on another node, when its first one is slow to answer
      const runs = async () =>
        new Set((await cluster.log.runs("Slow", "Read")).map(({ name, entry }) => name + entry)).size;
      const work = async () => {
        inHand.push(...[Slow, Read].map((contract) => sends.many(IN_HAND, away, contract, 1_000)));
        const wanted = sends.sent.filter(({ name }) => name !== "Record").length;
        await eventually("all of it to run", async () => await runs() === wanted);
        return sends.pending;
      };
      // all may be answered before a starved test sees that it runs
      assert(await chances(5, work, (pending) => pending > 0) > 0, "all had been answered before");
      worsen(link);
      const at = Date.now();
      const dying = sends.many(IN_HAND, away, Record, 0, { timeout: 3_000 });
      const hasMet = () => what === DELAYED ? link.delayed > 0 : link.accepted > accepted;
      await eventually("it to last", () => Date.now() > at + ms && (what !== DELAYED || hasMet()));
      mend(link);
      await eventually("it to have met the caller", hasMet);
      assertEquals((await Promise.all(inHand)).flat().filter(({ result }) => !result.ok), []);
      await dying;
      console.log(`the link of the caller ${what} for ${ms} ms: ${sends.tally(sends.sent.slice(first))}`);
      assertEquals(sends.failures("OUTCOME_UNKNOWN"), []);
    }
    assert(cluster.said.some((line) => line.includes("lost the network")));
    await cluster.finish();
  });
});

function withUser(url: string): string {
  return url.replace("//", "//app:app@");
}

function mend(link: TcpProxy): void {
  link.delay(0);
  link.restore();
}
