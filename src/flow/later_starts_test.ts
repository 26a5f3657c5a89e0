/** Tests of starts for later: what meets them before their time, and a start whose id is taken when its time comes. */
import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import { unwrap, workflow } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { QUIET } from "../../test/support/quiet.ts";

const HOUR = 3_600_000;
const Job = workflow<number, number>("Job");
const Told = Job.signal("Told");

/** A cluster with one node that handles the workflow, and one that does not. */
async function started() {
  const ran: string[] = [];
  const job = Job.handle((flow, n) => {
    ran.push(`${flow.id} ${n}`);
    return n;
  });
  const cluster = await testCluster(["node", "client"], {
    logger: QUIET,
    node: (id) => id === "client" ? {} : { handlers: job },
  });
  const [node, client] = [cluster.app("node"), cluster.app("client")];
  const later = () => new Date(cluster.clock.now() + HOUR);
  const letters = () => Array.fromAsync(node.deadLetters());
  return { cluster, node, client, later, ran, letters, [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose]() };
}

describe("a start for later", () => {
  it("is a dead letter if another input has taken its id (it was ok, never ran, and nothing said so)", async () => {
    await using one = await started();
    const { client, node, cluster } = one;
    unwrap(await client.start(Job, 5, { id: "d", at: one.later() }));
    unwrap(await client.start(Job, 6, { id: "d" }));
    assertEquals(unwrap(await client.result(Job, "d")), 6);
    await cluster.leap(HOUR + 1_000);
    let [letter] = await one.letters();
    for (; letter === undefined; [letter] = await one.letters()) await cluster.advance(50);
    assertEquals(letter.error.code, "ID_REUSED");
    assertMatch(letter.error.message, /^run d of Job was not started at its time: .* with another input/);
    while (!node.health().alarms.some(({ kind }) => kind === "dead-letters")) await cluster.advance(100);
    assertEquals(one.ran.filter((run) => run === "d 5"), []);
  });

  it("is the run that the same input has started before its time", async () => {
    await using one = await started();
    unwrap(await one.client.start(Job, 5, { id: "d", at: one.later() }));
    unwrap(await one.client.start(Job, 5, { id: "d" }));
    assertEquals(unwrap(await one.client.result(Job, "d")), 5);
    await one.cluster.leap(HOUR + 1_000);
    await one.cluster.advance(5_000);
    assertEquals([new Set(one.ran), await one.letters()], [new Set(["d 5"]), []]);
  });

  it("is no run before its time: tell, cancel and result say NO_RUN, and it runs in spite of them", async () => {
    await using one = await started();
    const { client } = one;
    unwrap(await client.start(Job, 1, { id: "a", at: one.later() }));
    const answers = [
      await client.tell(Told, "a"),
      await client.cancel(Job, "a", "enough"),
      await client.result(Job, "a"),
    ];
    assertEquals(answers.map(({ error }) => error?.code), ["NO_RUN", "NO_RUN", "NO_RUN"]);
    await one.cluster.leap(HOUR + 1_000);
    for (;;) {
      const result = await client.result(Job, "a");
      if (!result.ok) continue;
      assertEquals(result.value, 1);
      break;
    }
  });

  it("is taken back by unschedule, and replaced by another one of its id", async () => {
    await using one = await started();
    const { client } = one;
    unwrap(await client.start(Job, 1, { id: "a", at: one.later() }));
    assertEquals(await client.unschedule(Job, "a"), true);
    unwrap(await client.start(Job, 1, { id: "b", at: one.later() }));
    unwrap(await client.start(Job, 2, { id: "b", at: one.later() }));
    await one.cluster.leap(HOUR + 1_000);
    await one.cluster.advance(10_000);
    assertEquals([new Set(one.ran), await one.letters()], [new Set(["b 2"]), []]);
  });
});
