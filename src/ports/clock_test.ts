import { describe, it } from "node:test";
import process from "node:process";
import {
  assert,
  assertEquals,
  assertGreaterOrEqual,
  assertMatch,
  assertRejects,
  assertStrictEquals,
  assertThrows,
} from "@std/assert";
import {
  aborted,
  afterOrAtEnd,
  appClock,
  backoff,
  delay,
  doubled,
  EndingClock,
  systemClock,
  systemRandom,
  token,
  within,
} from "./clock.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";

describe("EndingClock", () => {
  it("timers fire in their time, and not when they are cancelled", async () => {
    const below = new VirtualClock();
    const clock = new EndingClock(below);
    const began = below.monotonic();
    const fired: string[] = [];
    const note = (name: string) => () => void fired.push(`${name} at ${clock.monotonic() - began}`);
    clock.after(10, note("a"));
    clock.after(20, note("b"), { background: true });
    clock.after(20, note("cancelled"), { background: true }).cancel();
    afterOrAtEnd(clock, 30, note("c"));
    afterOrAtEnd(clock, 30, note("cancelled")).cancel();
    void delay(clock, 40).then(note("d"));
    await below.advance(100);
    assertEquals(fired, ["a at 10", "b at 20", "c at 30", "d at 40"]);
    clock.end();
    assertEquals(fired.length, 4);
  });

  it("at its end background timers are cancelled and waits end, in the order in which they began; others go on", async () => {
    const below = new VirtualClock();
    const clock = new EndingClock(below);
    const began = below.monotonic();
    const fired: string[] = [];
    const note = (name: string) => () => void fired.push(`${name} at ${clock.monotonic() - began}`);
    clock.after(10, note("background"), { background: true });
    void delay(clock, 1_000).then(note("delay"));
    void within(clock, 2_000, new Promise(() => {})).then(note("within"));
    clock.after(50, note("other"));
    clock.end();
    await below.advance(5_000);
    assertEquals(fired, ["delay at 0", "within at 0", "other at 50"]);
  });

  it("behind its end no background timer is set, and waits last their time: a loop of retries must not spin", async () => {
    const below = new VirtualClock();
    const clock = new EndingClock(below);
    const began = below.monotonic();
    clock.end();
    const fired: string[] = [];
    const note = (name: string) => () => void fired.push(`${name} at ${clock.monotonic() - began}`);
    clock.after(10, note("background"), { background: true }).cancel();
    clock.after(10, note("background"), { background: true });
    void delay(clock, 100).then(note("delay"));
    await below.advance(1_000);
    assertEquals(fired, ["delay at 100"]);
  });
});

describe("delay", () => {
  it("resolves when the time has passed", async () => {
    const clock = new VirtualClock();
    let passed = false;
    const waiting = delay(clock, 100).then(() => passed = true);
    await clock.advance(99);
    assertEquals(passed, false);
    await clock.advance(1);
    await waiting;
  });

  it("rejects with the signal's reason, at once when it has aborted", async () => {
    const clock = new VirtualClock();
    const reason = new Error("enough");
    const controller = new AbortController();
    const waiting = delay(clock, 100, controller.signal);
    controller.abort(reason);
    assertStrictEquals(await assertRejects(() => waiting), reason);
    assertStrictEquals(await assertRejects(() => delay(clock, 100, controller.signal)), reason);
  });
});

describe("appClock", () => {
  it("sleep: resolves after its time, on the clock that it is made of", async () => {
    const virtual = new VirtualClock();
    const clock = appClock(virtual);
    let passed = false;
    const sleeping = clock.sleep(3_600_000).then(() => passed = true);
    await virtual.advance(3_599_999);
    assertEquals([passed, clock.now() - virtual.now(), clock.monotonic()], [false, 0, 3_599_999]);
    await virtual.advance(1);
    await sleeping;
  });

  it("sleep: rejects for a time that no timer can wait, and for what is no number", async () => {
    const { sleep } = appClock(systemClock);
    for (const ms of [-1, NaN, Infinity, 2 ** 31]) {
      await assertRejects(() => sleep(ms), RangeError, `sleep: ms must be from 0 to 2147483647 ms; got ${ms}`);
    }
    for (const [ms, shown] of [["", '""'], ["5", '"5"'], [null, "null"], [[], "an array"], [undefined, "undefined"]]) {
      await assertRejects(() => sleep(ms as never), TypeError, `sleep: ms must be a number of ms; got ${shown}`);
    }
    await assertRejects(() => sleep(1, {} as AbortSignal), TypeError, "sleep: signal must be an AbortSignal");
  });

  it("after and soon: throw for what no timer can be made of", () => {
    for (const clock of [appClock(systemClock), appClock(new VirtualClock())]) {
      const after = (...args: unknown[]) => Reflect.apply(clock.after, undefined, args);
      for (const ms of [-1, NaN]) assertThrows(() => after(ms, () => {}), RangeError, `got ${ms}`);
      for (const ms of ["", null, [], new Date()]) {
        assertThrows(() => after(ms, () => {}), TypeError, "must be a number");
      }
      assertThrows(() => after(1, "x"), TypeError, 'clock.after: callback must be a function; got "x"');
      assertThrows(() => after(1, () => {}, true), TypeError, "clock.after takes an object of options; got true");
      assertThrows(() => after(1, () => {}, { background: 1 }), TypeError, "background must be true or false; got 1");
      assertThrows(() => clock.soon(5 as never), TypeError, "clock.soon: callback must be a function; got 5");
    }
  });

  it("is that of this machine", async () => {
    const clock = appClock(systemClock);
    const start = systemClock.monotonic();
    await clock.sleep(5);
    assertGreaterOrEqual(clock.monotonic() - start, 4);
    assertGreaterOrEqual(clock.now(), Date.now() - 1_000);
  });
});

describe("systemClock", () => {
  it("after: a time that is over fires at once, without a warning of the runtime", async () => {
    const warnings: string[] = [];
    // other warnings are of code that ran before in this process
    const warned = ({ name }: Error) => void (name.startsWith("Timeout") && warnings.push(name));
    process.on("warning", warned);
    await new Promise<void>((resolve) => systemClock.after(-5, resolve));
    await new Promise<void>((resolve) => systemClock.soon(resolve)); // warnings come in a later turn
    process.off("warning", warned);
    assertEquals(warnings, []);
  });

  it("after: calls back once and never early; not after it was cancelled", async () => {
    const start = systemClock.monotonic();
    const calls: string[] = [];
    const cancelled = systemClock.after(0, () => calls.push("cancelled"));
    cancelled.cancel();
    await new Promise<void>((resolve) => systemClock.after(5, () => (calls.push("after"), resolve())));
    cancelled.cancel();
    assertEquals(calls, ["after"]);
    // the bound is 4 and not 5, because timers of both runtimes count whole ms
    assertGreaterOrEqual(systemClock.monotonic() - start, 4);
  });

  it("after: a delay longer than 2^31 ms does not fire at once", async () => {
    let fired = false;
    const timer = systemClock.after(2 ** 31 + 5, () => fired = true);
    await new Promise<void>((resolve) => systemClock.after(2, resolve));
    timer.cancel();
    assertEquals(fired, false);
  });

  it("soon: in a later turn, in order, before a timer of 1 ms", async () => {
    const calls: number[] = [];
    const done = new Promise<void>((resolve) => {
      systemClock.soon(() => calls.push(1));
      systemClock.soon(() => (calls.push(2), resolve()));
    });
    await Promise.resolve();
    assertEquals(calls, []);
    await done;
    assertEquals(calls, [1, 2]);
  });

  it("now is the wall clock", () => {
    const before = Date.now();
    const now = systemClock.now();
    assertEquals([before - 1_000 < now, now < Date.now() + 1_000], [true, true]);
  });
});

describe("systemRandom and token", () => {
  it("numbers from 0 to 1, all over the range", () => {
    const random = systemRandom();
    const tenths = new Set<number>();
    for (let i = 0; i < 1_000; i++) {
      const drawn = random();
      assert(drawn >= 0 && drawn < 1);
      tenths.add(Math.floor(drawn * 10));
    }
    assertEquals(tenths.size, 10);
  });

  it("a token: letters and digits, as many as asked for, another each time", () => {
    const random = systemRandom();
    const tokens = new Set(Array.from({ length: 1_000 }, () => token(random, 10)));
    assertEquals(tokens.size, 1_000);
    for (const one of tokens) assertMatch(one, /^[0-9A-Za-z]{10}$/);
    assertEquals(token(() => 0, 3) + token(() => 1 - Number.EPSILON, 3), "000zzz");
  });
});

describe("doubled", () => {
  it("is the first at no failure, doubles with each, and never exceeds the longest", () => {
    assertEquals([0, 1, 2, 3, 60, 2_000].map((failures) => doubled(failures, 20, 150)), [20, 40, 80, 150, 150, 150]);
  });
});

describe("backoff", () => {
  it("is random up to a limit that doubles with each failure, up to the longest", () => {
    const limits = [0, 1, 2, 3, 60].map((failures) => backoff(() => 1, failures, 20, 150));
    assertEquals(limits, [20, 40, 80, 150, 150]);
    assertEquals([0, 0.5].map((drawn) => backoff(() => drawn, 1, 20, 150)), [0, 20]);
  });
});

describe("aborted", () => {
  it("resolves when the signal aborts, and not before", async () => {
    const stop = new AbortController();
    const order: string[] = [];
    const waiting = aborted(stop.signal).then(() => order.push("resolved"));
    await Promise.resolve();
    order.push("abort");
    stop.abort();
    await waiting;
    assertEquals(order, ["abort", "resolved"]);
  });

  it("resolves if the signal has aborted before", { timeout: 300_000 }, async () => {
    assertEquals(await aborted(AbortSignal.abort("Ctrl-C")), undefined);
  });
});
