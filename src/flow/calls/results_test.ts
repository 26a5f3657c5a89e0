import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { CatgaError } from "../../error.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import type { ShownRun } from "../stored/run_log.ts";
import { Results } from "./results.ts";

describe("the end of a run that is not announced", () => {
  for (const first of ["has not ended", "cannot be read"]) {
    it(`is found 2 s later if the run ${first} when the waiting begins, while others wait for long`, async () => {
      const clock = new VirtualClock();
      const reads: string[] = [];
      const end: RecordedOutcome = { ok: true, value: "end" };
      const results = new Results({
        ...{ namespace: "test", clock, transport: undefined, soon: (callback) => callback() },
        onGone: () => () => {},
        readShown: () => Promise.resolve(undefined),
        drives: () => false,
        read: async ({ run }) => {
          const isFirst = !reads.includes(run);
          reads.push(run);
          if (isFirst && first === "cannot be read") throw new CatgaError("UNAVAILABLE", "no leader");
          return await Promise.resolve(run === "long" || isFirst ? undefined : end);
        },
      });
      const told: unknown[] = [];
      const wait = (run: string) => results.wait({ workflow: "Order", run }, (outcome) => told.push(outcome));
      wait("long");
      await clock.advance(10_000);
      wait("short");
      await clock.advance(2_000);
      assertEquals(told, [end]);
      results.close();
    });
  }
});

describe("the end of many runs that are waited for", () => {
  it("is not read while this node drives them, then of 32 at once (10,000 reads were in the way of the runs)", async () => {
    const clock = new VirtualClock();
    const reads: (() => void)[] = [];
    let drives = true;
    const results = new Results({
      ...{ namespace: "test", clock, transport: undefined, soon: (callback) => callback() },
      onGone: () => () => {},
      readShown: () => Promise.resolve(undefined),
      drives: () => drives,
      read: () => new Promise((resolve) => reads.push(() => resolve("no run"))),
    });
    let told = 0;
    for (let n = 0; n < 100; n++) results.wait({ workflow: "Order", run: `${n}` }, () => told++);
    await clock.advance(30_000);
    assertEquals(reads.length, 0);
    drives = false;
    await clock.advance(2_000);
    assertEquals(reads.length, 32);
    while (reads.length > 0) {
      reads.shift()!();
      await clock.advance(0);
    }
    assertEquals(told, 100);
    // the run is read although this node seems to execute it: a node does not know at once that another one has taken a
    // run over
    drives = true;
    results.wait({ workflow: "Order", run: "lost" }, () => told++);
    await clock.advance(61_000);
    assertEquals(reads.length, 1);
    results.close();
  });
});

describe("an end whose announcement is lost", () => {
  const end: RecordedOutcome = { ok: true, value: "end" };
  /** Makes two nodes that share a subject and a store; while `lost` is true, every message is lost. */
  function pair() {
    const clock = new VirtualClock();
    const state = { lost: false, reads: 0, published: 0, ended: new Set<string>() };
    const listeners: ((message: { data: Uint8Array }) => void)[] = [];
    const node = () => {
      const status: { state: "connected" | "disconnected"; generation: number } = { state: "connected", generation: 1 };
      const onStatus = new Set<(status: never) => void>();
      const onGone = new Set<() => void>();
      const results = new Results({
        ...{ namespace: "test", clock, soon: (callback: () => void) => clock.soon(callback) },
        transport: {
          status,
          publish: (_, data) => {
            state.published++;
            if (state.lost) return;
            for (const listener of listeners) listener({ data: new TextEncoder().encode(`${data}`) });
          },
          onStatus: (listener) => (onStatus.add(listener as never), () => onStatus.delete(listener as never)),
          subscribe: (_subject, _options, onMessage) => {
            listeners.push(onMessage as never);
            return { close() {}, drain: () => Promise.resolve() };
          },
        },
        onGone: (listener) => (onGone.add(listener), () => onGone.delete(listener)),
        readShown: () => Promise.resolve(undefined),
        drives: () => false,
        read: ({ run }) => {
          state.reads++;
          return Promise.resolve(state.ended.has(run) ? end : undefined);
        },
      });
      const set = (state: "connected" | "disconnected") => {
        status.state = state;
        for (const listener of onStatus) listener(status as never);
      };
      return { results, set, gone: () => onGone.forEach((listener) => listener()) };
    };
    const ended = (node: Results, run: string) => {
      state.ended.add(run);
      node.ended({ workflow: "Order", run }, end);
    };
    return { clock, state, ended, driver: node(), waiter: node() };
  }

  it("is announced again when the announcing node is connected again (it was found a minute later)", async () => {
    for (const how of ["lost by the link", "made while disconnected"]) {
      const { clock, state, ended, driver, waiter } = pair();
      const told: unknown[] = [];
      waiter.results.wait({ workflow: "Order", run: "1" }, (outcome) => told.push(outcome));
      await clock.advance(100);
      if (how === "lost by the link") state.lost = true;
      else driver.set("disconnected");
      ended(driver.results, "1");
      await clock.advance(0);
      driver.set("disconnected");
      await clock.advance(1_000);
      assertEquals(told, [], how);
      state.lost = false;
      driver.set("connected");
      await clock.advance(0);
      assertEquals(told, [end], how);
      driver.results.close();
      waiter.results.close();
    }
  });

  it("is not announced again a minute later", async () => {
    const { clock, state, ended, driver } = pair();
    ended(driver.results, "1");
    await clock.advance(0);
    assertEquals(state.published, 1);
    driver.set("connected");
    assertEquals(state.published, 2);
    await clock.advance(60_000);
    driver.set("connected");
    assertEquals(state.published, 2);
    driver.results.close();
  });

  it("is found within 2 s, though nothing shows the fault", async () => {
    const { clock, state, ended, driver, waiter } = pair();
    let told = 0;
    for (let n = 0; n < 200; n++) waiter.results.wait({ workflow: "Order", run: `${n}` }, () => told++);
    await clock.advance(10_000);
    state.lost = true;
    for (let n = 0; n < 200; n++) ended(driver.results, `${n}`);
    await clock.advance(2_500);
    assertEquals(told, 200);
    driver.results.close();
    waiter.results.close();
  });

  it("is found at once when a node is gone", async () => {
    const { clock, state, ended, driver, waiter } = pair();
    const told: unknown[] = [];
    waiter.results.wait({ workflow: "Order", run: "1" }, (outcome) => told.push(outcome));
    await clock.advance(100);
    state.lost = true;
    ended(driver.results, "1");
    driver.results.close();
    waiter.gone();
    await clock.advance(0);
    assertEquals(told, [end]);
    waiter.results.close();
  });

  it("costs 100 reads a second at most, however many runs are waited for, and each has its turn", async () => {
    const { clock, state, ended, driver, waiter } = pair();
    let told = 0;
    for (let n = 0; n < 3_000; n++) waiter.results.wait({ workflow: "Order", run: `${n}` }, () => told++);
    await clock.advance(30_000);
    state.reads = 0;
    await clock.advance(30_000);
    assertEquals(state.reads <= 3_050 && state.reads > 2_500, true, `${state.reads} reads`);
    state.lost = true;
    for (let n = 0; n < 3_000; n++) ended(driver.results, `${n}`);
    await clock.advance(35_000);
    assertEquals(told, 3_000);
    driver.results.close();
    waiter.results.close();
  });
});

describe("a run that is watched while an earlier read of it is under way", () => {
  const ref = { workflow: "Order", run: "1" };
  /** Makes a node that waits for runs; `reads`: the reads under way, oldest first. */
  function waiting() {
    const clock = new VirtualClock();
    const reads: ((found: ShownRun | "no run" | undefined) => void)[] = [];
    const read = () => new Promise<never>((resolve) => reads.push(resolve as (found: unknown) => void));
    const results = new Results({
      ...{ namespace: "test", clock, transport: undefined, soon: (callback) => callback() },
      ...{ onGone: () => () => {}, drives: () => false, read, readShown: read },
    });
    const answer = async (found: ShownRun | "no run" | undefined) => {
      reads.shift()!(found);
      await clock.advance(0);
    };
    const watch = () => {
      const seen: unknown[] = [];
      results.wait(ref, (end) => seen.push(end), ({ value }) => seen.push(value));
      return seen;
    };
    return { clock, results, reads, answer, watch };
  }
  const shown = (sequence: number, value: string): ShownRun => {
    return { sequence, outcome: undefined, view: { number: sequence, value } };
  };

  it("shows a later watcher what is later (it got a view that was older than the other's last one)", async () => {
    const { results, reads, answer, watch } = waiting();
    const first = watch();
    await answer(shown(1, "one"));
    watch(); // begins a read, which finds the state before "two"
    results.shown(ref, shown(2, "two"));
    const second = watch();
    await answer(shown(1, "one"));
    assertEquals([first.at(-1), second, results.latest(ref, shown(1, "one"))], ["two", [], shown(2, "two")]);
    results.shown(ref, shown(1, "one")); // a late notice
    await answer(shown(2, "two"));
    assertEquals([first.at(-1), new Set(second), reads.length], ["two", new Set(["two"]), 0]);
    results.close();
  });

  it("gives what `view` has read to the watchers, before an earlier read's older view", async () => {
    const { results, answer, watch } = waiting();
    const first = watch();
    await answer(shown(1, "one"));
    watch();
    assertEquals(results.latest(ref, shown(2, "two")), shown(2, "two"));
    await answer(shown(1, "one"));
    assertEquals(first.at(-1), "two");
    results.close();
  });

  it("is no missing run for who waits since its start (NO_RUN came from a read before the start)", async () => {
    const { results, reads, answer, watch } = waiting();
    const early = watch();
    const late = watch(); // the run was started meanwhile
    await answer(undefined);
    assertEquals([early, late, reads.length], [["no run"], [], 1]);
    await answer(shown(1, "one"));
    assertEquals(late, ["one"]);
    results.close();
  });

  it("is read again if the wait is another one: what a given-up one reads is not for it", async () => {
    const { results, answer, watch } = waiting();
    const giveUp = results.wait(ref, () => {});
    giveUp();
    const later = watch(); // the run was started meanwhile
    await answer("no run");
    await answer(shown(1, "one"));
    results.shown(ref, shown(2, "two"));
    assertEquals(later, ["one", "two"]);
    results.close();
  });

  it("shows what a store that lost its last messages has", async () => {
    const { results, answer, watch } = waiting();
    const seen = watch();
    await answer(shown(9, "lost"));
    watch(); // begins a read before the loss
    results.doubt();
    await answer(shown(9, "lost"));
    await answer(shown(3, "kept"));
    assertEquals([seen.at(-1), results.latest(ref, shown(3, "kept"))], ["kept", shown(3, "kept")]);
    results.close();
  });
});
