/**
 * Fault: of the nodes that handle an idempotent command one is killed, one is frozen for longer than its lease, one cut
 * off.
 */
import { assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { BEFORE_RELEASE } from "../support/before_release.ts";
import type { OnceLine } from "../processes/once_node.ts";
import { OnceCluster } from "../support/once_cluster.ts";
import { onceHistoryViolations, tally } from "../support/once_history.ts";

const IDS = 1_000;
const TIMES = BEFORE_RELEASE ? 10 : 3;
const LEASE = 20_000; // ms

describe(`each of ${IDS} ids sent ${TIMES} times, hundreds at once`, await requireNatsServer(), () => {
  // docs/state.md, crash semantics, "one recorded result of an id": crashed, paused, cut off
  it("have one result for each id in spite of kills, a freeze and a cut", { timeout: 1_200_000 }, async () => {
    // Promise: every acknowledged result of an id is the same, and stored by one run, before any later claim.
    await using nats = await startNatsServer();
    await using cluster = await OnceCluster.open({
      handlers: ["d1", "b1", "d2"],
      senders: ["d8", "b8", "d9"],
      urls: [nats.url],
      namespace: "once",
    });
    const entries = Array.from({ length: IDS }, (_, i) => `id-${i}`);
    const began = Date.now();
    const sending = cluster.send(entries, TIMES);
    sending.catch(() => {}); // awaited below; what fails before that ends the app that sends

    await cluster.begun(20, "b1");
    cluster.signal("b1", "SIGSTOP");
    const thaw = wait(LEASE + 2_000).then(() => cluster.signal("b1", "SIGCONT"));
    // one of the others works at any time
    await cluster.begun(50, "d2");
    cluster.link("d2").cut();
    await wait(3_000);
    cluster.link("d2").restore();
    await cluster.begun(IDS / 2);
    cluster.signal("d1", "SIGKILL");
    await cluster.start("d1");
    await wait(500);
    cluster.signal("d2", "SIGKILL");
    await cluster.start("d2");
    await thaw;

    const reports = await sending;
    const took = Date.now() - began;
    const history = await cluster.history(entries);
    const { runs, inVain } = tally(history);
    console.log(
      `${IDS * TIMES} sends: ${took} ms; ${runs} runs began, ${inVain} ended in vain; ` +
        `sent again: ${JSON.stringify(reports.map(({ again }) => again))}`,
    );
    assertEquals(reports.flatMap(({ failures }) => failures), []);
    assertEquals(reports.reduce((sum, { acknowledged }) => sum + acknowledged, 0), IDS * TIMES);
    assertEquals(reports.reduce((sum, { late }) => sum + late, 0), 0);
    assertEquals(onceHistoryViolations(history), []);
    assertGreater(runs, IDS, "nothing was interrupted");
  });
});

describe("the checker of idempotent commands", () => {
  const run = (fence: number, ...events: ("begun" | "ended")[]): OnceLine[] =>
    events.map((event) => ({ event, entry: "a", fence, value: `x ${fence}` }));
  const acknowledged = (value: string): OnceLine => ({ event: "acknowledged", entry: "a", value });
  const stored = (value: string, revision = 9) => ({ entry: "a", value, revision });
  const sound = [...run(3, "begun", "ended"), ...run(5, "begun", "ended"), acknowledged("x 5"), acknowledged("x 5")];

  const cases: [string, OnceLine[], ReturnType<typeof stored>[], string[]][] = [
    ["nothing where there is nothing", sound, [stored("x 5")], []],
    ["two results of one id", [...sound, acknowledged("x 3")], [stored("x 5")], [
      "a: acknowledged as x 5, x 3",
      "a: acknowledged as x 3, stored as x 5",
    ]],
    ["nothing where a run has written its result twice", sound, [stored("x 5"), stored("x 5", 10)], []],
    ["two results that were stored", sound, [stored("x 5"), stored("x 3", 10)], ["a: stored as x 5, x 3"]],
    ["nothing where the first run has ended first", [...sound.slice(0, 4), acknowledged("x 3")], [stored("x 3")], []],
    ["a result that is not the stored one", sound, [stored("x 3")], ["a: acknowledged as x 5, stored as x 3"]],
    ["a result of no run", [acknowledged("x 5")], [stored("x 5")], [
      "a: not one run has ended with the result that is stored",
    ]],
    ["two runs under one claim", [...sound, ...run(3, "begun")], [stored("x 5")], ["a: two runs under one fence"]],
    ["a run after the result", [...sound, ...run(11, "begun")], [stored("x 5")], [
      "a: ran under a claim made after its result was stored",
    ]],
    ["an id without a result", [], [], [
      "a: acknowledged as nothing",
      "a: stored as nothing",
      "a: not one run has ended with the result that is stored",
    ]],
  ];
  for (const [what, lines, results, violations] of cases) {
    it(`finds ${what}`, () =>
      assertEquals(onceHistoryViolations({ entries: ["a"], lines, stored: results }), violations));
  }
});
