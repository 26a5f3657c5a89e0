/** Tests of the last runs of a schedule on the dashboard's page: when each ran, and how it ended. */
import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { command, fail, unwrap, workflow } from "../../../mod.ts";
import { Administration } from "../../log/administration/administration.ts";
import { streamOptions } from "../../log/format/streams.ts";
import { type StreamKind, streamName } from "../../log/format/stream_name.ts";
import { testCluster } from "../../testing/mod.ts";
import { readScheduleRuns } from "../dashboard.ts";

const Sweep = command<string>("Sweep", { durable: true });
const Nightly = workflow<void>("Nightly");
const MINUTE = 60_000;

/** Starts a cluster with scheduled commands, whose handler fails after `fail` is called. */
async function setUp() {
  let fails = false;
  const handlers = [
    Sweep.handle(() => fails ? fail("NO_BROOM", "no broom", { final: true }) : undefined),
    Nightly.handle(() => {}),
  ];
  const logger = { debug() {}, info() {}, warn() {}, error() {} };
  const cluster = await testCluster(["a"], { handlers, service: "house", logger });
  const app = cluster.app("a");
  const { log } = cluster.network.connect();
  const stream = (kind: StreamKind) => log.open(streamName("default", kind), streamOptions("default", kind, 1));
  const administration = new Administration({
    ...{ namespace: "default", clock: app.clock, network: { maxPayload: 1_048_576 }, nodes: () => [] },
    ...{ stream: () => stream("log"), kept: () => stream("subscriptions") },
  });
  const source = { namespace: "default", stream, runs: app.runs.bind(app) };
  return {
    ...{ cluster, app },
    fail: () => void (fails = true),
    read: async (contract: string, id: string) => {
      return await readScheduleRuns(source, administration, contract, id);
    },
    [Symbol.asyncDispose]: () => cluster[Symbol.asyncDispose](),
  };
}

describe("readScheduleRuns", () => {
  it("has the runs of one cron, the newest first, with what became of each", async () => {
    await using house = await setUp();
    const { app, cluster } = house;
    unwrap(await app.enqueue(Sweep, "all", { cron: "0 * * * * *", id: "daily" }));
    unwrap(await app.enqueue(Sweep, "other", { cron: "0 * * * * *", id: "other" }));
    await cluster.advance(2 * MINUTE);
    house.fail();
    await cluster.advance(MINUTE);
    unwrap(await app.enqueue(Sweep, "by hand"));
    await cluster.advance(2_000);
    const runs = await house.read("Sweep", "daily");
    assertEquals(runs.length, 3);
    assertMatch(
      runs[0],
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:00\.\d{3}Z {2}a dead letter of @\/Sweep {2}daily@\d+, position \d+$/,
    );
    for (const run of runs.slice(1)) assertMatch(run, / {2}handled by @\/Sweep {2}/);
    assertEquals(runs.map((run) => run.slice(0, 24)).toSorted().toReversed(), runs.map((run) => run.slice(0, 24)));
    assertEquals(await house.read("Sweep", "never"), []);
    assertEquals(await house.read("no.Such", "\x00"), []);
  });

  it("has 20 of many", async () => {
    await using house = await setUp();
    unwrap(await house.app.enqueue(Sweep, "all", { cron: "* * * * * *", id: "each second" }));
    await house.cluster.advance(30_000);
    assertEquals((await house.read("Sweep", "each second")).length, 20);
  });

  it("of a workflow's cron it says how the run stands that was started", async () => {
    await using house = await setUp();
    unwrap(await house.app.start(Nightly, undefined, { id: "clean", cron: "0 * * * * *" }));
    await house.cluster.advance(MINUTE + 5_000);
    const [run, ...more] = await house.read("Nightly-run.due", "start clean");
    assertEquals(more, []);
    assertMatch(run, / {2}run done {2}start clean@\d+, position \d+$/);
  });
});
