import { describe, it } from "node:test";
import { assertEquals, assertLess, assertRejects } from "@std/assert";
import { fail, type Flow, workflow } from "@catga/catga";
import type { WorkflowBody } from "../../contract/declaration/workflow_body.ts";
import { CatgaError } from "../../error.ts";
import type { DueTime } from "../execution/drive_host.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { type Clock, delay } from "../../ports/clock.ts";
import type { Appended, StoredMessage } from "../../ports/event_log.ts";
import { DrivenRuns, type DrivenRunsHost } from "./driven_runs.ts";
import { Journal } from "../stored/journal.ts";
import type { CalledEntry, JournalEntry, Parent, Started } from "../stored/journal_entry.ts";
import { LEASE } from "./run_call.ts";
import { RunLog, type RunStream } from "../stored/run_log.ts";
import type { RunRef } from "../stored/run_ref.ts";

const REF: RunRef = { workflow: "One", run: "1" };
const unavailable = () => new CatgaError("UNAVAILABLE", "no answer", { retryable: true });

/** Returns the types of the entries in a stored message of a run. */
function typesIn(text: string): string {
  return [...text.matchAll(/"t":"(\w+)"/g)].map(([, type]) => type).join(" ");
}

const none = () => Promise.reject(new Error("not here"));

/** Makes a node that executes one run, over a stream in memory. `append` may answer in place of the stream. */
function node(
  fn: (flow: Flow) => Promise<unknown>,
  {
    append = () => undefined,
    ended = () => Promise.resolve(),
    wake = none,
    takeBack = () => Promise.resolve(),
    startChild = none,
    parent,
    cancelChild = none,
    lease = () => Promise.resolve(),
    unlease = () => {},
    callEach = none,
    passOn = none,
    afterRefusal = () => "stuck",
    few = undefined,
    missing = () => false,
    lag = 0,
    late: lateAppends = 0,
    behind = () => 0,
  }: {
    readonly append?: (text: string) => Appended | undefined;
    readonly ended?: () => Promise<void>;
    readonly wake?: () => Promise<void>;
    readonly takeBack?: (steps: readonly string[]) => Promise<void>;
    readonly startChild?: DrivenRunsHost["startChild"];
    /** The run that has started this one. */
    readonly parent?: Parent;
    readonly cancelChild?: DrivenRunsHost["cancelChild"];
    readonly lease?: DrivenRunsHost["lease"];
    readonly unlease?: DrivenRunsHost["unlease"];
    readonly callEach?: DrivenRunsHost["callEach"];
    readonly passOn?: DrivenRunsHost["passOn"];
    readonly afterRefusal?: DrivenRunsHost["afterRefusal"];
    readonly few?: number | undefined;
    /** Returns true while the server that answers does not have the run yet. */
    readonly missing?: () => boolean;
    /** Delay of the answer to a read, in ms; a function is asked on the way to the server and on the way back. */
    readonly lag?: number | (() => number);
    /** Delay of the answer to an append, in ms. */
    readonly late?: number;
    /** Difference between the latest and the earliest time that the server's clock may show, in ms. */
    readonly behind?: () => number;
  } = {},
) {
  const clock = new VirtualClock();
  const messages: StoredMessage[] = [];
  const lagNow = typeof lag === "number" ? () => lag : lag;
  const late = async <T>(answer: () => T) => {
    const pause = async (ms: number) => ms > 0 && await delay(clock, ms / 2);
    if (lag === 0) return answer();
    await pause(lagNow());
    const given = answer();
    await pause(lagNow());
    return given;
  };
  const stream: RunStream = {
    append: (subject, data, { expect }) => {
      const answer = append(data as string);
      if (answer !== undefined) return Promise.resolve(answer);
      if ((messages.at(-1)?.sequence ?? 0) !== expect) return Promise.resolve({ type: "conflict" });
      const sequence = messages.length + 1;
      messages.push({
        subject,
        sequence,
        time: clock.now(),
        data: new TextEncoder().encode(data as string),
        headers: undefined,
      });
      const stored = { type: "stored", sequence, duplicate: false } as const;
      return lateAppends === 0 ? Promise.resolve(stored) : delay(clock, lateAppends).then(() => stored);
    },
    at: (sequence) => late(() => messages[sequence - 1]),
    last: (subject) => late(() => messages.findLast((message) => message.subject === subject && !missing())),
    read: (subject, options) => {
      batches++;
      const from = "from" in options ? options.from : 0;
      return late(() => messages.filter((message) => message.subject === subject && message.sequence >= from));
    },
    purge: () => Promise.resolve(0),
    lasts: () => Promise.resolve(),
  };
  let batches = 0;
  let numbers = 0;
  const log = new RunLog({
    ...{ namespace: "test", endpoint: "a.1", clock, stream: () => stream, maxPayload: () => 2 ** 20 },
    number: (events) => (numbers += events) - events,
  });
  let endpoint = "a.1";
  const serverClock: Clock = {
    now: () => clock.now() - behind(),
    monotonic: () => clock.monotonic(),
    after: (...args) => clock.after(...args),
    soon: (callback) => clock.soon(callback),
  };
  const hostOf = (): DrivenRunsHost => ({
    ask: () => Promise.reject(new Error("no run asks here")),
    answered() {},
    shown() {},
    ...{ endpoint, clock: serverClock, log, ended },
    get latest() {
      return clock.now();
    },
    app: {
      causes: true,
      clock,
      random: () => 0.5,
      timeout: 10_000,
      send: none,
      ...{ node: "a", carried: [], tracer: undefined },
      ofEntity: () => false,
      observer() {},
      begun() {},
      over() {},
    },
    ...{
      alive: (other: string) => other === endpoint,
      passOn,
      ...{ lease, unlease, callEach, putOffAt: none },
      wake,
      takeBack: (_: RunRef, steps: readonly string[]) => takeBack(steps),
      soon: (callback: () => void) => clock.soon(callback),
      startChild,
      cancelChild,
    },
    ...{
      tried() {},
      read() {},
      shapeOf: () => "",
      shapeNameOf: () => "",
      afterRefusal,
      stuck: (_: RunRef, step: string, { code }: { readonly code: string }) =>
        Promise.resolve(void stuck.push(`${step} ${code}`)),
    },
  });
  const stuck: string[] = [];
  let drives = new DrivenRuns(hostOf(), few);
  /** Lets another process take this node's place in the run, as after the death of the node. */
  const die = (next: string) => {
    endpoint = next;
    drives = new DrivenRuns(hostOf(), few);
  };
  // the new process may die, too
  const bring = () => void drives.execute(body, { ref: REF, sequence: 1 }).catch(() => {});
  const { "~handler": { workflow: body } } = workflow<void, unknown>("One").handle(fn) as unknown as {
    "~handler": { workflow: WorkflowBody };
  };
  /** Starts the run, and calls the node to execute it, as the subscription of the run's messages does. */
  const run = async () => {
    const entry: Started & { by: string } = {
      t: "started",
      version: 1,
      keep: 60_000,
      by: "a.1",
      ...(parent && { parent }),
    };
    const message = log.messages.of(REF, [entry], { version: 0, holder: "a.1" });
    const time = clock.now();
    const journal = new Journal();
    const stored = log.append(REF, message, journal, () => false).then((sequence) =>
      sequence === "conflict" ? undefined : { sequence, time, holder: "a.1", entries: [entry], mark: message.mark }
    );
    drives.start(body, REF, stored, journal);
    await stored;
    await drives.execute(body, { ref: REF, sequence: 1 });
  };
  /** Begins a start of the run that is stored, or not, when `stored` resolves. */
  const start = (stored: Promise<undefined>) => drives.start(body, REF, stored, new Journal());
  const call = (sequence: number, stored?: number, due?: DueTime) =>
    drives.execute(body, { ref: REF, sequence, stored, due });
  /** Has the run retried, as an operator does. */
  const retry = async () => {
    await log.appendNotice(REF, (by) => ({ t: "retried", by }), () => true);
    await drives.execute(body, { ref: REF, sequence: messages.length });
  };
  /** Notifies the node that there may be a new entry. */
  const news = () => drives.news(body, { ref: REF, sequence: messages.length });
  /** Stores an entry, as another node does, and notifies the node. */
  const tell = async (entry: (by: string) => CalledEntry) => {
    await log.appendNotice(REF, entry, () => true);
    news();
  };
  const cancel = () => tell((by) => ({ t: "cancelled", code: "CANCELLED", reason: "enough", by }));
  const leave = () => drives.leave();
  const isOver = async () => (await log.end(REF))?.ended;
  return {
    clock,
    run,
    start,
    log,
    messages,
    call,
    retry,
    die,
    bring,
    tell,
    news,
    cancel,
    leave,
    stuck,
    batches: () => batches,
    ended: isOver,
  };
}

describe("drives", () => {
  it("nothing is stored behind a message that the store has lost, though another has its sequence", async () => {
    const step = Promise.withResolvers<number>();
    const { clock, run, log, messages } = node((flow) =>
      flow.step("a", () => 1).then(() => flow.step("b", () => step.promise))
    );
    run().catch(() => {}); // not awaited, because the run continues below
    await clock.advance(100);
    messages.pop();
    await log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Go", by }), () => true);
    log.doubt();
    step.resolve(2);
    await clock.advance(100);
    assertEquals(messages.map(({ data }) => typesIn(new TextDecoder().decode(data))), [
      "started",
      "signalled",
      "done",
      "done ended",
    ]);
  });

  it("a started run is driven that a server which was just elected does not have yet (nobody ever did)", async () => {
    let isMissing = false;
    const { clock, log, messages, call, ended } = node((flow) => flow.step("a", () => 1), { missing: () => isMissing });
    const entry: Started & { by: string } = { t: "started", version: 1, keep: 60_000, by: "" };
    await log.append(REF, log.messages.of(REF, [entry], { version: 0, holder: "" }), new Journal(), () => false);
    isMissing = true;
    const stored = clock.now();
    const refused = call(1, stored).catch(({ code }) => code);
    await clock.advance(2_000);
    isMissing = false;
    assertEquals([await clock.until(refused), await clock.until(ended())], [undefined, true]);
    // a run is kept for a minute at least, so that it cannot have been forgotten yet
    isMissing = true;
    const other = node((flow) => flow.step("a", () => 1), { missing: () => true });
    assertEquals(await other.clock.until(other.call(1, other.clock.now()).catch(({ code }) => code)), "UNAVAILABLE");
    await other.clock.advance(60_000);
    assertEquals(await other.clock.until(other.call(1, stored)), undefined);
    assertEquals(messages.length > 1, true);
  });

  it("a call for a message that is lost ends when another one has its sequence", async () => {
    const { clock, run, messages, call } = node((flow) => flow.wait({ workflow: "One", name: "Go" }));
    await clock.until(run());
    const lost = messages.length + 1;
    const called = call(lost);
    await clock.advance(500);
    messages.push({ ...messages[0], subject: "catga.test.entity.One-run.other", sequence: lost });
    await clock.until(called);
  });

  it("a call for a run that is started here once more, in vain, drives it (it took the start for a drive)", async () => {
    const { clock, log, start, call, ended } = node((flow) => flow.step("a", () => 1));
    const entry: Started & { by: string } = { t: "started", version: 1, keep: 60_000, by: "b.1" };
    await log.append(REF, log.messages.of(REF, [entry], { version: 0, holder: "b.1" }), new Journal(), () => false);
    const { promise: conflict, resolve } = Promise.withResolvers<undefined>();
    start(conflict);
    const called = call(0); // an expired lease of the dead b.1 calls so
    await clock.advance(100);
    assertEquals(await clock.until(ended()), false);
    resolve(undefined);
    await clock.until(called);
    assertEquals(await clock.until(ended()), true);
  });

  it("three steps from start to end are four appends: the last step and the end are one", async () => {
    const appended: string[] = [];
    const { clock, run, ended } = node(async (flow) => {
      await flow.step("a", () => 1);
      await Promise.all(["b", "c"].map((name) => flow.step(name, () => 1)));
      return await flow.step("d", () => 2);
    }, { append: (text) => void appended.push(typesIn(text)) });
    await clock.until(run());
    assertEquals(await ended(), true);
    assertEquals(appended, ["started", "done", "done done", "done ended"]);
  });

  it("what finished steps gave is stored before the first of them is undone", async () => {
    const appended: string[] = [];
    const { clock, run } = node(async (flow) => {
      await flow.step("a", () => 1, { undo: () => void appended.push("undo a") });
      return { ok: false, error: new CatgaError("NO", "no") };
    }, { append: (text) => void appended.push(typesIn(text)) });
    await clock.until(run());
    assertEquals(appended, ["started", "done", "failing", "undo a", "undone ended"]);
  });

  it("a step whose outcome is refused by the server is not run again at once, again and again", async () => {
    let runs = 0;
    const { clock, run } = node((flow) => flow.step("pay", () => runs++), {
      append: (text) => {
        if (!text.includes("done")) return undefined;
        return { type: "not stored", transient: false, error: new CatgaError("TOO_LARGE", "not allowed") };
      },
    });
    const driven = run();
    driven.catch(() => {}); // awaited below
    await clock.advance(60_000);
    const code = await driven.then(() => undefined, ({ code }) => code);
    assertEquals(code, "TOO_LARGE"); // a call that rejects so is delivered again, after a pause
    assertLess(runs, 20);
  });

  it("a run is stuck that waits longer than its server can, until it is tried again", async () => {
    let able = false;
    const { clock, run, retry, stuck, ended } = node((flow) => flow.sleep("a day", 86_400_000), {
      wake: () =>
        able ? Promise.resolve() : Promise.reject(new CatgaError("UNSUPPORTED", "nats-server 2.12 is needed")),
    });
    await clock.until(run());
    assertEquals(stuck, ["a day UNSUPPORTED"]);
    await clock.until(retry());
    assertEquals(stuck, ["a day UNSUPPORTED", "a day UNSUPPORTED"]);
    able = true;
    await clock.until(retry());
    await clock.advance(86_400_000);
    await clock.until(retry());
    assertEquals([stuck.length, await ended()], [2, true]);
  });

  it("a sleep that was stuck, and that an operator has skipped, goes on once it can be stored", async () => {
    let able = false;
    const { clock, run, retry, tell, stuck, ended } = node((flow) => flow.sleep("a day", 86_400_000), {
      wake: () =>
        able ? Promise.resolve() : Promise.reject(new CatgaError("UNSUPPORTED", "nats-server 2.12 is needed")),
    });
    await clock.until(run());
    await clock.until(tell((by) => ({ t: "skipped", step: "a day", reason: "no time", by })));
    able = true;
    await clock.until(retry());
    await clock.advance(86_400_000);
    await clock.until(retry());
    assertEquals([stuck[0], await ended()], ["a day UNSUPPORTED", true], stuck.join());
  });

  const told = workflow("One").signal("told");
  const pauses: Readonly<Record<string, (flow: Flow) => Promise<unknown>>> = {
    "a sleep": (flow) => flow.sleep("a second", 1_000),
    "the limit of a wait": (flow) => flow.wait(told, { timeout: 1_000 }),
  };
  for (const [pause, handler] of Object.entries(pauses)) {
    it(`${pause} is not shorter when the server's time is known better while it lasts (it was, after a reconnect)`, async () => {
      let behind = 80;
      const { clock, run, news, ended } = node(handler, { behind: () => behind });
      const over = run();
      await clock.advance(950);
      behind = 0;
      news();
      await clock.advance(49);
      assertEquals(await ended(), false);
      await clock.until(over);
      assertEquals(await ended(), true);
    });
  }

  it("a run whose processes end some 20 times without recording anything is stuck", async () => {
    let runs = 0;
    const { clock, die, bring, run, stuck } = node((flow) =>
      flow.step("deadly", () => (runs++, new Promise(() => {})))
    );
    run().catch(() => {}); // never settles, because the node dies
    await clock.advance(10);
    for (let n = 0; n < 30 && stuck.length === 0; n++) {
      die(`a.${n + 2}`);
      bring();
      await clock.advance(10);
    }
    assertEquals([runs, stuck], [21, [" HANDLER_FAILED"]]);
  });

  it("a run whose handler had failed, or that was retried, is stuck after 20 more of such ends (it went on for ever)", async () => {
    let calls = 0;
    const { clock, die, bring, run, retry, stuck } = node((flow) => {
      if (++calls === 1) throw new Error("no");
      return flow.step("deadly", () => new Promise(() => {}));
    });
    let deaths = 0;
    const dieUntilStuck = async (times: number) => {
      for (let n = 0; n < 30 && stuck.length < times; n++) {
        die(`a.${++deaths + 1}`);
        bring();
        await clock.advance(10);
      }
    };
    run().catch(() => {}); // never settles, because the node dies
    await clock.advance(10_000);
    assertEquals(calls, 2);
    await dieUntilStuck(1);
    assertEquals(stuck, [" HANDLER_FAILED"]);
    retry().catch(() => {}); // the node dies again
    await clock.advance(10);
    await dieUntilStuck(2);
    assertEquals(stuck, [" HANDLER_FAILED", " HANDLER_FAILED"]);
  });

  it("a changed handler does not see the outcome of a step that was recorded behind the failure of the run", async () => {
    const undone = Promise.withResolvers<void>();
    let isChanged = false;
    let passed = 0;
    const { clock, run, messages, tell, die, call, ended } = node(async (flow) => {
      if (isChanged) flow.step("new", () => 2).then(() => passed++);
      await flow.step("a", () => 1, { undo: () => undone.promise });
      return { ok: false, error: new CatgaError("NO", "no") };
    });
    run().catch(() => {}); // never settles, because the node dies
    await clock.advance(100);
    await tell((by) => ({ t: "skipped", step: "new", value: 1, reason: "by phone", by }));
    assertEquals(messages.map(({ data }) => typesIn(new TextDecoder().decode(data))), [
      "started",
      "done",
      "failing",
      "skipped",
    ]);
    die("a.2");
    isChanged = true;
    undone.resolve();
    await clock.until(call(1));
    assertEquals([await ended(), passed], [true, 0]);
  });

  const others: Readonly<Record<string, JournalEntry>> = {
    "is skipped": { t: "skipped", step: "a", value: 1, reason: "by phone", by: "b.1" },
    "is given up, because its run is cancelled,": { t: "cancelled", code: "CANCELLED", reason: "enough", by: "b.1" },
  };
  for (const [what, entry] of Object.entries(others)) {
    it(`a step that ${what} while its node stores that it has the run does not begin there`, async () => {
      let calls = 0;
      const { clock, run, die, call, log, messages, ended } = node(
        (flow) => flow.step("a", () => (calls++, new Promise(() => {}))),
        {
          append: (text) => {
            if (typesIn(text) !== "held" || messages.length > 1) return undefined;
            const { text: other } = log.messages.of(REF, [entry], { version: 1, holder: "a.1" });
            messages.push({ ...messages[0], sequence: 2, data: new TextEncoder().encode(other) });
            return undefined;
          },
        },
      );
      run().catch(() => {}); // never settles, because the node dies
      await clock.advance(100);
      assertEquals(calls, 1);
      die("a.2");
      await clock.until(call(1));
      assertEquals([await ended(), calls], [true, 1]);
      assertEquals(messages.map(({ data }) => typesIn(new TextDecoder().decode(data))).slice(0, 3), [
        "started",
        entry.t,
        "held",
      ]);
    });
  }

  it("a run whose end cannot be told to its parent at once tells it later", async () => {
    let tries = 0;
    const { clock, run } = node(() => Promise.resolve(7), {
      ended: () => ++tries < 3 ? Promise.reject(unavailable()) : Promise.resolve(),
    });
    await clock.until(run());
    assertEquals(tries, 3);
  });

  it("a run that is cancelled while it starts another one, and whose node drains, is handed over", async () => {
    const { promise: child, resolve } = Promise.withResolvers<{ ok: true; value: string }>();
    const Child = workflow("Child");
    const one = node((flow) => flow.send(Child), { startChild: () => child });
    const run = one.run();
    await one.clock.advance(10);
    await one.cancel();
    await one.clock.advance(10);
    one.leave();
    resolve({ ok: true, value: "One:1:Child" });
    await assertRejects(() => one.clock.until(run), CatgaError, "run 1 of One goes on at another node");
  });

  it("a run that is told something while it reads something else reads again", async () => {
    const one = node((flow) => flow.step("long", () => new Promise(() => {})), { lag: 100 });
    const run = one.run();
    await one.clock.advance(10);
    const told = one.tell((by) => ({ t: "signalled", signal: "Other", by }));
    await one.clock.until(told);
    await one.clock.until(Promise.all([one.cancel(), run]));
    assertLess(one.clock.monotonic(), 1_000);
    assertEquals(await one.clock.until(one.ended()), true);
  });

  it("what one process tells a run at once is stored together (each but one was refused, again and again)", async () => {
    const texts: string[] = [];
    const one = node((flow) => flow.wait({ workflow: "One", name: "Go" }), { append: (text) => void texts.push(text) });
    await one.clock.until(one.run());
    texts.length = 0;
    const tell = (id: string, value: unknown = null) =>
      one.log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Other", id, value, by }), () => false);
    const told = await one.clock.until(Promise.all(Array.from({ length: 20 }, (_, i) => tell(`${i}`))));
    assertEquals([texts.length, told.filter((told) => told?.isFirst).length], [2, 2]);
    const ids = texts.flatMap((text) => [...text.matchAll(/"id":"(\d+)"/g)].map(([, id]) => Number(id)));
    assertEquals(ids, Array.from({ length: 20 }, (_, i) => i));
    // an entry is stored, too, if it is sent at the moment when the entry before it has been stored
    for (let turns = 0; turns < 8; turns++) {
      const before = tell("before");
      const after = before.then(async () => {
        for (let turn = 0; turn < turns; turn++) await undefined;
        return tell("after");
      });
      assertEquals(await one.clock.until(Promise.all([before, after])).then((all) => all.length), 2);
    }
    // entries that do not fit are stored in another message; an entry that cannot be stored, or that depends on a read
    // of the run, does not delay the others
    texts.length = 0;
    const large = "x".repeat(one.log.mostBytes / 2);
    const ended = await one.clock.until(Promise.allSettled([
      ...[tell("first"), tell("20", large), tell("21", large), tell("bad", () => {}), tell("22")],
      one.log.appendNotice(REF, (by) => Promise.resolve({ t: "retried", by }), () => false),
      one.log.appendNotice(REF, () => Promise.reject(new Error("read")), () => false),
      tell("23"),
    ]));
    assertEquals(ended.map(({ status }) => status === "fulfilled"), [true, true, true, false, true, true, false, true]);
    assertEquals(texts.map((text) => text.match(/"id":"\w+"|retried/g)), [
      ['"id":"first"'],
      ['"id":"20"'],
      ['"id":"21"', '"id":"22"'],
      ["retried"],
      ['"id":"23"'],
    ]);
  });

  it("a run that reads its own entry before the answer to its append goes on (its steps ran again)", async () => {
    const attempts: string[] = [];
    const one = node((flow) =>
      Promise.all([["a", 1_000], ["b", 3_000]].map(([name, ms]) =>
        flow.step(`${name}`, () => {
          attempts.push(`${name}`);
          return delay(one.clock, Number(ms));
        })
      )), { lag: 100, late: 500 });
    const run = one.run();
    // the append of the first entry is answered after 500 ms
    await one.clock.advance(1_480);
    one.news();
    await one.clock.until(run);
    assertEquals([attempts, await one.clock.until(one.ended())], [["a", "b"], true]);
  });

  it("one new message is read alone (a server that looks for it passes over those of all other runs)", async () => {
    const one = node((flow) => flow.step("long", () => new Promise(() => {})));
    one.run().catch(() => {}); // never settles, because the process dies
    await one.clock.advance(10);
    one.die("a.2");
    one.bring();
    await one.clock.advance(10);
    await one.tell((by) => ({ t: "signalled", signal: "Other", by }));
    await one.clock.advance(10);
    assertEquals(one.batches(), 0);
    one.die("a.3");
    one.bring();
    await one.clock.advance(10);
    assertEquals(one.batches(), 1);
  });

  it("a long one asks for a lease every 10 s where the server has no schedules (it did twice a second)", async () => {
    let asked = 0;
    const lease = () => (asked++, Promise.reject(new CatgaError("UNSUPPORTED", "nats-server 2.11")));
    const one = node((flow) => flow.step("long", () => new Promise(() => {})), { lease });
    one.run().catch(() => {}); // never settles, because the run does not end
    await one.clock.advance(65_000);
    assertLess(asked, 10);
  });

  for (const [few, from] of [[undefined, 10_000], [0, 200]] as const) {
    it(`one has a lease after ${from} ms${few === 0 ? ", as there are many" : ""}, and none when it has ended`, async () => {
      const leased: number[] = [];
      let ended = 0;
      const work = () => delay(one.clock, 7_500);
      const one = node((flow) => flow.step("a", work).then(() => flow.step("b", work)), {
        few,
        lease: ({ runs }) => (leased.push(one.clock.monotonic()), assertEquals(runs, ["1"]), Promise.resolve()),
        unlease: () => void (ended = one.clock.monotonic()),
      });
      const began = one.clock.monotonic();
      one.run().catch(() => {}); // this call resolves when the run has a lease
      await one.clock.advance(30_000);
      assertEquals([await one.clock.until(one.ended()), leased[0] - began >= from, leased[0] - began < from + 1_000], [
        ...[true, true, true],
      ]);
      assertEquals([Math.floor((ended - began) / 1_000), leased.at(-1)! <= ended], [15, true]);
    });
  }

  for (const what of ["nothing", "its lease has fired", "the store may have lost it"]) {
    it(`a call for one with a lease is done at once, or when the lease is stored again: ${what}`, async () => {
      let answer = Promise.resolve();
      const one = node((flow) => flow.step("long", () => new Promise(() => {})), { few: 0, lease: () => answer });
      await one.clock.until(one.run()); // it has a lease
      const { promise, resolve } = Promise.withResolvers<void>();
      answer = promise;
      if (what === "the store may have lost it") one.log.doubt();
      let isDone = false;
      const due = what === "its lease has fired" ? { step: LEASE, at: one.clock.now() } : undefined;
      const call = one.call(1, undefined, due).then(() => isDone = true);
      await one.clock.advance(100);
      assertEquals(isDone, what === "nothing");
      resolve();
      await one.clock.until(call);
    });
  }

  it("one with a lease that a leaving node stops is called for at once (its lease fired up to 4 s later)", async () => {
    const called: string[] = [];
    const one = node((flow) => flow.step("a", () => delay(one.clock, 1_000)).then(() => flow.step("b", () => 1)), {
      few: 0,
      callEach: (_, runs) => Promise.resolve(void called.push(...runs)),
    });
    one.run().catch(() => {}); // rejects, because the node drains
    await one.clock.advance(500);
    one.leave();
    assertEquals(called, []);
    await one.clock.advance(700);
    assertEquals(called, ["1"]);
  });

  it("one that has ended takes back what its waits, sleeps and attempts would be woken by in more than ten minutes", async () => {
    const taken: string[] = [];
    const one = node(
      async (flow) => {
        const race = [
          flow.wait({ workflow: "One", name: "Go" }, { timeout: 3 * 86_400_000 }),
          flow.wait({ workflow: "One", name: "Stop" }, { timeout: 500_000 }),
          flow.sleep("long", 86_400_000),
          flow.step("failing", () => Promise.reject(new Error("no")), { retry: { delay: [4e6, 4e6] } }),
        ];
        await Promise.race(race);
      },
      { wake: () => Promise.resolve(), takeBack: (steps) => Promise.resolve(void taken.push(...steps)) },
    );
    one.run().catch(() => {}); // not awaited, because the run waits for a signal
    await one.clock.advance(6_000);
    assertEquals(taken, []);
    await one.tell((by) => ({ t: "signalled", signal: "Go", by }));
    one.call(one.messages.length).catch(() => {}); // not awaited: the assertion below shows that it was done
    await one.clock.advance(1_000);
    assertEquals(taken.toSorted(), ["Go", "failing", "long"]);
  });

  it("one that has ended takes back what a dead node stored for it without recording it (it stood for days)", async () => {
    const taken: string[] = [];
    let wake = () => new Promise<void>(() => {}); // the process dies here
    const one = node((flow) => flow.wait({ workflow: "One", name: "Go" }, { timeout: 3 * 86_400_000 }), {
      wake: () => wake(),
      takeBack: (steps) => Promise.resolve(void taken.push(...steps)),
    });
    one.run().catch(() => {}); // never settles, because the process dies
    await one.clock.advance(100);
    one.die("b.1");
    wake = () => Promise.resolve();
    await one.clock.until(one.log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Go", by }), () => true));
    await one.clock.until(one.call(one.messages.length));
    assertEquals([await one.ended(), taken], [true, ["Go"]]);
  });

  it("a second node that dies leaves no schedule that the first one did not record (it stood for days)", async () => {
    const taken: string[] = [];
    let takeBack = (_: readonly string[]) => new Promise<void>(() => {}); // the second process dies
    let work: Promise<void> = new Promise<void>(() => {});
    const one = node(
      async (flow) => {
        const go = flow.wait({ workflow: "One", name: "Go" }, { timeout: 3 * 86_400_000 });
        await Promise.race([go, flow.step("work", () => work)]);
      },
      { wake: () => new Promise<void>(() => {}), takeBack: (steps) => takeBack(steps) },
    );
    one.run().catch(() => {}); // it dies, too
    await one.clock.advance(100);
    one.die("b.1");
    work = Promise.resolve();
    one.bring();
    await one.clock.advance(1_000);
    assertEquals(await one.ended(), true);
    one.die("c.1");
    takeBack = (steps) => Promise.resolve(void taken.push(...steps));
    await one.clock.until(one.call(1));
    assertEquals(taken, ["Go"]);
  });

  it("one takes back the schedule of a pause that a dead node did not record, of a step and of its undo", async () => {
    for (const failing of ["pay", "@undo pay"]) {
      const taken: string[] = [];
      const woken: string[] = [];
      let wake = () => new Promise<void>(() => {}); // its process dies
      let fails = true;
      const attempt = (name: string) => {
        if (fails && name === failing) throw new Error("no");
      };
      const one = node(
        async (flow) => {
          await flow.step("pay", () => attempt("pay"), {
            undo: () => attempt("@undo pay"),
            retry: { delay: [1_000_000, 1_000_000] },
          });
          return fail("NO", "no");
        },
        {
          wake: () => (woken.push("wake"), wake()),
          takeBack: (steps) => Promise.resolve(void taken.push(...steps)),
        },
      );
      one.run().catch(() => {}); // it dies, too
      await one.clock.advance(100);
      assertEquals(woken, ["wake"]);
      one.die("b.1");
      fails = false;
      wake = () => Promise.resolve();
      await one.clock.until(one.call(1));
      assertEquals([await one.ended(), taken.includes(failing)], [true, true]);
    }
  });

  it("one tries to take its schedules back until the store answers (they stood for days)", async () => {
    let attempts = 0;
    const one = node((flow) => flow.wait({ workflow: "One", name: "Go" }, { timeout: 3 * 86_400_000 }), {
      wake: () => Promise.resolve(),
      takeBack: () => ++attempts < 4 ? Promise.reject(unavailable()) : Promise.resolve(),
    });
    await one.clock.until(one.run());
    await one.clock.until(one.log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Go", by }), () => true));
    await one.clock.until(one.call(one.messages.length));
    assertEquals([await one.ended(), attempts], [true, 4]);
  });

  it("a node that leaves before it has taken the schedules back has the run brought to another one", async () => {
    for (const code of ["UNAVAILABLE", "CLOSED"] as const) {
      const one = node((flow) => flow.wait({ workflow: "One", name: "Go" }, { timeout: 3 * 86_400_000 }), {
        wake: () => Promise.resolve(),
        takeBack: async () => {
          if (await one.ended()) one.leave();
          throw new CatgaError(code, "no answer");
        },
      });
      await one.clock.until(one.run());
      await one.clock.until(one.log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Go", by }), () => true));
      const refused = one.call(one.messages.length).then(() => "done", ({ code }) => code);
      assertEquals(await one.clock.until(refused), "UNAVAILABLE");
    }
  });

  it("a late node takes back what it gave back to the driver of a run that has ended meanwhile", async () => {
    const taken: string[] = [];
    const { promise: given, resolve } = Promise.withResolvers<void>();
    let wakes = 0;
    const one = node(
      async (flow) => {
        const go = flow.wait({ workflow: "One", name: "Go" }, { timeout: 3 * 86_400_000 });
        await Promise.all([go, flow.step("long", () => new Promise(() => {}))]);
      },
      {
        wake: () => ++wakes === 1 ? Promise.resolve() : given,
        takeBack: (steps) => Promise.resolve(void taken.push(...steps)),
      },
    );
    one.run().catch(() => {}); // another node drives it
    await one.clock.advance(100);
    const append = async (entries: readonly JournalEntry[]) => {
      const { sequence, version, mark } = (await one.log.end(REF))!;
      const message = one.log.messages.of(REF, entries, { version, holder: "b.1" });
      await one.log.append(REF, message, { sequence, entries: version, mark, sure: 0 }, () => true);
    };
    await append([{ t: "held" }]);
    one.news();
    await one.clock.advance(1);
    assertEquals(wakes, 2);
    await append([{ t: "ended", outcome: { ok: true }, until: one.clock.now() + 60_000 }]);
    await one.clock.advance(1_000);
    taken.splice(0);
    resolve();
    await one.clock.advance(100);
    assertEquals(taken, ["Go"]);
  });

  it("a late node takes back what it stored for a run that another one has ended", async () => {
    const taken: string[] = [];
    const { promise: stored, resolve } = Promise.withResolvers<void>();
    const woken: string[] = [];
    const one = node((flow) => flow.wait({ workflow: "One", name: "Go" }, { timeout: 3 * 86_400_000 }), {
      wake: () => (woken.push("Go"), stored),
      takeBack: (steps) => Promise.resolve(void taken.push(...steps)),
    });
    const run = one.run();
    await one.clock.advance(100);
    const ended = { t: "ended", outcome: { ok: true }, until: one.clock.now() + 60_000 } as const;
    const { sequence, entries, mark } = (await one.log.end(REF))!;
    const message = one.log.messages.of(REF, [{ t: "held" }, ended], { version: 1, holder: "b.1" });
    await one.log.append(REF, message, { sequence, entries: entries.length, mark, sure: 0 }, () => true);
    resolve();
    await one.clock.until(run);
    assertEquals([taken, woken], [["Go"], ["Go"]]);
  });

  it("one is not over before its schedules are taken back: else nobody would, if its process died", async () => {
    const { promise: takenBack, resolve } = Promise.withResolvers<void>();
    const one = node((flow) => flow.wait({ workflow: "One", name: "Go" }, { timeout: 3 * 86_400_000 }), {
      wake: () => Promise.resolve(),
      takeBack: () => takenBack,
    });
    await one.clock.until(one.run());
    await one.clock.until(one.log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Go", by }), () => true));
    let isOver = false;
    const called = one.call(one.messages.length).then(() => isOver = true);
    await one.clock.advance(1_000);
    assertEquals([await one.ended(), isOver], [true, false]);
    resolve();
    await one.clock.until(called);
  });

  it("a cancelled run ends with the one that it started, though it is told so before it has recorded that one", async () => {
    const { promise: cancelled, resolve } = Promise.withResolvers<boolean>();
    const one = node((flow) => flow.send(workflow("Child")), {
      startChild: () => Promise.resolve({ ok: false, error: unavailable() }),
      cancelChild: () => cancelled,
    });
    const run = one.run();
    await one.clock.advance(10);
    await one.cancel();
    await one.clock.advance(2_000);
    const outcome = { ok: false, error: { code: "CANCELLED", message: "enough" } };
    await one.tell((by) => ({ t: "told", step: "Child", workflow: "Child", run: "One:1:Child", outcome, by }));
    await one.clock.advance(100);
    resolve(true);
    await one.clock.until(run, 5_000);
    assertEquals(await one.ended(), true);
  });

  it("a run starts another that 999 wait for in a chain, and is stuck if it would be 1,000", async () => {
    const startedAt = async (depth: number) => {
      const depths: (number | undefined)[] = [];
      const parent = { workflow: "Tree", run: "p", step: "s", depth };
      const one = node((flow) => flow.send(workflow("Child")), {
        parent,
        startChild: (_contract, run, _input, { depth }) => {
          depths.push(depth);
          return Promise.resolve({ ok: true, value: run });
        },
      });
      one.run().catch(() => {}); // not awaited: the run waits for its child
      await one.clock.advance(1_000);
      return [depths, one.stuck];
    };
    assertEquals(await startedAt(998), [[999], []]);
    assertEquals(await startedAt(999), [[], ["Child INVALID_MESSAGE"]]);
  });

  it("a run with 10,000 entries starts no other, and is stuck", async () => {
    const step = Promise.withResolvers<void>();
    const started: string[] = [];
    const one = node((flow) => flow.step("a", () => step.promise).then(() => flow.send(workflow("Child"))), {
      startChild: (_contract, run) => {
        started.push(run);
        return Promise.resolve({ ok: true, value: run });
      },
    });
    const run = one.run();
    await one.clock.advance(10);
    const signal = (by: string) => ({ t: "signalled", signal: "Go", by }) as const;
    await one.clock.until(
      Promise.all(Array.from({ length: 10_000 }, () => one.log.appendNotice(REF, signal, () => false))),
    );
    one.news();
    step.resolve();
    await one.clock.until(run);
    assertEquals([started, one.stuck], [[], [" TOO_LARGE"]]);
  });

  it("a cancelled run stores no end of one that it has not tried to start (a late node did, behind its end)", async () => {
    const cancelled: string[] = [];
    let isCancelled = false;
    const one = node((flow) => flow.step("a", () => 1).then(() => flow.send(workflow("Child"))), {
      cancelChild: ({ run }) => Promise.resolve(cancelled.push(run) < 0),
      append: (text) => {
        if (!text.includes('"done"') || isCancelled) return undefined;
        isCancelled = true;
        void one.log.appendNotice(
          REF,
          (by) => ({ t: "cancelled", code: "CANCELLED", reason: "enough", by }),
          () => true,
        );
        return { type: "not stored", transient: true, error: unavailable() };
      },
    });
    await one.clock.until(one.run());
    assertEquals([await one.ended(), cancelled], [true, []]);
  });

  it("news of a run that waits are answered when it has gone on, or soon (who stores fast was not held up)", async () => {
    const one = node((flow) => flow.wait({ workflow: "One", name: "Go" }), { lag: 40 });
    const run = one.run();
    await one.clock.until(run);
    await one.clock.until(one.log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Go", by }), () => true));
    const news = one.news();
    const more = one.news(); // a second notice, while the run is being loaded
    await one.clock.until(Promise.race([news, more]));
    assertEquals(await one.clock.until(one.ended()), true);
    await one.clock.until(Promise.all([news, more]));
    one.leave();
    const before = one.clock.monotonic();
    await one.clock.until(one.news());
    assertEquals(one.clock.monotonic() - before, 200);
  });

  it("news of a run that is refused here are answered late (its next driver met nine conflicts in a row)", async () => {
    const one = node(async () => {
      await delay(one.clock, 20);
      throw new Error("this version does not take it");
    }, { lag: 40, afterRefusal: () => ({ next: "b.1" }), passOn: () => new Promise(() => {}) });
    one.run().catch(() => {}); // the other node does not end it
    await one.clock.advance(1_000);
    // the node loads the run, its handler runs, and refuses
    const call = one.call(1);
    const asked = one.clock.monotonic();
    const answered: [when: string, ms: number][] = [];
    for (const when of ["loads", "handles"]) {
      void one.news().then(() => answered.push([when, one.clock.monotonic() - asked]));
      await one.clock.advance(45);
    }
    await one.clock.advance(1_000);
    assertEquals(answered, [["loads", 200], ["handles", 245]]);
    void call;
  });

  it("news of a run that goes on nowhere are answered late: every version refuses it, or the node leaves", async () => {
    const refused = node(async () => {
      await delay(refused.clock, 20);
      throw new Error("this version does not take it");
    }, {
      lag: 40,
      afterRefusal: (_run, _journal, refusedBy) => refusedBy.has("next") ? "waits" : { next: "b.1" },
      passOn: () => Promise.resolve({ refusedBy: ["next"], gaveUp: [], why: "nor does the next one" }),
    });
    refused.run().catch(() => {});
    await refused.clock.advance(1_000);
    const leaving = node(async (flow) => {
      await flow.wait({ workflow: "One", name: "Go" });
      await flow.step("a", () => 1);
    }, { lag: 40 });
    await leaving.clock.until(leaving.run());
    for (const one of [refused, leaving]) {
      await one.clock.until(one.log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Go", by }), () => true));
      const asked = one.clock.monotonic();
      const answered: number[] = [];
      // the second one comes while the run is being loaded
      for (let n = 0; n < 2; n++) void one.news().then(() => answered.push(one.clock.monotonic() - asked));
      if (one === leaving) one.leave();
      await one.clock.advance(1_000);
      assertEquals(answered, [200, 200], one === leaving ? "the node leaves" : "refused");
    }
  });

  it("a step of a run that was refused here begins behind a new entry `held`: the next node may hold the run", async () => {
    let refuses = true;
    const begun: string[] = [];
    const one = node(async (flow) => {
      await flow.step("first", () => 1);
      if (refuses) throw new Error("this version does not take it");
      await flow.step("second", () => void begun.push(typesIn(new TextDecoder().decode(one.messages.at(-1)!.data))));
    }, { afterRefusal: () => ({ next: "b.1" }), passOn: () => Promise.resolve(false) });
    one.run().catch(() => {});
    await one.clock.advance(1_000);
    assertEquals(begun, []);
    refuses = false;
    await one.clock.advance(10_000);
    assertEquals([begun, await one.ended()], [["held"], true]);
  });
});

describe("decisions about a time, before which a signal was stored", () => {
  const Go = { workflow: "One", name: "Go" };
  /** Plays a run whose wait is over after 500 ms; a signal comes before, which its node learns when it stores that. */
  async function played(
    handler: (flow: Flow, step: (attempts: number) => Promise<string>) => Promise<unknown>,
    at = 0,
  ) {
    let thrown = 0;
    const one = node((flow) => {
      const step = (attempts: number) =>
        flow.step("s", async ({ attempt }) => {
          if (attempt > 1) return "did";
          await delay(one.clock, at);
          throw new Error(`attempt ${++thrown}`);
        }, { retry: { attempts, delay: [1, 1] } });
      return handler(flow, step);
    }, { lag: 40 });
    one.run().catch(() => {});
    await one.clock.advance(450);
    await one.clock.until(
      one.log.appendNotice(REF, (by) => ({ t: "signalled", signal: "Go", value: "go", by }), () => false),
    );
    await one.clock.advance(20_000);
    const entries = one.messages.map(({ data }) => typesIn(new TextDecoder().decode(data))).join(" ").split(" ");
    return { one, thrown, failed: entries.filter((type) => type === "failed").length };
  }

  it("fall, and the end of the run that follows from them", async () => {
    const { one } = await played((flow) => flow.wait(Go, { timeout: 500 }));
    assertEquals((await one.clock.until(one.log.outcome(REF)) as { value: unknown }).value, "go");
  });

  // the node reads the signal from the 500th ms on, in which it stores the end of the wait
  const moments = Array.from({ length: 21 }, (_, n) => 470 + 5 * n);

  it("fall also if a read for an earlier execution of the run has brought the signal meanwhile", async () => {
    let lag = 40;
    const one = node(async (flow) => {
      const [first, second] = ["First", "Second"].map((name) => ({ workflow: "One", name }));
      return [await flow.wait(first, { timeout: 500 }), await flow.wait(second, { timeout: 500 })];
    }, { lag: () => lag });
    /** Stores a signal 5 ms before a wait for it is over; nobody notifies the node. */
    const store = async (signal: string) => {
      lag = 0;
      const stored = one.log.appendNotice(REF, (by) => ({ t: "signalled", signal, value: signal, by }), () => false);
      await one.clock.until(stored);
      lag = 40;
    };
    one.run().catch(() => {});
    await one.clock.advance(100);
    lag = 2 * 937; // a read of this execution comes to the server when the second signal is stored
    one.news();
    await one.clock.advance(1);
    lag = 40;
    await one.clock.advance(394);
    await store("First"); // the next execution begins at 540 ms, when the node has read it
    await one.clock.advance(540);
    await store("Second");
    await one.clock.advance(4);
    lag = 200; // the answer of that read comes before the one of the read that is begun when the second wait is over
    await one.clock.advance(2);
    lag = 40;
    await one.clock.advance(20_000);
    const { value } = await one.clock.until(one.log.outcome(REF)) as { value: unknown };
    assertEquals(value, ["First", "Second"]);
  });

  it("fall without the failure of a step beside them, which counts once, whenever it comes", async () => {
    for (const at of moments) {
      const { one, thrown, failed } = await played(async (flow, step) => {
        const did = step(3);
        await flow.wait(Go, { timeout: 500 });
        return await did;
      }, at);
      assertEquals([thrown, failed, await one.clock.until(one.ended())], [1, 1, true], `${at} ms`);
    }
  });

  it("fall without the last failure of a step beside them, which operators are told of, whenever it comes", async () => {
    for (const at of moments) {
      const { one, failed } = await played(async (flow, step) => {
        const did = step(1);
        await flow.wait(Go, { timeout: 500 });
        return await did;
      }, at);
      assertEquals([one.stuck, failed], [["s HANDLER_FAILED"], 1], `${at} ms`);
    }
  });
});
