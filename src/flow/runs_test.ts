import { describe, it } from "node:test";
import { assert, assertEquals, assertLess, assertMatch, assertRejects } from "@std/assert";
import {
  type Catga,
  catga,
  CatgaError,
  command,
  entity,
  event,
  fail,
  type Flow,
  query,
  type Result,
  type RunInfo,
  unwrap,
  workflow,
} from "@catga/catga";
import { type TestCluster, testCluster } from "@catga/catga/testing";
import type { Context } from "../contract/calls/context.ts";
import type { LogFields } from "../contract/nodes/observer.ts";
import { eventually } from "../../test/support/eventually.ts";
import { NO_LEADER, ScriptedStream, SILENCE } from "../../test/support/scripted_stream.ts";
import type { WorkflowBody } from "../contract/declaration/workflow_body.ts";
import { encoder } from "../data/utf8.ts";
import { streamName } from "../log/format/stream_name.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { type StoredMessage, textOf } from "../ports/event_log.ts";
import type { JournalEntry } from "./stored/journal_entry.ts";
import { RunMessages } from "./stored/run_message.ts";
import { Runs } from "./runs.ts";
import type { RunsHost } from "./runs_host.ts";
import { infoOf } from "./run_suite.ts";

/** Makes an object that looks like a contract, as a program without types may pass it. */
const forged = (kind: string) => ({ kind, name: "Charge" }) as never;
const quiet = { debug() {}, info() {}, warn() {}, error() {} };

/** Timeout of tests with runs of 10,000 entries and more, which take minutes on a busy machine. */
const LARGE = { timeout: 600_000 };

/**
 * Makes a logger that notices the first stuck run, because a large run should not be read again and again until it is
 * stuck.
 */
function stuckWatch() {
  const { promise, resolve } = Promise.withResolvers<void>();
  const error = (text: string) => {
    if (/ is stuck: /.test(text)) resolve();
  };
  return {
    logger: { ...quiet, error },
    /** Resolves with the run once it is stuck. */
    async stuck(app: Catga, run: string): Promise<RunInfo> {
      await promise;
      let info: RunInfo | undefined;
      await eventually("that to be stored", async () => (info = await infoOf(app, run)).status === "stuck");
      return info!; // it was assigned above
    },
  };
}

describe("runs", () => {
  it("a node without the handler starts runs, and gets their results", async () => {
    const Echo = workflow<string, string>("Echo", { id: (text) => text });
    await using cluster = await testCluster(["worker", "client"], {
      node: (id) => id === "worker" ? { handlers: Echo.handle((flow, text) => flow.step("echo", () => text)) } : {},
    });
    const client = cluster.app("client");
    const started = await Promise.all(["a", "b", "c"].map((id) => client.start(Echo, id)));
    assertEquals(started.map(unwrap), ["a", "b", "c"]);
    const results = await Promise.all(["a", "b", "c"].map((id) => client.result(Echo, id)));
    assertEquals(results.map(unwrap), ["a", "b", "c"]);
  });

  it("result is NOT_ENDED while the run goes on, and NO_RUN if there is none", async () => {
    const Slow = workflow<void, string>("Slow");
    const handlers = Slow.handle(async (flow) => {
      await flow.sleep("a while", 20_000);
      return "slow";
    });
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Slow));
    assertEquals((await app.result(Slow, run, { timeout: 1_000 })).error?.code, "NOT_ENDED");
    assertEquals((await app.result(Slow, "none", { timeout: 1_000 })).error?.code, "NO_RUN");
    const leaving = new AbortController();
    const left = app.result(Slow, run, { signal: leaving.signal });
    leaving.abort();
    assertEquals((await left).error?.code, "NOT_ENDED");
    assertEquals(unwrap(await cluster.app("node-2").result(Slow, run, { timeout: 60_000 })), "slow");
    assertEquals(unwrap(await app.result(Slow, run)), "slow");
  });

  it("NOT_ENDED says what the run failed with last, and when it is stuck", async () => {
    const Upload = workflow<void, string>("Upload");
    const handlers = Upload.handle((flow) =>
      flow.step("upload", () => Promise.reject(new Error("the disk is full")), { retry: { attempts: 2 } })
    );
    await using cluster = await testCluster(1, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Upload));
    const messages = [500, 5_000].map((timeout) => app.result(Upload, run, { timeout }));
    const failed = "upload failed with HANDLER_FAILED: the disk is full";
    assertEquals((await Promise.all(messages)).map(({ error }) => error?.message), [
      `run ${run} of Upload has not ended within 500 ms: it goes on; ${failed}`,
      `run ${run} of Upload has not ended within 5000 ms: it is stuck; ${failed}`,
    ]);
  });

  it("NOT_ENDED says what the run waits for (it said only that the run goes on)", async () => {
    const Upload = workflow<void, void>("Upload");
    const Order = workflow<string, void>("Order", { id: (what) => what });
    const Paid = Order.signal("Paid");
    const order = Order.handle(async (flow, what) => {
      if (what === "signal") return await flow.wait(Paid);
      if (what === "sleep") return await flow.sleep("a day", 86_400_000);
      unwrap(await flow.send(Upload, undefined, { name: "upload" }));
    });
    const upload = Upload.handle((flow) => flow.sleep("a day", 86_400_000));
    await using cluster = await testCluster(1, { handlers: [order, upload] });
    const app = cluster.app("node-1");
    const whats = ["signal", "sleep", "child"];
    for (const what of whats) unwrap(await app.start(Order, what));
    const ends = await Promise.all(whats.map((what) => app.result(Order, what, { timeout: 500 })));
    assertEquals(ends.map(({ error }) => error?.message.split(": ").at(-1)), [
      "it waits for Paid",
      "it waits for a day",
      "it waits for upload",
    ]);
  });

  it("NOT_ENDED says that a run is stuck, or waits, also when it was told something since (it went on)", async () => {
    const Upload = workflow<string, void>("Upload", { id: (what) => what });
    const Paid = Upload.signal("Paid");
    const Other = Upload.signal("Other");
    const handlers = Upload.handle(async (flow, what) => {
      if (what === "wait") return await flow.wait(Paid);
      await flow.step("upload", () => Promise.reject(new Error("the disk is full")), { retry: { attempts: 1 } });
    });
    await using cluster = await testCluster(1, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    const messages: string[] = [];
    for (const what of ["fail", "wait"]) {
      unwrap(await app.start(Upload, what));
      await app.result(Upload, what, { timeout: 500 });
      unwrap(await app.tell(Other, what));
      const { error } = await app.result(Upload, what, { timeout: 500 });
      messages.push(error?.message.split("500 ms: ")[1] ?? "no error");
    }
    assertEquals(messages, [
      "it is stuck; upload failed with HANDLER_FAILED: the disk is full",
      "it waits for Paid",
    ]);
  });

  it("NOT_ENDED does not say that a run waits whose steps are being undone (it did, when it was told something)", async () => {
    const Upload = workflow<void, void>("Upload");
    const [Paid, Other] = [Upload.signal("Paid"), Upload.signal("Other")];
    const undo = () => new Promise<void>(() => {});
    const handlers = Upload.handle(async (flow) => {
      await flow.step("upload", () => {}, { undo, timeout: 60_000 });
      flow.wait(Paid).catch(() => {});
      return await flow.step("check", () => fail("NO", "it is too large"));
    });
    await using cluster = await testCluster(1, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Upload));
    await app.result(Upload, run, { timeout: 500 });
    unwrap(await app.tell(Other, run));
    const { error } = await app.result(Upload, run, { timeout: 500 });
    assertEquals(error?.message.split("500 ms: ")[1], "it goes on");
  });

  it("NOT_ENDED says that no node has begun the run", async () => {
    const Upload = workflow<void, string>("Upload");
    await using cluster = await testCluster(["client"], {});
    const client = cluster.app("client");
    const run = unwrap(await client.start(Upload));
    const { error } = await client.result(Upload, run, { timeout: 500 });
    assertEquals(
      error?.message,
      `run ${run} of Upload has not ended within 500 ms: no node has begun it; does a node with a handler of Upload run?`,
    );
    await cluster.start("worker", { handlers: Upload.handle((flow) => flow.step("upload", () => "uploaded")) });
    assertEquals(unwrap(await client.result(Upload, run, { timeout: 60_000 })), "uploaded");
  });

  it("a failure that a step throws is recorded with its code, and tried again", async () => {
    const Upload = workflow<void, string>("Upload");
    const handlers = Upload.handle((flow) =>
      flow.step("upload", () => {
        throw fail("NO_ROOM", "the disk is full");
      })
    );
    await using cluster = await testCluster(1, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Upload));
    await app.result(Upload, run, { timeout: 500 });
    const { status, pending: [{ error }] } = await infoOf(app, run);
    assertEquals({ status, error }, { status: "retrying", error: { code: "NO_ROOM", message: "the disk is full" } });
  });

  it("a run with a time is started at that time", async () => {
    const Later = workflow<void, string>("Later");
    await using cluster = await testCluster(2, { handlers: Later.handle(() => "late") });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Later, undefined, { id: "l", at: new Date(cluster.clock.now() + 30_000) }));
    await cluster.advance(29_000);
    assertEquals((await app.result(Later, run, { timeout: 100 })).error?.code, "NO_RUN");
    await cluster.advance(2_000);
    assertEquals(unwrap(await app.result(Later, run)), "late");
  });

  it("a start that has a time is taken back by unschedule", async () => {
    const Later = workflow<void, string>("Later");
    await using cluster = await testCluster(2, { handlers: Later.handle(() => "late") });
    const app = cluster.app("node-1");
    const at = new Date(cluster.clock.now() + 30_000);
    const run = unwrap(await app.start(Later, undefined, { id: "l", at }));
    assertEquals(await app.unschedule(Later, run), true);
    assertEquals(await app.unschedule(Later, run), false);
    await cluster.advance(60_000);
    assertEquals((await app.result(Later, run)).error?.code, "NO_RUN");
  });

  it("a cron starts a run at each of its times, named after it, until it is replaced or taken back", async () => {
    const Nightly = workflow<{ rows: number }, number>("Nightly");
    await using cluster = await testCluster(2, { handlers: Nightly.handle((_, { rows }) => rows) });
    const app = cluster.app("node-1");
    const ids = async () =>
      (await Array.fromAsync(app.runs({ workflow: "Nightly", status: "done" }))).map(({ id }) => id);
    const every = async (rows: number) =>
      unwrap(await app.start(Nightly, { rows }, { id: "books", cron: "*/10 * * * * *", zone: "Europe/Berlin" }));
    assertEquals(await every(7), "books");
    await cluster.advance(20_000);
    const first = await ids();
    assertEquals(first.length, 2);
    for (const id of first) {
      assertMatch(id, /^books@\d+$/);
      assertLess(Number(id.slice("books@".length)) % 10_000, 1_000, id);
      assertEquals(unwrap(await app.result(Nightly, id)), 7);
    }
    await every(8);
    await cluster.advance(10_000);
    const last = (await ids()).filter((id) => !first.includes(id));
    assertEquals(last.length, 1);
    assertEquals(unwrap(await app.result(Nightly, last[0])), 8);
    assertEquals(await app.unschedule(Nightly, "books"), true);
    await cluster.advance(20_000);
    assertEquals((await ids()).length, 3);
  });

  it("a run is forgotten when its time is over, and its id is free then", async () => {
    const Short = workflow<number, number>("Short", { id: () => "s", keep: 60_000 });
    await using cluster = await testCluster(2, { handlers: Short.handle((_, n) => n) });
    const app = cluster.app("node-1");
    unwrap(await app.start(Short, 1));
    assertEquals(unwrap(await app.result(Short, "s")), 1);
    assertEquals((await app.start(Short, 2)).error?.code, "ID_REUSED");
    await cluster.advance(160_000);
    assertEquals((await app.result(Short, "s")).error?.code, "NO_RUN");
    unwrap(await app.start(Short, 2));
    assertEquals(unwrap(await app.result(Short, "s")), 2);
  });

  it("an input that does not fit the schema is INVALID_MESSAGE, and the handler gets it parsed", async () => {
    const Schema = {
      "~standard": {
        version: 1,
        vendor: "test",
        validate: (value: unknown) =>
          typeof value === "string" ? { value: Number(value) } : { issues: [{ message: "no text" }] },
      },
    } as const;
    const Parsed = workflow<string, number, never, number>("Parsed", { input: Schema });
    await using app = await catga({ handlers: Parsed.handle((_, n) => n + 1) });
    assertEquals((await app.start(Parsed, 7 as never)).error?.code, "INVALID_MESSAGE");
    assertEquals(unwrap(await app.result(Parsed, unwrap(await app.start(Parsed, "41")))), 42);
  });

  it("an input without what its id is made of is INVALID_MESSAGE (each start of it began another run)", async () => {
    const Named = workflow<{ order: string }, void>("Named", { id: ({ order }) => order });
    await using app = await catga({ handlers: Named.handle(() => Promise.resolve()) });
    const { error } = await app.start(Named, {} as never);
    assertEquals(error?.code, "INVALID_MESSAGE");
    assertMatch(error!.message, /the id that its contract makes of the input .*got undefined/);
    assertEquals((await Array.fromAsync(app.runs())).length, 0);
  });

  it("an id that throws is INVALID_MESSAGE, whatever it throws (null: start rejected with a TypeError)", async () => {
    const thrown: unknown[] = [null, undefined, Symbol("no"), Object.create(null), "no", new Error("x".repeat(1e6))];
    for (const what of thrown) {
      const id = () => {
        throw what;
      };
      await using app = await catga({ handlers: workflow("Named", { id }).handle(() => Promise.resolve()) });
      const { error } = await app.start(workflow("Named", { id }));
      assertEquals(error?.code, "INVALID_MESSAGE");
      assertMatch(
        error!.message,
        /not started: the id function threw: (null|undefined|Symbol\(no\)|an object|no|x{1001}…)$/,
      );
    }
  });

  it("a failure that is thrown ends the run as one that is returned; what else is thrown is tried again", async () => {
    let attempts = 0;
    const Throws = workflow<string, string, "NO">("Throws", { id: (how) => how });
    const handlers = Throws.handle((_, how) => {
      if (how === "failure") unwrap(fail("NO", "no"));
      if (++attempts < 3) throw new Error("a bug");
      return `${attempts}`;
    });
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    for (const how of ["failure", "error"]) unwrap(await app.start(Throws, how));
    assertEquals((await app.result(Throws, "failure")).error?.code, "NO");
    assertEquals(unwrap(await app.result(Throws, "error", { timeout: 30_000 })), "3");
  });

  it("a handler that always throws is stuck after 10 attempts", async () => {
    const Bug = workflow<void, string>("Bug");
    let attempts = 0;
    const handlers = Bug.handle(() => {
      attempts++;
      throw new Error("a bug");
    });
    await using cluster = await testCluster(1, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Bug));
    await cluster.advance(700_000);
    assertEquals([(await infoOf(app, run)).status, attempts], ["stuck", 10]);
  });

  for (
    const [what, message, misuse] of [
      ["a step name used twice", /has a step "a" already/, (flow) => flow.step("a", () => 2)],
      ["an unknown option", /step b: .*tries/, (flow) => flow.step("b", () => 2, { tries: 3 } as object)],
      ["a sleep below 0", /sleep b must/, (flow) => flow.sleep("b", -1)],
      [
        "a step without a function",
        /^step b: its work must be a function; got 1/,
        (flow) => flow.step("b", 1 as never),
      ],
      [
        "a wait for no signal",
        /^flow.wait takes a signal or question of Misused; got "Paid"/,
        (flow) => flow.wait("Paid" as never),
      ],
      [
        "an unknown option of a wait",
        /^wait Paid: unknown option limit/,
        (flow) => flow.wait({ workflow: "Misused", name: "Paid" } as never, { limit: 1 } as object),
      ],
      ["a send of no contract", /^flow.send takes a command/, (flow) => flow.send("Charge" as never)],
      [
        "a send of an event",
        /^flow.send takes a c.*got event Charged: publish it in the handler of a command$/,
        (flow) => flow.send(event("Charged") as never),
      ],
      ["a send of what is like a command", /^flow.send takes a c.*an object$/, (flow) => flow.send(forged("command"))],
      [
        "a send of what is like a workflow",
        /^flow.send takes a c.*an object$/,
        (flow) => flow.send(forged("workflow")),
      ],
      ["a stage without a name (the handler ran 10 times)", /^stage: it is a text/, (flow) => {
        return Promise.resolve(flow.stage(""));
      }],
      [
        "a send with null",
        /^flow.send Ask takes an object/,
        (flow) => flow.send(query("Ask"), undefined, null as never),
      ],
      ["a step with null", /^step b takes an object of options/, (flow) => flow.step("b", () => 1, null as never)],
      ["a wait with null", /^wait Paid takes an object of options/, (flow) => {
        return flow.wait({ workflow: "Misused", name: "Paid" } as never, null as never);
      }],
      ["pauses that are none", /^step b: retry.delay must be \[first, longest\] in ms.*; got 5/, (flow) => {
        return flow.step("b", () => 1, { retry: { delay: 5 as never } });
      }],
      [
        "a nested step with a name that is used",
        /"a" is used in the function of step "b"/,
        (flow) => flow.step("b", () => flow.step("a", () => 2)),
      ],
      ["an undo with an invalid step", /the name of a step/, async (flow) => {
        await flow.step("b", () => 1, { undo: () => flow.step("", () => 1) });
        return fail("NO", "no");
      }],
    ] as readonly (readonly [string, RegExp, (flow: Flow) => Promise<unknown>])[]
  ) {
    it(`misuse of flow is stuck at once, and goes on when it is mended and tried again: ${what}`, async () => {
      const Misused = workflow<void, unknown>("Misused");
      let isMended = false;
      const handlers = Misused.handle(async (flow) => {
        await flow.step("a", () => 1);
        return isMended ? "mended" : await misuse(flow) as string;
      });
      await using cluster = await testCluster(1, { handlers, logger: quiet });
      const app = cluster.app("node-1");
      const run = unwrap(await app.start(Misused));
      await cluster.advance(500); // the first pause is 750 ms at least
      const { status, pending: [{ error }], retry } = await infoOf(app, run);
      assertEquals(status, "stuck");
      assertMatch(error!.message, message);
      await cluster.advance(700_000);
      assertEquals((await infoOf(app, run)).pending[0].attempts, 1);
      isMended = true;
      await retry();
      const result = await app.result(Misused, run, { timeout: 60_000 });
      // a run that has begun to fail can no longer return a value: its steps are undone
      assertEquals(result.value ?? result.error?.code, what.startsWith("an undo") ? "NO" : "mended");
    });
  }

  it("sends of a contract with the longest name, and ten waits for such a signal, need no names (it was stuck)", async () => {
    const Echo = query<number, number>("e".repeat(256));
    const Counted = workflow<void, number>("Counted");
    const Tick = Counted.signal<number>("s".repeat(64));
    const handlers = [
      Echo.handle((n) => n),
      Counted.handle(async (flow) => {
        let sum = unwrap(await flow.send(Echo, 1));
        for (let n = 0; n < 10; n++) sum += await flow.wait(Tick);
        return sum;
      }),
    ];
    await using app = await catga({ handlers, logger: quiet });
    const run = unwrap(await app.start(Counted));
    for (let n = 0; n < 10; n++) unwrap(await app.tell(Tick, run, 1));
    assertEquals(unwrap(await app.result(Counted, run, { timeout: 5_000 })), 11);
  });

  it("each attempt that throws is logged with what was thrown, an outage once", async () => {
    const Charge = command<void>("Charge");
    const Order = workflow<void, void>("Order");
    const lines: string[] = [];
    const note = (level: string) => (text: string, { type, error }: LogFields) => {
      if (type === "run-failed") lines.push(`${level} ${text}: ${error}`);
    };
    let attempts = 0;
    const handlers = Order.handle(async (flow) => {
      await flow.step("pack", () => {
        if (++attempts < 3) throw new Error("no box");
      }, { retry: { delay: [2_000, 2_000] } });
      unwrap(await flow.send(Charge));
    });
    const logger = { debug() {}, info() {}, warn: note("warn"), error: note("error") };
    await using cluster = await testCluster(1, { handlers, logger });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Order, undefined, { id: "7" }));
    await cluster.advance(30_000);
    assertEquals(attempts, 3);
    assertEquals((await infoOf(app, run)).pending[0].error?.code, "NO_HANDLER");
    assertEquals(lines.map((line) => line.replace(/\d+ ms/, "… ms").replace(/ no live node.*/, " …")), [
      "error catga node-1: pack of run 7 of Order threw, attempt 1; again in … ms: Error: no box",
      "error catga node-1: pack of run 7 of Order threw, attempt 2; again in … ms: Error: no box",
      "warn catga node-1: Charge of run 7 of Order failed (NO_HANDLER: …",
    ]);
  });

  it("a result beyond what the server takes is TOO_LARGE, and the run is stuck", async () => {
    const Large = workflow<void, string>("Large");
    await using app = await catga({
      handlers: Large.handle((flow) => flow.step("read", () => "x".repeat(2_000_000))),
      logger: quiet,
    });
    const run = unwrap(await app.start(Large));
    await eventually("the run is stuck", async () => (await infoOf(app, run)).status === "stuck");
    const { pending } = await infoOf(app, run);
    assertEquals(pending.map(({ name, error }) => [name, error?.code]), [["read", "TOO_LARGE"]]);
    assertEquals((await app.result(Large, run, { timeout: 20 })).error?.code, "NOT_ENDED");
  });

  it("a command whose answer cannot be recorded does not run again: the run is stuck", async () => {
    const Draw = command<void, unknown>("Draw");
    let drawn = 0;
    let answer: unknown;
    const Lottery = workflow("Lottery");
    const lottery = Lottery.handle(async (flow) => {
      void await flow.send(Draw, undefined, { retry: { attempts: 3, delay: [1, 1] } });
    });
    const handlers = [Draw.handle(() => (drawn++, answer)), lottery];
    await using app = await catga({ handlers, logger: quiet });
    for (const [gave, code] of [["x".repeat(1_045_000), "TOO_LARGE"], [() => 7, "INVALID_RESPONSE"]] as const) {
      [drawn, answer] = [0, gave];
      const run = unwrap(await app.start(Lottery));
      await eventually("the run is stuck", async () => (await infoOf(app, run)).status === "stuck");
      const { pending } = await infoOf(app, run);
      assertEquals(pending.map(({ name, attempts, error }) => [name, attempts, error?.code]), [["Draw", 1, code]]);
      assertEquals(drawn, 1);
    }
  });

  it("outcomes that are ready together and too large for one message are stored one after the other", async () => {
    const Wide = workflow<void, number[]>("Wide");
    let runs = 0;
    const handlers = Wide.handle(async (flow) => {
      const big = () => (runs++, "x".repeat(400_000));
      const texts = await Promise.all(["a", "b", "c", "d"].map((name) => flow.step(name, big)));
      return texts.map(({ length }) => length);
    });
    await using app = await catga({ handlers, logger: quiet });
    const run = unwrap(await app.start(Wide));
    assertEquals(unwrap(await app.result(Wide, run, { timeout: 5_000 })), [400_000, 400_000, 400_000, 400_000]);
    assertEquals(runs, 4);
  });

  it("what waits never settles: a catch does not see it, and a finally does not run", async () => {
    const Left = workflow<void, string>("Left");
    const seen: string[] = [];
    const handlers = Left.handle(async (flow) => {
      seen.push("begins");
      try {
        await flow.sleep("long", 60_000);
        return "slept";
      } catch {
        seen.push("caught");
        return "caught";
      } finally {
        seen.push("left");
      }
    });
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Left));
    assertEquals(unwrap(await app.result(Left, run, { timeout: 90_000 })), "slept");
    assertEquals(seen, ["begins", "begins", "left"]);
  });

  it("a run of 1,000 entries warns, and one of 10,000 is stuck with TOO_LARGE", LARGE, async () => {
    const Endless = workflow("Endless");
    const said: string[] = [];
    const handlers = Endless.handle(async (flow) => {
      for (let n = 0;; n += 250) {
        await Promise.all(Array.from({ length: 250 }, (_, i) => flow.step(`${n + i}`, () => {})));
      }
    });
    const { stuck, logger } = stuckWatch();
    await using app = await catga({ handlers, logger: { ...logger, warn: (text) => void said.push(text) } });
    const run = unwrap(await app.start(Endless));
    await app.result(Endless, run, { timeout: 20_000, signal: AbortSignal.timeout(1) });
    const { timeline } = await stuck(app, run);
    assertEquals(timeline.filter(({ type }) => type === "failed").length >= 1, true);
    assert(timeline.length >= 10_000 && timeline.length < 11_000, `${timeline.length}`);
    assert(said.some((text) => /has 1,?\d{3} entries: a run may have 10,000/.test(text)), said.join("\n"));
  });

  it("a run that takes one stored signal after the other is stuck too at 10,000 entries", LARGE, async () => {
    const Fed = workflow("Fed");
    const Go = Fed.signal("Go");
    const Crumb = Fed.signal<number>("Crumb");
    const handlers = Fed.handle(async (flow) => {
      await flow.wait(Go);
      while (true) await flow.wait(Crumb);
    });
    const { stuck, logger } = stuckWatch();
    await using app = await catga({ handlers, logger });
    const run = unwrap(await app.start(Fed));
    await Promise.all(Array.from({ length: 6_000 }, (_, n) => app.tell(Crumb, run, n)));
    unwrap(await app.tell(Go, run));
    const { timeline } = await stuck(app, run);
    assert(timeline.length < 10_010, `${timeline.length}`);
  });

  it("a run of 12,000 steps at once is stuck too, and a cancel ends it, with all undone", LARGE, async () => {
    const Wide = workflow("Wide");
    let done = 0;
    let undone = 0;
    const handlers = Wide.handle(async (flow) => {
      const step = (_: unknown, i: number) => flow.step(`${i}`, () => void done++, { undo: () => void undone++ });
      await Promise.all(Array.from({ length: 12_000 }, step));
    });
    const { stuck, logger } = stuckWatch();
    await using app = await catga({ handlers, logger });
    const run = unwrap(await app.start(Wide));
    const { timeline, pending } = await stuck(app, run);
    assertEquals(timeline.filter(({ type }) => type === "failed").length, 1);
    assert(timeline.length < 10_010, `${timeline.length}`);
    assertEquals(pending.map(({ name, error }) => [name, error?.code]), [["", "TOO_LARGE"]]);
    unwrap(await app.cancel(Wide, run, "too wide"));
    assertEquals((await app.result(Wide, run, { timeout: 500_000 })).error?.code, "CANCELLED");
    assertEquals(undone, done);
    assert(done > 9_900, `${done}`);
  });

  it("a run has the version of its start, and a node with an older handler leaves out what is new", async () => {
    const ran: string[] = [];
    const order = (version: number) =>
      workflow<void, number>("Order", { version }).handle(async (flow) => {
        await flow.sleep("a while", 4_000);
        if (version >= 2 && flow.version >= 2) await flow.step("insure", () => void ran.push("insured"));
        return flow.version;
      });
    await using cluster = await testCluster(["new", "old"], {
      node: (id) => ({ handlers: order(id === "new" ? 2 : 1) }),
    });
    const Order = workflow<void, number>("Order", { version: 2 });
    const run = unwrap(await cluster.app("new").start(Order));
    await cluster.advance(100);
    cluster.kill("new");
    assertEquals(unwrap(await cluster.app("old").result(Order, run, { timeout: 60_000 })), 2);
    assertEquals(ran, []);
  });

  it("a step that was recorded and is not called any more is passed over, and not undone", async () => {
    const Changed = workflow<void, void, "NO">("Changed");
    const Go = Changed.signal("Go");
    const done: string[] = [];
    const step = (flow: Flow, name: string) =>
      flow.step(name, () => name, { undo: () => void done.push(`undo ${name}`) });
    const handlers = (names: readonly string[]) =>
      Changed.handle(async (flow) => {
        for (const name of names) await step(flow, name);
        await flow.wait(Go);
        return fail("NO", "no");
      });
    const names = new Map([["a", ["one", "two"]], ["b", ["one", "three"]]]);
    await using cluster = await testCluster(["a"], { node: (id) => ({ handlers: handlers(names.get(id)!) }) });
    const run = unwrap(await cluster.app("a").start(Changed));
    await cluster.advance(10_000);
    cluster.kill("a");
    await cluster.start("b");
    unwrap(await cluster.app("b").tell(Go, run));
    assertEquals((await cluster.app("b").result(Changed, run)).error?.code, "NO");
    assertEquals(done, ["undo three", "undo one"]);
  });

  it("a send that nobody can take is stuck: its payload is invalid, or its id was used for another one", async () => {
    const Schema = {
      "~standard": { version: 1, vendor: "test", validate: () => ({ issues: [{ message: "never" }] }) },
    } as const;
    const Never = command<string, void>("Never", { input: Schema as never });
    const Once = command<string, void>("Once", { idempotent: true });
    const Sends = workflow<"Never" | "Once", void>("Sends", { id: (what) => what });
    const handlers = [
      Never.handle(() => {}),
      Once.handle(() => {}),
      Sends.handle(async (flow, what) => void await flow.send(what === "Never" ? Never : Once, "a", { name: "s" })),
    ];
    await using app = await catga({ handlers, logger: quiet });
    unwrap(await app.send(Once, "b", { id: "Sends:Once:s" }));
    for (const [what, code] of [["Never", "INVALID_MESSAGE"], ["Once", "ID_REUSED"]] as const) {
      unwrap(await app.start(Sends, what));
      await eventually("the run is stuck", async () => (await infoOf(app, what)).status === "stuck");
      assertEquals((await infoOf(app, what)).pending[0].error?.code, code);
    }
  });

  it("the signal of an attempt aborts when its time is over, and the step is tried again", async () => {
    const Slow = workflow<void, number>("Timed");
    const reasons: unknown[] = [];
    const handlers = Slow.handle((flow) =>
      flow.step("slow", ({ attempt, signal }) => {
        if (attempt > 1) return attempt;
        return new Promise<number>(() => signal.addEventListener("abort", () => reasons.push(signal.reason)));
      }, { timeout: 100, retry: { delay: [10, 10] } })
    );
    await using app = await catga({ handlers, logger: quiet });
    const run = unwrap(await app.start(Slow));
    assertEquals(unwrap(await app.result(Slow, run)), 2);
    assertEquals(reasons.map((reason) => (reason as { code: string }).code), ["TIMEOUT"]);
  });

  it("tell and cancel are NO_RUN for a run that was never started, or has ended", async () => {
    const Short = workflow<void, string>("Brief");
    const Go = Short.signal("Go");
    await using app = await catga({ handlers: Short.handle(() => "over") });
    const run = unwrap(await app.start(Short));
    unwrap(await app.result(Short, run));
    for (const id of [run, "none"]) {
      assertEquals((await app.tell(Go, id)).error?.code, "NO_RUN");
      assertEquals((await app.cancel(Short, id, "enough")).error?.code, "NO_RUN");
    }
  });

  it("an undo that throws is tried again, and one that returns a failure is stuck until it is tried again", async () => {
    const done: string[] = [];
    let works = false;
    const Undoes = workflow<void, void, "NO">("Undoes");
    const handlers = Undoes.handle(async (flow) => {
      await flow.step("flaky", () => 1, {
        undo: () => {
          done.push("flaky");
          if (done.length < 3) throw new Error("not yet");
        },
      });
      await flow.step("refused", () => 1, { undo: () => works ? void done.push("refused") : fail("OUT", "no") });
      return fail("NO", "no");
    });
    await using cluster = await testCluster(2, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Undoes));
    await cluster.advance(1_000);
    const info = await infoOf(app, run);
    assertEquals([info.status, info.pending[0].name], ["stuck", "@undo refused"]);
    works = true;
    await info.retry();
    assertEquals((await app.result(Undoes, run, { timeout: 60_000 })).error?.code, "NO");
    assertEquals(done, ["refused", "flaky", "flaky"]);
  });

  it("runs are listed by status, and one that went on is not stuck any more", async () => {
    const Mixed = workflow<"waits" | "breaks" | "ends" | "fails", void, "NO">("Mixed", { id: (what) => what });
    let broken = true;
    const handlers = Mixed.handle(async (flow, what) => {
      if (what === "waits") await flow.sleep("long", 100_000);
      if (what === "fails") return fail("NO", "no");
      await flow.step("work", () => {
        if (what === "breaks" && broken) throw new Error("broken");
      }, { retry: { attempts: 1 } });
    });
    await using cluster = await testCluster(2, { handlers, logger: quiet });
    const app = cluster.app("node-1");
    for (const what of ["waits", "breaks", "ends", "fails"] as const) {
      unwrap(await app.start(Mixed, what));
      await app.result(Mixed, what, { timeout: 500 });
    }
    const of = async (status?: RunInfo["status"]) => {
      const ids: string[] = [];
      for await (const { id } of app.runs({ workflow: "Mixed", status })) ids.push(id);
      return ids;
    };
    assertEquals(await of("waiting"), ["waits"]);
    assertEquals(await of("stuck"), ["breaks"]);
    assertEquals(await of("done"), ["ends"]);
    assertEquals(await of("failed"), ["fails"]);
    assertEquals(await of(), ["waits", "breaks", "ends", "fails"]); // the least recently changed run first
    broken = false;
    await (await infoOf(app, "breaks")).retry();
    unwrap(await app.result(Mixed, "breaks"));
    assertEquals(await of("stuck"), []);
    await cluster.advance(650_000);
    assertEquals(await of("stuck"), []);
    assertEquals(await of(), ["ends", "fails", "breaks", "waits"]);
  });

  it("what waits for a signal or a time cannot be skipped, and the error says what to do", async () => {
    const Order = workflow<void, void>("Order");
    const Paid = Order.signal<string>("Paid");
    const handlers = Order.handle(async (flow) => {
      await Promise.all([flow.wait(Paid), flow.sleep("a day", 86_400_000)]);
    });
    await using cluster = await testCluster(1, { handlers });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Order));
    await cluster.advance(1_000);
    const { pending, skip } = await infoOf(app, run);
    assertEquals(pending.map(({ name }) => name), ["a day", "Paid"]);
    for (const { name } of pending) {
      await assertRejects(() => skip(name, "x", "by hand"), Error, `${name} of run ${run} is no step`);
    }
  });

  it("waits until a time that is later than any schedule", async () => {
    const Order = workflow<void, void>("Order");
    const late = new Date(Date.UTC(10_000, 0));
    await using cluster = await testCluster(1, { handlers: Order.handle((flow) => flow.sleep("long", late)) });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Order));
    await cluster.advance(10_000);
    const { status, pending } = await infoOf(app, run);
    assertEquals([status, pending.map(({ next }) => next)], ["waiting", [late]]);
  });

  it("an operator's retry overrides a pause", async () => {
    let works = false;
    const Paused = workflow<void, string>("Paused");
    const handlers = Paused.handle((flow) =>
      flow.step("try", () => {
        if (!works) throw new Error("no");
        return "yes";
      }, { retry: { delay: [3_600_000, 3_600_000] } })
    );
    await using cluster = await testCluster(2, { handlers });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Paused));
    await cluster.advance(2_000);
    works = true;
    const info = await infoOf(app, run);
    assertEquals(info.status, "retrying");
    await info.retry();
    assertEquals(unwrap(await app.result(Paused, run)), "yes");
  });

  it("open runs go on with a changed handler, which sees the version of their start", async () => {
    const One = workflow<void, string>("Versions");
    const Two = workflow<void, string>("Versions", { version: 2 });
    const Go = One.signal("Go");
    await using cluster = await testCluster(["old"], {
      handlers: One.handle(async (flow) => {
        await flow.step("first", () => "old");
        await flow.wait(Go);
        return "the old one";
      }),
    });
    unwrap(await cluster.app("old").start(One, undefined, { id: "v" }));
    await cluster.advance(1_000);
    cluster.kill("old");
    const app = await cluster.start("new", {
      handlers: Two.handle(async (flow) => {
        const first = await flow.step("first", () => "new");
        await flow.wait(Go);
        return `${first} at version ${flow.version}`;
      }),
    });
    unwrap(await app.tell(Go, "v"));
    assertEquals(unwrap(await app.result(Two, "v", { timeout: 60_000 })), "old at version 1");
    unwrap(await app.start(Two, undefined, { id: "w" }));
    unwrap(await app.tell(Go, "w"));
    assertEquals(unwrap(await app.result(Two, "w")), "new at version 2");
  });

  it("a step may take longer than anything else waits, and its run goes on when its node dies", async () => {
    const ran: string[] = [];
    const Hours = workflow<void, string>("Hours");
    await using cluster = await testCluster(["a", "b"], {
      node: (id) => ({
        handlers: Hours.handle((flow) =>
          flow.step("work", () => {
            ran.push(id);
            return new Promise<string>((resolve) =>
              cluster.clock.after(id === "a" ? 3_600_000 : 100_000, () => resolve(id))
            );
          }, { timeout: 3_600_000 })
        ),
      }),
    });
    const run = unwrap(await cluster.app("a").start(Hours));
    await cluster.advance(90_000);
    assertEquals(ran, ["a"]);
    cluster.kill("a");
    await cluster.advance(20_000);
    assertEquals(ran, ["a", "b"]);
    assertEquals(unwrap(await cluster.app("b").result(Hours, run, { timeout: 200_000 })), "b");
    assertEquals(ran, ["a", "b"]);
  });

  it("a drained node hands its runs over, with what they have recorded", async () => {
    const ran: string[] = [];
    const Order = workflow<void, string>("Order");
    await using cluster = await testCluster(["a", "b"], {
      node: (id) => ({
        handlers: Order.handle(async (flow) => {
          await flow.step("first", () => void ran.push(`first ${id}`));
          await flow.sleep("a while", 4_000);
          return await flow.step("second", () => id);
        }),
      }),
    });
    const run = unwrap(await cluster.app("a").start(Order));
    await cluster.advance(100);
    await cluster.app("a").drain();
    assertEquals(unwrap(await cluster.app("b").result(Order, run, { timeout: 30_000 })), "b");
    assertEquals(ran, ["first a"]);
  });

  it("a run goes on whose step sent to an entity when the only node that handles it was drained", async () => {
    const Stock = entity("Stock", { initial: () => 0 });
    const Taken = Stock.event<{ of: string }>("Taken", (taken) => taken + 1);
    const Take = command<{ of: string }, number>("Take", { key: ({ of }) => of });
    const Order = workflow<void, number>("Order", { id: () => "o" });
    await using cluster = await testCluster(["a", "client"], {
      logger: quiet,
      node: (id) => ({
        handlers: id === "client" ? [] : [
          Order.handle(async (flow) => unwrap(await flow.send(Take, { of: "tea" }))),
          Stock.handle(Take, async (stock, { of }) => {
            if (id === "a") await new Promise(() => {}); // runs for longer than the drain
            stock.emit(Taken, { of });
            return stock.state;
          }),
        ],
      }),
    });
    const run = unwrap(await cluster.app("a").start(Order));
    await cluster.advance(1_000);
    await cluster.app("a").drain({ timeout: 100 });
    await cluster.start("b");
    assertEquals(unwrap(await cluster.app("client").result(Order, run, { timeout: 60_000 })), 1);
  });

  it("the drain of a node with open runs is no outage of the subscription that calls for them", async () => {
    const Order = workflow<void, string>("Order");
    const lines: string[] = [];
    const note = (text: string) => void lines.push(text);
    await using cluster = await testCluster(["a", "b"], {
      logger: { debug() {}, info: note, warn: note, error: note },
      node: (id) => ({
        handlers: Order.handle(async (flow) => {
          await flow.sleep("a while", 4_000);
          return await flow.step("second", () => id);
        }),
      }),
    });
    const run = unwrap(await cluster.app("b").start(Order));
    await cluster.advance(500);
    await cluster.app("b").drain();
    assertEquals(unwrap(await cluster.app("a").result(Order, run, { timeout: 30_000 })), "a");
    assertEquals(lines.filter((line) => line.includes(" waits: ")), []);
  });

  it("a long run is resumed: each of its steps has run once", async () => {
    const Long = workflow<void, number>("Long");
    const Go = Long.signal("Go");
    let ran = 0;
    const handlers = Long.handle(async (flow) => {
      for (let part = 0; part < 30; part++) {
        await Promise.all(Array.from({ length: 100 }, (_, n) => flow.step(`${part}.${n}`, () => ran++)));
      }
      await flow.wait(Go);
      return await flow.step("last", () => ran);
    });
    await using app = await catga({ handlers, logger: quiet });
    const run = unwrap(await app.start(Long));
    while ((await infoOf(app, run)).status !== "waiting") await app.clock.sleep(20);
    unwrap(await app.tell(Go, run));
    assertEquals(unwrap(await app.result(Long, run)), 3_000);
  });

  it("waiters for one run and for many are told without asking again and again", async () => {
    const Gate = workflow<string, string>("Gate", { id: (id) => id });
    const Open = Gate.signal("Open");
    await using cluster = await testCluster(["worker", "client"], {
      node: (id) =>
        id === "worker"
          ? { handlers: Gate.handle(async (flow, id) => (await flow.wait(Open), await flow.step("id", () => id))) }
          : {},
    });
    const client = cluster.app("client");
    const ids = Array.from({ length: 50 }, (_, n) => `g${n}`);
    for (const id of ids) unwrap(await client.start(Gate, id));
    const waiting = ids.map((id) => client.result(Gate, id, { timeout: 50_000 }));
    await cluster.advance(10_000);
    const began = cluster.clock.now();
    for (const id of ids) unwrap(await client.tell(Open, id));
    const results = await Promise.all(waiting);
    assertEquals(results.map(unwrap), ids);
    assertLess(cluster.clock.now() - began, 5_000);
  });

  it("a handler of a message starts runs, tells them and cancels them", async () => {
    const Order = workflow<void, string>("Order");
    const Approved = Order.signal<string>("Approved");
    const Approve = command<{ run: string; by: string }, string>("Approve");
    const handlers = [
      Order.handle(async (flow) => await flow.wait(Approved)),
      Approve.handle(async ({ run, by }, ctx) => {
        unwrap(await ctx.start(Order, undefined, { id: run }));
        unwrap(await ctx.start(Order, undefined, { id: `${run}-2` }));
        unwrap(await ctx.tell(Approved, run, by));
        unwrap(await ctx.cancel(Order, `${run}-2`, "not this one"));
        return unwrap(await ctx.result(Order, run));
      }),
    ];
    await using app = await catga({ handlers });
    assertEquals(unwrap(await app.send(Approve, { run: "7", by: "ada" })), "ada");
    assertEquals((await app.result(Order, "7-2")).error?.code, "CANCELLED");
  });

  it("misuse throws", async () => {
    const Order = workflow<void, string>("Order");
    await using app = await catga({ handlers: Order.handle(() => "ok") });
    const errors = await Promise.all([
      app.start({ kind: "workflow", name: "Order" } as never).catch((error) => error),
      app.start(Order, undefined, { id: "" }).catch((error) => error),
      app.start(Order, undefined, { when: 1 } as never).catch((error) => error),
      app.start(Order, undefined, { cron: "@daily" }).catch((error) => error),
      app.start(Order, undefined, { id: "x", cron: "" }).catch((error) => error),
      app.start(Order, undefined, { id: "x", cron: "@daily", at: new Date() }).catch((error) => error),
      app.start(Order, undefined, { id: "x", zone: "Europe/Berlin" }).catch((error) => error),
      app.result(Order, "x", { timeout: -1 }).catch((error) => error),
      app.tell({} as never, "x").catch((error) => error),
      app.runs({ status: "open" as never }).next().catch((error) => error),
    ]);
    assertEquals(errors.map(({ name }) => name), [
      ...Array.from({ length: 7 }, () => "TypeError"),
      "RangeError",
      "TypeError",
      "TypeError",
    ]);
    assert(errors[0].message.includes("workflow(…)"), errors[0].message);
    const Charge = command("Charge");
    await assertRejects(() => app.start(Charge as never), TypeError, "got command Charge: send it");
    await assertRejects(() => app.tell(Order as never, "x"), TypeError, "got workflow Order");
  });

  it("a start that fails names the workflow, and what failed", async () => {
    const Trip = workflow<{ to: string }>("Trip", { id: ({ to }) => to.toLowerCase() });
    await using app = await catga({ handlers: Trip.handle(() => {}), logger: quiet });
    const { error } = await app.start(Trip, {} as never);
    assertEquals(error?.code, "INVALID_MESSAGE");
    assertMatch(`${error?.message}`, /^workflow Trip was not started: the id function threw: .*undefined/);
    const later = await app.start(Trip, { to: "Rome" }, { id: "r", cron: "0 0 5 * * *", zone: "Mars/One" });
    assertEquals(later.error?.code, "INVALID_MESSAGE");
    assertMatch(`${later.error?.message}`, /^workflow Trip was not started: .*"Mars\/One"/);
  });

  /** Makes the runs of a node that handles one workflow, over a stream whose answers the test gives. */
  function scripted() {
    const clock = new VirtualClock();
    const stream = new ScriptedStream();
    const Later = workflow<void, string>("Later");
    const { "~handler": { workflow: body } } = Later.handle(() => "late") as unknown as {
      "~handler": { workflow: WorkflowBody };
    };
    // safe: the runs use only these members of their node
    const host = {
      ...{ namespace: "default", node: "a", endpoint: "a.1", replicas: 1, timeout: 1_000, clock, handled: [body] },
      ...{ transport: undefined, log: { open: () => Promise.resolve(stream) }, observer() {}, begun() {}, over() {} },
      ...{ maxPayload: () => 2 ** 20, nodes: () => [], carried: [] },
    } as unknown as RunsHost;
    return { clock, stream, Later, body, runs: new Runs(host) };
  }

  it("a scheduled start comes again while nobody knows whether the run is stored", async () => {
    const { clock, stream, body, runs } = scripted();
    // the first attempt may have stored the start, even if all later attempts are refused
    for (const later of [SILENCE, NO_LEADER]) {
      stream.reply = () => {
        stream.reply = () => later;
        return SILENCE;
      };
      const due = runs.due(body, { run: "x", step: "", at: 0, start: "" }, { id: "start x" } as Context);
      const { code } = await assertRejects(() => clock.until(due), CatgaError);
      assertEquals(code, "OUTCOME_UNKNOWN");
    }
    runs.close();
  });

  it("a result is NOT_ENDED a second after its timeout while a server answers nothing (it came 5 s later)", async () => {
    const { clock, stream, Later, runs } = scripted();
    stream.last = () => new Promise(() => {});
    const began = clock.monotonic();
    const { error } = await clock.until(runs.result(Later as never, "x", { timeout: 2_000 }));
    assertEquals([error?.code, clock.monotonic() - began], ["NOT_ENDED", 3_000]);
    runs.close();
  });

  for (const then of ["ends", "is forgotten"]) {
    it(`a result has the end of a run that ${then} during its last look (it was NOT_ENDED)`, async () => {
      const { clock, stream, Later, runs } = scripted();
      const ref = { workflow: "Later", run: "x" };
      const messages = new RunMessages({ endpoint: "b.1", clock, number: () => 1 });
      const started: JournalEntry = { t: "started", by: "", input: undefined, version: 1, keep: 60_000 };
      const entries: JournalEntry[] = [
        started,
        { t: "signalled", by: "c.1", signal: "go", value: 1 },
        { t: "ended", outcome: { ok: true, value: "late" }, until: 60_000 },
      ];
      const stored = entries.map((entry, version): StoredMessage => {
        const { text } = messages.of(ref, [entry], { version, holder: "b.1" });
        const subject = "catga.default.entity.Later-run.x";
        return { subject, sequence: version + 1, time: 0, data: encoder.encode(text), headers: undefined };
      });
      let looks = 0;
      // the first look is that of the wait, the second begins the last look
      const present = () => looks <= 2 ? stored.slice(0, 2) : then === "ends" ? stored : [];
      stream.last = () => (looks++, Promise.resolve(present().at(-1)));
      stream.read = () => Promise.resolve(present());
      const { value, error } = await clock.until(runs.result(Later as never, "x", { timeout: 1_000 }));
      assertEquals([value, error?.code], then === "ends" ? ["late", undefined] : [undefined, "NO_RUN"]);
      runs.close();
    });
  }

  it("start, tell and cancel end a second after the app's timeout while a server answers nothing (12 s later)", async () => {
    const { clock, stream, Later, runs } = scripted();
    stream.last = () => new Promise(() => {});
    const ask: (() => Promise<Result<unknown>>)[] = [
      () => runs.start(Later as never, undefined, { id: "x" }),
      () => runs.tell(Later.signal("go") as never, "x", undefined, { id: "1" }),
      () => runs.cancel(Later as never, "x", "enough"),
    ];
    for (const one of ask) {
      const began = clock.monotonic();
      const { error } = await clock.until(one());
      assertEquals([error?.code, clock.monotonic() - began], ["OUTCOME_UNKNOWN", 2_000], error?.message);
    }
    runs.close();
  });
});

describe("runs of a store that has lost its end", () => {
  const Job = workflow<void, string>("Job");
  const Kid = workflow<void, string>("Kid");
  const Go = Job.signal("Go");
  const entities = streamName("default", "entities");
  const statusOf = async (app: Catga, id: string) => (await infoOf(app, id)).status;
  /** Loses the entries of runs from the first one of type `entry` on, and gives the nodes time to notice. */
  const loseFrom = async (cluster: TestCluster, entry: string) => {
    const { log } = cluster.network;
    await cluster.advance(1_000); // time to read what is stored
    const lost = log.messages(entities).find((message) => textOf(message).includes(`"t":"${entry}"`));
    log.truncate(entities, lost!.sequence - 1);
    await cluster.advance(10_000);
  };

  it("go on from what is stored, also if they had ended, or waited for something else", async () => {
    let steps = 0;
    const job = Job.handle(async (flow) => {
      await flow.step("work", () => ++steps);
      await flow.wait(Go, { timeout: 600_000 });
      return await flow.step("more", () => `${++steps}`);
    });
    await using cluster = await testCluster(2, { handlers: job, logger: quiet });
    const app = cluster.app("node-1");
    // both starts are stored before the first run does anything
    (await Promise.all(["waits", "ends"].map((id) => app.start(Job, undefined, { id })))).forEach(unwrap);
    unwrap(await app.tell(Go, "ends", undefined));
    assertEquals(unwrap(await app.result(Job, "ends")), "3");
    await loseFrom(cluster, "done");
    assertEquals([await statusOf(app, "waits"), await statusOf(app, "ends"), steps], ["waiting", "waiting", 5]);
    for (const id of ["waits", "ends"]) {
      unwrap(await app.tell(Go, id, undefined));
      assertMatch(unwrap(await app.result(Job, id)), /[67]/);
    }
  });

  it("sleep to their end, although what should wake them is lost", async () => {
    const job = Job.handle((flow) => flow.sleep("night", flow.id === "short" ? 6_000 : 60_000).then(() => "slept"));
    await using cluster = await testCluster(2, { handlers: job, logger: quiet });
    const app = cluster.app("node-1");
    const { log } = cluster.network;
    for (const id of ["short", "long"]) unwrap(await app.start(Job, undefined, { id }));
    assertEquals(unwrap(await app.result(Job, "short", { timeout: 60_000 })), "slept");
    await cluster.advance(2_000);
    log.truncate(streamName("default", "log"), log.messages(streamName("default", "log"))[0].sequence - 1);
    assertEquals(unwrap(await app.result(Job, "long", { timeout: 120_000 })), "slept");
  });

  it("learn of the ends of others, although what told them is lost", async () => {
    const kid = Kid.handle((flow) => flow.step("work", () => "kid"));
    const job = Job.handle(async (flow) => unwrap(await flow.send(Kid)));
    await using cluster = await testCluster(2, { handlers: [kid, job], logger: quiet });
    const app = cluster.app("node-1");
    const run = unwrap(await app.start(Job));
    assertEquals(unwrap(await app.result(Job, run)), "kid");
    await loseFrom(cluster, "told");
    assertEquals(await statusOf(app, run), "done");
  });

  it("that are gone are NO_RUN to those who wait for them, whoever has performed a step of them for hours", async () => {
    let aborted = false;
    const job = Job.handle((flow) =>
      flow.step("work", ({ signal }) => {
        signal.addEventListener("abort", () => aborted = true);
        return new Promise<string>(() => {});
      }, { timeout: 86_400_000 })
    );
    await using cluster = await testCluster(2, { handlers: job, logger: quiet });
    const app = cluster.app("node-1");
    const result = app.result(Job, unwrap(await app.start(Job)), { timeout: 86_400_000 });
    await cluster.advance(20_000); // the run has a lease, so that no call for it waits
    await loseFrom(cluster, "started");
    assertEquals(aborted, true);
    const now = cluster.clock.monotonic();
    assertEquals((await result).error?.code, "NO_RUN");
    assertLess(cluster.clock.monotonic() - now, 1_000);
  });
});
