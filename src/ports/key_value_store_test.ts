import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { CatgaError, unavailable } from "../error.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { throughElection } from "./key_value_store.ts";

const random = () => 1;

/** Makes an operation that takes 1 s, and fails with `error` until `back` ms have passed. */
function failing(clock: VirtualClock, error: Error, back: number) {
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
  const { state, work } = failing(clock, error, back);
  const result = throughElection({ clock, random }, signal, work).catch((reason) => reason);
  await clock.advance(30_000);
  return { ...state, result: await result };
}

describe("throughElection", () => {
  it("does what was refused for want of a leader again, until there is one", async () => {
    const { attempts, result } = await outcome(new VirtualClock(), unavailable("no leader"), 14_000);
    assertEquals([result, attempts > 2], ["done", true]);
  });

  it("rejects as the last attempt does, none of which begins after 15 s", async () => {
    const clock = new VirtualClock();
    const error = unavailable("no leader");
    const { work } = failing(clock, error, Infinity);
    let ended = 0;
    const result = throughElection({ clock, random }, new AbortController().signal, work)
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
