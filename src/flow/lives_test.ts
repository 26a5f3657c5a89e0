/** Tests, on virtual time, of what stays stored of a run that begins anew again and again, and of who is called. */
import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import { type Schema, unwrap, workflow } from "../../mod.ts";
import { testCluster } from "../testing/mod.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { infoOf } from "./run_suite.ts";
import { Journal } from "./stored/journal.ts";

const Loop = workflow<number, number>("Loop");
const Round = Loop.question<void, number>("Round");
const Over = Loop.signal("Over");

describe("a run that lives long", () => {
  const handlers = Loop.handle(async (flow, round) => {
    await flow.sleep("a second", 1_000);
    const [asked, over] = await flow.wait([Round, Over], { timeout: 1 });
    if (over !== undefined) return round;
    asked?.value.answer(round);
    return flow.again(round + 1);
  });

  it("keeps two lives and a minute, knows its first input and young answers, and alarms nobody", async () => {
    await using cluster = await testCluster(["a", "b"], { handlers });
    const app = cluster.app("a");
    const run = unwrap(await app.start(Loop, 1, { id: "r" }));
    const ask = (id: string) => app.ask(Round, run, undefined, { id, timeout: 60_000 });
    const old = unwrap(await ask("old"));
    const sizes: number[] = [];
    for (let minute = 1; minute <= 4; minute++) {
      await cluster.advance(60_000);
      sizes.push((await infoOf(app, run)).timeline.length);
    }
    const young = unwrap(await ask("young"));
    assert(young > 180, `${young} rounds`);
    // at most so many entries a round: slept, woken, waits, took, again; and ten seconds until the next removal
    for (const size of sizes) assertLess(size, 6 * 80);
    cluster.kill("a");
    const next = cluster.app("b");
    const again = (id: string) => next.ask(Round, run, undefined, { id, timeout: 60_000 });
    assertEquals(unwrap(await again("young")), young);
    assertLess(old, unwrap(await again("old"))); // 2 minutes after its answer it is a new question
    assertEquals(unwrap(await next.start(Loop, 1, { id: "r" })), run);
    assertEquals((await next.start(Loop, 2, { id: "r" })).error?.code, "ID_REUSED");
    unwrap(await next.tell(Over, run));
    assertLess(young, unwrap(await next.result(Loop, run, { timeout: 60_000 })));
    assertEquals(cluster.log.filter((line) => /no longer in the log|not handled|fault/.test(line)), []);
  });

  it("that begins anew thousands of times in a row keeps no other run from its node", async () => {
    const Fast = workflow<number, number>("Fast");
    const fast = Fast.handle((flow, round) => round === 3_000 ? round : flow.again(round + 1));
    const Other = workflow<void, string>("Other");
    const other = Other.handle((flow) => flow.step("s", () => "done"));
    await using cluster = await testCluster(["a"], { handlers: [fast, other] });
    const app = cluster.app("a");
    const run = unwrap(await app.start(Fast, 1));
    for (let n = 0; n < 5; n++) {
      assertEquals(unwrap(await app.result(Other, unwrap(await app.start(Other)))), "done");
    }
    assertEquals(unwrap(await app.result(Fast, run, { timeout: 60_000 })), 3_000);
    await cluster.handled();
  });
});

describe("a run that begins anew while its input is checked, which takes a while", () => {
  it("hands over what a wait took that lost a race (the handler that had returned got it, and nobody saw it)", async () => {
    const slow = {
      "~standard": {
        ...{ version: 1, vendor: "test" },
        validate: async (value: unknown) => {
          await cluster.app("a").clock.sleep(5);
          return { value };
        },
      },
    };
    const Loop = workflow("Loop", { input: slow as unknown as Schema<number> });
    const A = Loop.signal("A", { input: slow as unknown as Schema<string> });
    const B = Loop.signal<string>("B");
    const seen: string[] = [];
    const loop = Loop.handle(async (flow, round) => {
      if (round === 1) await flow.sleep("until both are there", 500);
      seen.push(await Promise.race([flow.wait(A), flow.wait(B)]));
      if (round < 2) return flow.again(round + 1);
    });
    await using cluster = await testCluster(["a"], { handlers: loop, logger: QUIET });
    const app = cluster.app("a");
    const run = unwrap(await app.start(Loop, 1));
    unwrap(await app.tell(A, run, "a"));
    unwrap(await app.tell(B, run, "b"));
    assertEquals((await app.result(Loop, run, { timeout: 20_000 })).ok, true);
    assertEquals(seen, ["a", "b"]);
  });
});

describe("a question that a life leaves unanswered, and that is handed over in parts", () => {
  it("fails at once, also while its node goes on with the run (it was looked for a minute later)", async () => {
    const Loop = workflow<number, void>("Loop");
    const Big = Loop.signal<string>("Big");
    const Ask = Loop.question("Ask");
    const loop = Loop.handle(async (flow, round) => {
      if (round === 2) return await flow.step("long", () => cluster.app("a").clock.sleep(50_000), { timeout: 60_000 });
      await flow.wait(Ask);
      return flow.again(round + 1);
    });
    await using cluster = await testCluster(["a"], { handlers: loop, logger: QUIET });
    const app = cluster.app("a");
    const run = unwrap(await app.start(Loop, 1));
    for (let n = 0; n < 12; n++) unwrap(await app.tell(Big, run, "x".repeat(47_000)));
    const since = app.clock.monotonic();
    const { error } = await app.ask(Ask, run, undefined, { timeout: 40_000 });
    assertEquals(error?.code, "NOT_ANSWERED");
    assertLess(app.clock.monotonic() - since, 5_000);
    assert((await infoOf(app, run)).timeline.some(({ type }) => type === "carried"));
  });
});

describe("the ids of signals", () => {
  it("go from life to life for two minutes if a program has given them (a made one did too: 16,000 took 0.6 s a life)", () => {
    const journal = new Journal();
    const started = { t: "started", version: 1, keep: 60_000, by: "n.1" } as const;
    const told = (id: string, made: boolean) =>
      ({ t: "signalled", signal: "Told", id, by: "", ...(made ? { made } : {}) }) as const;
    const entries = [started, told("given", false), told("n.1.x", true), told("n.1.x", true), told("given", false)];
    const both = [{ t: "took", step: "a", n: 0 }, { t: "took", step: "b", n: 1 }] as const;
    journal.apply({ sequence: 1, time: 1_000, holder: "n.1", entries: [...entries, ...both], mark: "m" });
    const none = { unseen: new Set<string>(), givenBack: new Set<number>(), schedules: [], parts: [] };
    const ids = (time: number) =>
      journal.handOver({ by: "n.1", started }, [], time, { ...none, carried: new Set() }).ids.map(([key]) => key);
    assertEquals([ids(2_000), ids(122_000)], [["Told given"], []]);
    const again = journal.handOver({ by: "n.1", started }, [], 2_000, {
      ...none,
      ...{ unseen: new Set(["b"]), carried: new Set<number>() },
    });
    assertEquals(again.open.map(({ n, id, made }) => [n, id, made]), [[1, "n.1.x", true]]);
  });
});

describe("a child that is called just before its parent begins anew", () => {
  it("is cancelled, or not started: it does not go on", async () => {
    const Child = workflow<void, void>("Child");
    const child = Child.handle((flow) => flow.sleep("long", 60_000));
    const Loop = workflow<number, void>("Loop");
    const Go = Loop.signal("Go");
    const loop = Loop.handle(async (flow, round) => {
      await flow.wait(Go);
      if (round === 2) return;
      void flow.send(Child);
      return flow.again(round + 1);
    });
    await using cluster = await testCluster(["a"], { handlers: [loop, child], logger: QUIET });
    const app = cluster.app("a");
    const run = unwrap(await app.start(Loop, 1));
    for (let n = 0; n < 2; n++) unwrap(await app.tell(Go, run));
    unwrap(await app.result(Loop, run, { timeout: 20_000 }));
    await cluster.advance(1_000);
    assertEquals((await Array.fromAsync(app.runs({ workflow: "Child", open: true }))).map(({ id }) => id), []);
  });
});

describe("a run that begins anew with what hardly fits into a message", () => {
  const maxPayload = 32_768;
  const Large = workflow<number, number>("Large");
  const Told = Large.signal<string>("Told");
  const Asked = Large.question<string, number>("Asked");
  const Next = Large.signal("Next");
  const large = Large.handle(async (flow, round) => {
    if (round === 1) {
      await flow.wait(Next);
      return flow.again(2);
    }
    const [told, asked] = await flow.wait([Told, Asked]);
    asked?.value.answer(asked.value.input.length);
    return told?.value.length ?? 0;
  });

  it("a signal or question of any size is TOO_LARGE, or seen by the next life (the run was lost between them)", async () => {
    for (const what of ["tell", "ask"] as const) {
      let [refused, taken] = [0, 0];
      for (let size = maxPayload - 900; size < maxPayload; size += 45) {
        await using cluster = await testCluster(["a"], { handlers: large, logger: QUIET, maxPayload });
        const app = cluster.app("a");
        unwrap(await app.start(Large, 1, { id: "r" }));
        await cluster.advance(1_000);
        const value = `"${"x".repeat(size - 3)}é`;
        const asking = what === "ask" ? app.ask(Asked, "r", value, { timeout: 60_000 }) : undefined;
        const told = await (asking === undefined ? app.tell(Told, "r", value) : Promise.race([
          asking,
          cluster.advance(1_000).then(() => undefined),
        ]));
        if (told?.ok === false) {
          refused++;
          assertEquals(told.error.code, "TOO_LARGE");
          continue;
        }
        taken++;
        unwrap(await app.tell(Next, "r"));
        const result = unwrap(await app.result(Large, "r", { timeout: 60_000 }));
        assertEquals(asking === undefined ? result : unwrap(await asking), size - 1, `${what} ${size}`);
      }
      assert(refused > 3 && taken > 3, `${refused} refused, ${taken} taken`);
    }
  });

  it("is stuck if headers and input of the next life are too large together, and keeps what its steps returned", async () => {
    const Headed = workflow<string, string>("Headed");
    const ran: string[] = [];
    const headed = Headed.handle(async (flow, input) => {
      if (input !== "") return "done";
      const value = await flow.step("s", () => `${ran.push("s")}`);
      return flow.again(value.repeat(11_000));
    });
    await using cluster = await testCluster(["a"], { handlers: headed, logger: QUIET, maxPayload });
    const app = cluster.app("a");
    unwrap(await app.start(Headed, "", { id: "r", headers: { long: "h".repeat(23_000) } }));
    await cluster.advance(120_000);
    const { status, pending: [{ error }] } = await infoOf(app, "r");
    assertEquals([status, error?.code, ran], ["stuck", "TOO_LARGE", ["s"]]);
  });
});
