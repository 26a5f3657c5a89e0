/**
 * Fault: of three NATS servers one dies: the leader of the membership's records, or the one that a node is connected
 * to.
 */
import { assertEquals, assertGreater } from "@std/assert";
import { after, afterEach, before, describe, it } from "node:test";
import { type NatsCluster, requireNatsServer, startNatsCluster } from "../../tools/nats_server.ts";
import { Read, Record, Slow } from "../processes/node_messages.ts";
import { chances } from "../support/chances.ts";
import { eventually } from "../support/eventually.ts";
import { FaultCluster } from "../support/fault_cluster.ts";
import { leaderOf } from "../support/log_stream.ts";
import { Load, type Sent } from "../support/checked_sends.ts";

const IN_HAND = 100;
/** How long handlers run that have begun when a server dies, in ms: the test has to see that they run, and kill it. */
const RUNS_FOR = 2_000;

describe("three NATS servers, replicas: 3", await requireNatsServer(), () => {
  let nats: NatsCluster;
  /** The server that does not run. */
  let killed: number | undefined;
  before(async () => {
    nats = await startNatsCluster(3);
  });
  after(() => nats?.stop());
  afterEach(restart);

  it(
    "the death of the server that leads the records: sends go on, and nodes can join again",
    { timeout: 1_200_000 },
    async () => {
      // Promise: requests need no JetStream; once it has a leader again, membership goes on as before.
      await using cluster = await open("leader", ["d1", "b1"]);
      const { caller, sends } = cluster;
      const leader = await leaderOf(nats.urls, "KV_catga_leader_nodes");
      const load = new Load(32, (i) => sends.send(caller, [Read, Record, Slow][i % 3], 20));
      await eventually("some load", () => load.done > 500);
      killed = leader;
      await nats.servers[leader].kill("SIGKILL");
      const at = Date.now();
      const done = load.done;
      await eventually("the load to go on", () => load.done > done + 1_000);
      console.log(`the leader n${leader} killed: 1,000 messages done ${Date.now() - at} ms later`);
      await cluster.start("d2", {}, urlsFrom((leader + 1) % 3)); // which needs the new one
      await cluster.complete();
      console.log(`a new node was in every view ${Date.now() - at} ms after the leader's death`);
      await load.stop();
      console.log(`leader: ${sends.tally()}`);
      assertEquals(sends.failures("OUTCOME_UNKNOWN"), []);
      await restart();
      await cluster.finish();
    },
  );

  for (const [n, id] of ["d1", "b1"].entries()) {
    it(`the death of the server of a node: none of its answers is lost: ${id}`, { timeout: 1_200_000 }, async () => {
      // Promise: a live node that moves to another server loses none of its answers: commands in hand are kept
      // until it has had 3 s to answer from there.
      const own = n;
      await using cluster = await open(`own${n}`, [], (own + 1) % 3);
      const { caller, sends, log } = cluster;
      await cluster.start(id, {}, urlsFrom(own));
      await cluster.start("d2", {}, urlsFrom((own + 1) % 3));
      await cluster.complete();
      const commands: Promise<Required<Sent>[]>[] = [];
      const queries: Promise<Required<Sent>[]>[] = [];
      const runs = async (name: string) => new Set((await log.runs(name)).map(({ entry }) => entry)).size;
      const work = async () => {
        commands.push(sends.many(IN_HAND, caller, Slow, RUNS_FOR, { node: id }));
        queries.push(sends.many(IN_HAND, caller, Read, RUNS_FOR));
        const wanted = IN_HAND * commands.length;
        await eventually(
          "all of it to run",
          async () => await runs("Slow") === wanted && await runs("Read") === wanted,
        );
        return sends.sent.filter(({ name, result }) => name === "Slow" && result === undefined).length;
      };
      // all may be answered before a starved test sees that it runs
      assertGreater(await chances(5, work, (unanswered) => unanswered > 0), 0, "all had been answered before");
      killed = own;
      const at = Date.now();
      await nats.servers[own].kill("SIGKILL");
      // some of them arrive while it moves
      const load = new Load(16, (i) => sends.send(caller, i % 2 === 0 ? Record : Read));
      const answered = (await Promise.all(commands)).flat();
      console.log(
        `${id} moved: its commands in hand: ${sends.tally(answered)}, ${Date.now() - at} ms later`,
      );
      assertEquals(answered.filter(({ result }) => result.value !== id), []);
      assertEquals((await Promise.all(queries)).flat().filter(({ result }) => !result.ok), []);
      await eventually(
        "it to be asked again",
        async () => (await sends.send(caller, Record, 0)).result.value === id,
      );
      await load.stop();
      assertEquals(sends.failures("OUTCOME_UNKNOWN"), []);
      await restart();
      await cluster.finish();
    });
  }

  async function restart(): Promise<void> {
    if (killed !== undefined) await nats.restart(killed);
    killed = undefined;
  }

  function open(namespace: string, nodes: readonly string[], first = 0): Promise<FaultCluster> {
    return FaultCluster.open({
      url: urlsFrom(first),
      nodes,
      node: { namespace, replicas: 3 },
      caller: { namespace, replicas: 3 },
    });
  }

  /** All URLs, that server's first. */
  function urlsFrom(first: number): string {
    return [0, 1, 2].map((i) => nats.urls[(first + i) % 3]).join(",");
  }
});
