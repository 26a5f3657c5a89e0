/** What anybody who may write to the subjects of runs, or send to a node, cannot do to them; and what steps may throw. */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { type Catga, type RunInfo, unwrap, workflow } from "@catga/catga";
import { type TestCluster, testCluster } from "@catga/catga/testing";
import { commandText, entityGroupText, eventText } from "../log/format/entity_group.ts";
import { entitySubject } from "../log/format/names.ts";
import { streamName, streamOptions } from "../log/format/streams.ts";
import { runContracts } from "../contract/workflow.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Order = workflow<void, string>("Order");
const paid = Order.signal<string>("paid");
const order = Order.handle(async (flow) => {
  await flow.step("first", () => 1);
  return `paid ${await flow.wait(paid)}`;
});
const Outer = workflow<void, string>("Outer");
const outer = Outer.handle(async (flow) => {
  const result = await flow.send(Order, undefined, { name: "inner" });
  return result.ok ? `outer: ${result.value}` : "failed";
});

async function infoOf(app: Pick<Catga, "runs">, id: string): Promise<RunInfo | undefined> {
  for await (const info of app.runs({ id })) return info;
  return undefined;
}

async function waiting(cluster: TestCluster, app: Catga, id: string): Promise<void> {
  while ((await infoOf(app, id))?.status !== "waiting") await cluster.advance(10);
}

/** Writes to the stream of runs what no node would. */
async function writer({ network }: TestCluster) {
  const { log } = network.connect();
  const stream = await log.open(streamName("default", "entities"), streamOptions("default", "entities", 1));
  let first = 0;
  const raw = async (run: string, text: string, workflow = "Order") => {
    const appended = await stream.append(entitySubject("default", `${workflow}-run`, run), text, { timeout: 5_000 });
    assertEquals(appended.type, "stored");
  };
  const entry = (run: string, payload: unknown, kind = "called", workflow = "Order") => {
    const command = commandText({
      ...{ name: workflow, id: run, events: 1, result: undefined, fingerprint: "" },
      ...{ correlation: undefined, headers: undefined },
    });
    const origin = { endpoint: "mallory.1", first: first++, sentAt: 0 };
    return raw(run, entityGroupText(origin, 1, [command], [eventText(kind, JSON.stringify(payload))]), workflow);
  };
  const note = async (name: string, ref: unknown) => {
    await stream.append(entitySubject("default", "-stuck", name), JSON.stringify(ref), { timeout: 5_000 });
  };
  return { raw, entry, note };
}

const quiet = { handlers: [order, outer], logger: QUIET };

describe("a run whose last message is invalid", () => {
  it("gets its signals, is listed, and has its result", async () => {
    await using cluster = await testCluster(["worker"], quiet);
    const app = cluster.app("worker");
    const run = unwrap(await app.start(Order));
    await waiting(cluster, app, run);
    const { raw } = await writer(cluster);
    await raw(run, '{"type":"io.nats.jetstream.api.v1.pub_ack_response"}');
    assertEquals((await app.result(Order, run, { timeout: 2_000 })).error?.code, "TIMEOUT");
    assertEquals((await infoOf(app, run))?.status, "waiting");
    unwrap(await app.tell(paid, run, "in time"));
    assertEquals(unwrap(await app.result(Order, run)), "paid in time");
    await raw(run, "junk");
    assertEquals(unwrap(await app.result(Order, run)), "paid in time");
    assertEquals((await app.tell(paid, run, "late")).error?.code, "NO_RUN");
    assertEquals((await infoOf(app, run))?.status, "done");
  });

  it("learns the end of the run that it waits for", async () => {
    await using cluster = await testCluster(["worker"], quiet);
    const app = cluster.app("worker");
    const run = unwrap(await app.start(Outer));
    await waiting(cluster, app, run);
    const { raw } = await writer(cluster);
    await raw(run, "junk", "Outer");
    const inner = `Outer:${run}:inner`;
    await waiting(cluster, app, inner);
    unwrap(await app.tell(paid, inner, "once"));
    assertEquals(unwrap(await app.result(Outer, run, { timeout: 10_000 })), "outer: paid once");
  });
});

describe("a run whose subject has an invalid message already", () => {
  it("is started, once", async () => {
    await using cluster = await testCluster(["worker"], quiet);
    const app = cluster.app("worker");
    const { raw } = await writer(cluster);
    await raw("7", "junk");
    await raw("7", "[1]");
    assertEquals((await app.result(Order, "7", { timeout: 1_000 })).error?.code, "NO_RUN");
    assertEquals(unwrap(await app.start(Order, undefined, { id: "7" })), "7");
    await waiting(cluster, app, "7");
    assertEquals(unwrap(await app.start(Order, undefined, { id: "7" })), "7");
    unwrap(await app.tell(paid, "7", "once"));
    assertEquals(unwrap(await app.result(Order, "7")), "paid once");
    assertEquals((await infoOf(app, "7"))?.timeline.filter(({ type }) => type === "started").length, 1);
  });
});

describe("a plain NATS client", () => {
  it("reaches none of the messages by which nodes drive runs", async () => {
    await using cluster = await testCluster(["worker"], quiet);
    const client = cluster.network.connect({ name: "plain" });
    const answered = new Promise<boolean>((resolve) =>
      client.subscribe("_INBOX.1", {}, ({ noResponders }) => resolve(!noResponders))
    );
    client.publish("catga.default.call.Order-run.join", '{"run":"7","sequence":0}', { reply: "_INBOX.1" });
    assertEquals(await cluster.until(answered), false);
  });
});

describe("a forged note that a run is stuck", () => {
  it("hides no other one", async () => {
    const Bug = workflow<void, string>("Bug");
    const bug = Bug.handle((flow) =>
      flow.step("no", () => Promise.reject(new Error("no")), { retry: { attempts: 1 } })
    );
    await using cluster = await testCluster(["worker"], { handlers: bug, logger: QUIET });
    const app = cluster.app("worker");
    const { note } = await writer(cluster);
    await note("a", { workflow: "Bug/../x y.*", run: "1" });
    await note("b", { workflow: "Bug", run: "" });
    await note("c", { workflow: "", run: "\ud800" });
    const run = unwrap(await app.start(Bug));
    await cluster.advance(1_000);
    const stuck = await Array.fromAsync(app.runs({ status: "stuck" }));
    assertEquals(stuck.map(({ id }) => id), [run]);
  });
});

describe("a message that says that a run has more than is stored", () => {
  it("has it loaded a few times, not for ever", async () => {
    await using cluster = await testCluster(["worker", "mallory"], {
      logger: QUIET,
      node: (id) => id === "worker" ? { handlers: counted } : {},
    });
    const [app, mallory] = [cluster.app("worker"), cluster.app("mallory")];
    const run = unwrap(await app.start(Counted));
    await waiting(cluster, app, run);
    const before = drives;
    const { join } = runContracts("Counted-run");
    const joined = mallory.send(join as never, { run, sequence: 1e15 } as never);
    await cluster.advance(20_000);
    const after = drives;
    assertLess(after - before, 30);
    await cluster.advance(60_000);
    assertLess(drives - after, 10);
    await joined;
    unwrap(await app.tell(counter, run));
    assertEquals(unwrap(await app.result(Counted, run)), "counted");
  });
});

let drives = 0;
const Counted = workflow<void, string>("Counted");
const counter = Counted.signal("go");
const counted = Counted.handle(async (flow) => {
  drives++;
  await flow.wait(counter);
  return "counted";
});

describe("a malformed entry of a run", () => {
  const MALFORMED: Record<string, unknown> = {
    "no object": 7,
    "done without an outcome": { t: "done", step: "other" },
    "done with an error that is none": { t: "done", step: "other", outcome: { ok: false, error: 7 } },
    "done without a step": { t: "done", outcome: { ok: true } },
    "told without an outcome": { t: "told", by: "", step: "other" },
    "skipped without a step": { t: "skipped", by: "", reason: "because" },
    "failed without an error": { t: "failed", step: "other", next: 0 },
    "failed with a time that is none": { t: "failed", step: "other", error: { code: "A", message: "b" }, next: "x" },
    "slept without a time": { t: "slept", step: "other" },
    "woken without a step": { t: "woken" },
    "waits with a time that is none": { t: "waits", step: "other", signal: "paid", until: {} },
    "took with a number that is none": { t: "took", step: "other", n: "length" },
    "signalled without a name": { t: "signalled", by: "" },
    "child without a run": { t: "child", step: "other", workflow: "Order" },
    "cancelled without a reason": { t: "cancelled", by: "", code: "CANCELLED" },
    "failing without an error": { t: "failing" },
    "undone without a step": { t: "undone" },
    "ended without an outcome": { t: "ended", until: 1 },
    "ended with an error that is none": { t: "ended", outcome: { ok: false }, until: 1 },
    "ended without a time": { t: "ended", outcome: { ok: true } },
    "started without its members": { t: "started", by: "", parent: { workflow: 7 } },
  };

  for (const [name, payload] of Object.entries(MALFORMED)) {
    it(`is passed over: ${name}`, async () => {
      await using cluster = await testCluster(["worker", "client"], {
        logger: QUIET,
        node: (id) => id === "worker" ? { handlers: order } : {},
      });
      const app = cluster.app("client");
      const run = unwrap(await app.start(Order));
      await waiting(cluster, app, run);
      const result = app.result(Order, run, { timeout: 30_000 });
      const { entry } = await writer(cluster);
      await entry(run, payload);
      await cluster.advance(2_000);
      assertEquals((await infoOf(app, run))?.status, "waiting");
      unwrap(await app.tell(paid, run, "in time"));
      assertEquals(unwrap(await result), "paid in time");
    });
  }
});
