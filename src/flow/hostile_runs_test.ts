/**
 * Tests of what a client that can write to the subjects of runs, or send to a node, cannot do to runs; and of odd
 * values that steps throw.
 */
import { describe, it } from "node:test";
import { assertEquals, assertLess } from "@std/assert";
import { type Catga, CatgaError, fail, type RunInfo, unwrap, workflow } from "@catga/catga";
import { type TestCluster, testCluster } from "@catga/catga/testing";
import { commandText, entityGroupText, eventText } from "../log/format/entity_group.ts";
import { entitySubject } from "../log/format/names.ts";
import { streamOptions } from "../log/format/streams.ts";
import { streamName } from "../log/format/stream_name.ts";
import { runContracts } from "../contract/declaration/workflow.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import type { TransportMessage } from "../ports/transport.ts";
import { SharedTimer } from "../ports/shared_timer.ts";
import type { JournalEntry, RecordedOutcome } from "./stored/journal_entry.ts";
import { Questions } from "./calls/questions.ts";
import { Results } from "./calls/results.ts";
import { QUIET } from "../../test/support/quiet.ts";

const Order = workflow<void, string>("Order");
const paid = Order.signal<string>("paid");
const price = Order.question<void, number>("price");
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

/** Returns functions that write invalid messages, such as no node writes, to the stream of runs. */
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
    assertEquals((await app.result(Order, run, { timeout: 2_000 })).error?.code, "NOT_ENDED");
    assertEquals((await infoOf(app, run))?.status, "waiting");
    unwrap(await app.tell(paid, run, "in time"));
    assertEquals(unwrap(await app.result(Order, run)), "paid in time");
    await raw(run, "junk");
    assertEquals(unwrap(await app.result(Order, run)), "paid in time");
    assertEquals((await app.tell(paid, run, "late")).error?.code, "NO_RUN");
    assertEquals((await infoOf(app, run))?.status, "done");
  });

  it("is listed as unreadable behind a message of a later version, and hides no other run", async () => {
    await using cluster = await testCluster(["worker"], quiet);
    const app = cluster.app("worker");
    const { raw } = await writer(cluster);
    for (const id of ["1", "2"]) {
      unwrap(await app.start(Order, undefined, { id }));
      await waiting(cluster, app, id);
    }
    await raw("1", '[3,"later.1",0,0]');
    await raw("1", "junk");
    const listed: string[] = [];
    for await (const { id, status } of app.runs()) listed.push(`${id} ${status}`);
    assertEquals(listed, ["2 waiting", "1 unreadable"]);
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
    // its node read the subject again and again, for ever
    assertEquals((await app.ask(price, "7", undefined, { timeout: 1_000 })).error?.code, "NO_RUN");
    assertEquals(unwrap(await app.start(Order, undefined, { id: "7" })), "7");
    await waiting(cluster, app, "7");
    assertEquals(unwrap(await app.start(Order, undefined, { id: "7" })), "7");
    unwrap(await app.tell(paid, "7", "once"));
    assertEquals(unwrap(await app.result(Order, "7")), "paid once");
    assertEquals((await infoOf(app, "7"))?.timeline.filter(({ type }) => type === "started").length, 1);
  });
});

describe("a message that says that a time has come", () => {
  it("ends neither a sleep nor the time of a run a day early, whoever sends it", async () => {
    const Nap = workflow<void, string>("Nap", { timeout: 2 * DAY });
    const nap = Nap.handle(async (flow) => {
      await flow.sleep("a day", DAY);
      return "rested";
    });
    const Stay = workflow<void, string>("Stay", { timeout: 2 * DAY });
    const leave = Stay.signal<string>("leave");
    const stay = Stay.handle((flow) => flow.wait(leave));
    await using cluster = await testCluster(["worker", "mallory"], {
      logger: QUIET,
      node: (id) => id === "worker" ? { handlers: [nap, stay] } : {},
    });
    const [app, mallory] = [cluster.app("worker"), cluster.app("mallory")];
    const run = unwrap(await app.start(Nap));
    await waiting(cluster, app, run);
    const { join } = runContracts("Nap-run");
    for (const step of ["a day", "@timeout"]) {
      const due = { step, at: cluster.clock.now() + 3 * DAY };
      const sent = mallory.send(join as never, { run, sequence: 0, due } as never);
      await cluster.advance(3_000);
      assertEquals([step, (await infoOf(app, run))?.status], [step, "waiting"]);
      void sent;
    }
    const other = unwrap(await app.start(Stay));
    await waiting(cluster, app, other);
    const due = { step: "@timeout", at: cluster.clock.now() + 3 * DAY };
    void mallory.send(runContracts("Stay-run").join as never, { run: other, sequence: 0, due } as never);
    await cluster.leap(DAY);
    assertEquals(unwrap(await app.result(Nap, run)), "rested");
    await cluster.leap(DAY);
    assertEquals((await app.result(Stay, other)).error?.code, "TIMEOUT");
  });
});

const DAY = 86_400_000;

describe("a run that names another as its parent", () => {
  it("gives none of that one's steps an outcome", async () => {
    const Payout = workflow<void, string>("Payout");
    const go = Payout.signal("go");
    let charged = 0;
    const payout = Payout.handle(async (flow) => {
      await flow.wait(go);
      await flow.step("charge", () => void charged++);
      const inner = await flow.send(Order, undefined, { name: "order" });
      return `${inner.ok && inner.value}`;
    });
    await using cluster = await testCluster(["worker"], { handlers: [payout, order], logger: QUIET });
    const app = cluster.app("worker");
    const run = unwrap(await app.start(Payout));
    await waiting(cluster, app, run);
    const { entry } = await writer(cluster);
    for (const step of ["charge", "order"]) {
      const parent = { workflow: "Payout", run, step };
      await entry(`forged-${step}`, { t: "started", by: "", version: 1, keep: 60_000, parent });
      await waiting(cluster, app, `forged-${step}`);
      unwrap(await app.tell(paid, `forged-${step}`, "never"));
      unwrap(await app.result(Order, `forged-${step}`));
    }
    unwrap(await app.tell(go, run));
    const own = `Payout:${run}:order`;
    await cluster.advance(1_000);
    await app.tell(paid, own, "for it");
    assertEquals([unwrap(await app.result(Payout, run)), charged], ["paid for it", 1]);
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

describe("announcements that a run has ended", () => {
  it("have it read one at a time, however many there are", async () => {
    const reads: ((outcome: RecordedOutcome | undefined) => void)[] = [];
    let announce = () => {};
    const results = new Results({
      namespace: "test",
      clock: new VirtualClock(),
      soon: (callback) => callback(),
      transport: {
        status: { state: "connected", generation: 1 },
        publish() {},
        onStatus: () => () => {},
        subscribe(subject, _, onMessage) {
          const data = new TextEncoder().encode('{"runs":["7"]}');
          announce = () => onMessage({ subject, data, reply: undefined, headers: undefined, noResponders: false });
          return { close() {}, drain: () => Promise.resolve() };
        },
      },
      onGone: () => () => {},
      drives: () => false,
      read: () => new Promise((resolve) => reads.push(resolve)),
      readShown: () => Promise.resolve(undefined),
    });
    const told: unknown[] = [];
    results.wait({ workflow: "Order", run: "7" }, (outcome) => told.push(outcome));
    for (let i = 0; i < 1_000; i++) announce();
    assertEquals(reads.length, 1);
    reads[0](undefined);
    await new Promise((resolve) => setTimeout(resolve));
    // the run was read only once more, whatever number of announcements came during the first read
    assertEquals(reads.length, 2);
    reads[1]({ ok: true, value: "end" });
    await new Promise((resolve) => setTimeout(resolve));
    assertEquals([told, reads.length], [[{ ok: true, value: "end" }], 2]);
    results.close();
  });
});

describe("announcements that a question has its answer", () => {
  it("have the run read one at a time, however many there are", async () => {
    let announce = () => {};
    const reads: ((entries: readonly JournalEntry[]) => void)[] = [];
    const clock = new VirtualClock();
    const questions = new Questions(
      {
        ...{ endpoint: "n.1", clock, soon: (callback: () => void) => callback(), timers: new SharedTimer(clock) },
        app: {
          ...{ namespace: "test", timeout: 30_000, random: Math.random },
          transport: {
            status: { state: "connected", generation: 1 },
            publish() {},
            subscribe(subject: string, _: unknown, onMessage: (message: TransportMessage) => void) {
              const data = new TextEncoder().encode(
                JSON.stringify({ answers: Array(1_000).fill(["7", "price", "q", 9]) }),
              );
              announce = () => onMessage({ subject, data, reply: undefined, headers: undefined, noResponders: false });
              return { close() {}, drain: () => Promise.resolve() };
            },
          },
        },
        log: { entriesAt: () => new Promise((resolve) => reads.push(resolve)), readOn: () => new Promise(() => {}) },
      } as never,
      { append: () => Promise.resolve({ ok: true, value: undefined }) } as never,
      { wait: () => () => {} } as never,
      { drives: () => false },
    );
    const asking = questions.ask(price, "7", undefined, { id: "q" });
    announce();
    announce();
    assertEquals(reads.length, 1);
    reads[0]([{ t: "answered", question: "price", id: "q", outcome: { ok: true, value: 3 }, until: 0 }]);
    assertEquals(unwrap(await asking), 3);
    questions.close();
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

const throws = () => {
  throw new Error("a trap");
};
const isCatga = (thrown: unknown) => typeof thrown === "object" && thrown !== null && CATGA.has(thrown);
const CATGA = new WeakSet<object>();
/** By description: returns an odd value, such as malicious code may throw. */
const ODD: Record<string, () => unknown> = {
  undefined: () => undefined,
  "a symbol": () => Symbol("odd"),
  "an object without a prototype": () => Object.create(null),
  "a proxy that throws at all": () =>
    new Proxy({}, {
      get: throws,
      has: throws,
      getPrototypeOf: throws,
      ownKeys: throws,
      getOwnPropertyDescriptor: throws,
    }),
  "an error whose message is a getter that throws": () =>
    Object.defineProperty(new Error(), "message", { get: throws }),
  "an error whose message is an object": () => Object.assign(new Error(), { message: { toString: throws } }),
  "an error whose name is a getter that throws": () => Object.defineProperty(new Error("x"), "name", { get: throws }),
  "an error that is its own cause": () => {
    const error = new Error("cyclic");
    return Object.assign(error, { cause: error });
  },
  "an error with a message of 10 MB": () => new Error("x".repeat(10_000_000)),
  "a message that is not well-formed": () => new Error("\ud800"),
  "a failure with details that cannot be read": () => {
    const error = new CatgaError("ODD", "odd", {
      details: {
        get a() {
          return throws();
        },
      },
    });
    CATGA.add(error);
    return error;
  },
  "a failure whose code is a number": () => {
    const error = new CatgaError(7 as never, "odd");
    CATGA.add(error);
    return error;
  },
  "a failure with a code of 10 MB": () => {
    const error = new CatgaError("x".repeat(10_000_000), "odd");
    CATGA.add(error);
    return error;
  },
};

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

describe("whatever a step throws", () => {
  for (const [name, make] of Object.entries(ODD)) {
    it(`is recorded, and the run is stuck: ${name}`, async () => {
      const Odd = workflow<"step" | "handler" | "undo", string>("Odd", { id: (where) => where });
      const odd = Odd.handle(async (flow, where) => {
        const thrown = () => {
          throw make();
        };
        if (where === "handler") thrown();
        await flow.step("odd", where === "step" ? thrown : () => 1, {
          retry: { attempts: 1 },
          ...(where === "undo" ? { undo: thrown } : {}),
        });
        return fail("NO", "no") as never;
      });
      await using cluster = await testCluster(["worker"], { handlers: odd, logger: QUIET });
      const app = cluster.app("worker");
      for (const where of ["step", "undo"] as const) {
        unwrap(await app.start(Odd, where));
        await cluster.advance(1_000);
        const info = await infoOf(app, where);
        const [pending] = info?.pending ?? [];
        assertEquals([where, info?.status, typeof pending?.error?.code, typeof pending?.error?.message], [
          where,
          "stuck",
          "string",
          "string",
        ]);
      }
      unwrap(await app.start(Odd, "handler"));
      await cluster.advance(1_000);
      assertEquals((await infoOf(app, "handler"))?.status, isCatga(make()) ? "failed" : "retrying");
    });
  }
});

describe("a run with values of 1,000 levels", () => {
  // regression: an entry has two levels of nesting around a value, so that it was refused; the run then began again for
  // ever, and ran its step each time
  for (const [name, inmost] of [["plain", 0], ["with a date", new Date(0)]] as const) {
    it(`goes to its end: ${name}`, async () => {
      const deep = () => Array.from({ length: 1_000 }).reduce((inner: unknown) => [inner], inmost);
      const Deep = workflow<unknown, unknown, "NO">("Deep");
      const told = Deep.signal<unknown>("told");
      let steps = 0;
      const handler = Deep.handle(async (flow, input) => {
        const value = await flow.step("deep", () => {
          steps++;
          return input;
        });
        assertEquals(await flow.wait(told), value);
        const inner = await flow.send(Failing, value);
        return inner.ok ? "" : inner.error.details;
      });
      const Failing = workflow<unknown, void, "NO">("Failing");
      const failing = Failing.handle((_, input) => fail("NO", "no", { details: input }) as never);
      await using cluster = await testCluster(["a", "b"], { handlers: [handler, failing], logger: QUIET });
      const [app, other] = cluster.apps;
      const run = unwrap(await app.start(Deep, deep()));
      unwrap(await other.tell(told, run, deep()));
      assertEquals(unwrap(await other.result(Deep, run)), deep());
      assertEquals(steps, 1);
    });
  }
});
