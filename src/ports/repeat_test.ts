import { describe, it } from "node:test";
import { assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import { CatgaError, isCatgaError, unavailable } from "../error.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { election, reading, repeat, repeatUnless, untilDone } from "./repeat.ts";

/** Makes work that fails with these codes, one after the other, and then succeeds, and a list of the pauses between. */
function failing(...codes: readonly string[]) {
  const left = [...codes];
  const pauses: number[] = [];
  return {
    pauses,
    work: () => {
      const code = left.shift();
      return code === undefined ? Promise.resolve("done") : Promise.reject(new CatgaError(code, "no"));
    },
    options: {
      pauses: [50, 120] as const,
      isTransient: (error: unknown) => isCatgaError(error) && error.code === "UNAVAILABLE",
      pause: (ms: number) => Promise.resolve(void pauses.push(ms)),
    },
  };
}

describe("repeat", () => {
  it("repeats an operation until it succeeds, with pauses that grow up to the longest", async () => {
    const { work, options, pauses } = failing("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE");
    assertEquals(await repeat(work, options), "done");
    assertEquals(pauses, [50, 100, 120]);
  });

  it("makes pauses random, up to their length, if it gets a source of chance", async () => {
    const { work, options, pauses } = failing("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE");
    await repeat(work, { ...options, random: () => 0.25 });
    assertEquals(pauses, [12.5, 25, 30]);
  });

  it("rejects at once with an error that another attempt would not change", async () => {
    const { work, options, pauses } = failing("UNAVAILABLE", "FORBIDDEN");
    const error = await assertRejects(() => repeat(work, options), CatgaError);
    assertEquals([error.code, pauses], ["FORBIDDEN", [50]]);
  });

  it("asks for each error whether it passes, so that the answer may change", async () => {
    const { work, options, pauses } = failing("UNAVAILABLE", "UNAVAILABLE", "UNAVAILABLE");
    const isTransient = () => pauses.length < 2;
    const error = await assertRejects(() => repeat(work, { ...options, isTransient }), CatgaError);
    assertEquals([error.code, pauses], ["UNAVAILABLE", [50, 100]]);
  });

  it("rejects as the last attempt does when no other is wanted: before the pause, and behind it", async () => {
    for (const [isOver, pauses] of [[(ms: number) => ms >= 100, 1], [(ms: number) => ms === 0, 1]] as const) {
      const failed = failing(...Array.from({ length: 9 }, () => "UNAVAILABLE"));
      const error = await assertRejects(() => repeat(failed.work, { ...failed.options, isOver }), CatgaError);
      assertEquals([error.code, failed.pauses.length], ["UNAVAILABLE", pauses]);
    }
  });
});

describe("repeatUnless", () => {
  it("resolves with undefined when no attempt is wanted any more, also before the first one", async () => {
    const { work, options, pauses } = failing(...Array.from({ length: 9 }, () => "UNAVAILABLE"));
    assertStrictEquals(await repeatUnless(() => pauses.length === 4, work, options), undefined);
    assertEquals(pauses, [50, 100, 120, 120]);
    let calls = 0;
    assertStrictEquals(await repeatUnless(() => true, () => Promise.resolve(calls++), options), undefined);
    assertEquals(calls, 0);
  });

  it("rejects with what another attempt would not change, also then", async () => {
    let isOver = false;
    const { work, options } = failing("FORBIDDEN");
    const failed = () => (isOver = true, work());
    assertEquals(
      (await assertRejects(() => repeatUnless(() => isOver, failed, options), CatgaError)).code,
      "FORBIDDEN",
    );
  });
});

describe("reading", () => {
  it("repeats a read while servers elect a leader, and rejects as the last one when nobody needs it any more", async () => {
    const clock = new VirtualClock();
    const read = () => clock.monotonic() < 700 ? Promise.reject(unavailable("no leader")) : Promise.resolve(7);
    const found = repeat(read, reading(clock, () => false));
    const late = repeat(read, reading(clock, (ms) => clock.monotonic() + ms > 600)).catch((error) => error.code);
    await clock.advance(2_000);
    assertEquals([await found, await late], [7, "UNAVAILABLE"]);
  });
});

describe("untilDone", () => {
  it("repeats after each error of the store, which it reports, and ends with its signal", async () => {
    const clock = new VirtualClock();
    const end = new AbortController();
    const faults: string[] = [];
    const options = { clock, signal: end.signal, fault: ({ code }: CatgaError) => void faults.push(code) };
    const { work } = failing("UNAVAILABLE", "FORBIDDEN");
    const done = repeat(work, untilDone(options));
    await clock.advance(1_000);
    assertEquals([await done, faults], ["done", ["UNAVAILABLE", "FORBIDDEN"]]);
    const never = repeat(() => Promise.reject(unavailable("away")), untilDone(options)).catch((reason) => reason);
    clock.after(5_000, () => end.abort("the end"));
    await clock.advance(10_000);
    assertEquals(await never, "the end");
  });

  it("rejects with an error that is none of the store", async () => {
    const wrong = new TypeError("a fault of ours");
    const options = { clock: new VirtualClock(), signal: new AbortController().signal, fault: () => {} };
    assertEquals(await repeat(() => Promise.reject(wrong), untilDone(options)).catch((error) => error), wrong);
  });
});

describe("election", () => {
  const random = () => 1;

  /** Makes an operation that takes 1 s, and fails with `error` until `back` ms have passed. */
  function slow(clock: VirtualClock, error: Error, back: number) {
    const state = { attempts: 0 };
    const work = async () => {
      state.attempts++;
      await new Promise<void>((resolve) => clock.after(1_000, resolve));
      if (clock.monotonic() < back) throw error;
      return "done";
    };
    return { state, work };
  }

  async function outcome(clock: VirtualClock, error: Error, back: number, signal = new AbortController().signal) {
    const { state, work } = slow(clock, error, back);
    const result = repeat(work, election({ clock, random }, signal)).catch((reason) => reason);
    await clock.advance(30_000);
    return { ...state, result: await result };
  }

  it("does what was refused for want of a leader again, until there is one", async () => {
    const { attempts, result } = await outcome(new VirtualClock(), unavailable("no leader"), 14_000);
    assertEquals([result, attempts > 2], ["done", true]);
  });

  it("rejects as the last attempt does, none of which begins after 15 s", async () => {
    const clock = new VirtualClock();
    const error = unavailable("no leader");
    const { work } = slow(clock, error, Infinity);
    let ended = 0;
    const result = repeat(work, election({ clock, random }, new AbortController().signal))
      .catch((reason) => (ended = clock.monotonic(), reason));
    await clock.advance(30_000);
    assertEquals([await result === error, ended >= 15_000 && ended <= 17_000], [true, true]);
  });

  it("rejects at once with what another attempt would not change", async () => {
    for (const error of [new CatgaError("UNAVAILABLE", "no JetStream"), new CatgaError("ID_TAKEN", "taken")]) {
      const { attempts, result } = await outcome(new VirtualClock(), error, 9_000);
      assertEquals([result, attempts], [error, 1]);
    }
  });

  it("ends with its signal", async () => {
    const clock = new VirtualClock();
    const end = new AbortController();
    clock.after(2_500, () => end.abort(new CatgaError("CLOSED", "the node stops")));
    const { result } = await outcome(clock, unavailable("no leader"), Infinity, end.signal);
    assertEquals((result as CatgaError).code, "CLOSED");
  });
});
