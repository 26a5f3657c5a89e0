import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { CatgaError } from "../../error.ts";
import type { ParkedEntry } from "../format/parked_entry.ts";
import type { ParkedState } from "../parking/parking_options.ts";
import { Category, type OpenItem } from "./category.ts";
import { ParkedRuns } from "./parked_runs.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const CATEGORY = new Category({ service: "shop", name: "billing" }, "Placed", { ...DEFAULT_SETTINGS, attempts: 3 }, {
  floor: 0,
  timeout: 1_000,
});
const BROKE = { code: "BROKE", message: "no" };

function entry(position: number, attempts: number, error = attempts === 0 ? undefined : BROKE): ParkedEntry {
  const message = { position, category: "Placed", id: `${position}`, payload: 0, tagged: false, time: 0 };
  return { token: 1, message: { ...message, key: undefined, meta: undefined }, attempts, error, due: 0, dead: 0 };
}

/** Runs of a parking that has these entries ready. */
function setUp(
  ready: ParkedEntry[],
  { running = [], doubt = false }: { running?: [number, string][]; doubt?: boolean } = {},
) {
  const ran: OpenItem[] = [];
  const failed: { position: number; state: ParkedState }[] = [];
  const done: number[] = [];
  const faults: unknown[] = [];
  let answer = () => Promise.resolve();
  const runs = new ParkedRuns({
    parking: {
      next: () => ready.shift(),
      done: (position) => {
        done.push(position);
        return answer();
      },
      failed: (position, state) => {
        failed.push({ position, state });
        return answer();
      },
    },
    categoryOf: () => CATEGORY,
    run: (item) => void ran.push(item),
    running: new Map(running),
    doubt,
    fault: (error) => void faults.push(error),
  });
  const refuse = (error: unknown) => {
    answer = () => Promise.reject(error);
  };
  return { runs, ready, ran, failed, done, faults, refuse };
}

describe("ParkedRuns", () => {
  it("run a message that has not failed at once", () => {
    const { runs, ran, failed } = setUp([entry(1, 0)]);
    runs.pump();
    const [{ attempts, parked, node }] = ran;
    assertEquals({ attempts, parked, node, failed }, { attempts: 0, parked: true, node: undefined, failed: [] });
  });

  it("store the next attempt of one that failed before it begins, and count it once", () => {
    const { runs, ready, ran, failed } = setUp([entry(1, 1)]);
    runs.pump();
    assertEquals(failed, [{ position: 1, state: { attempts: 2, error: BROKE, due: 0 } }]);
    assertEquals(ran, []);
    ready.push(entry(1, 2));
    runs.pump();
    assertEquals(ran.map(({ attempts }) => attempts), [1]);
    // it fails, and comes again
    runs.failed(ran[0], { attempts: 2, error: BROKE, due: 5 });
    ready.push(entry(1, 2));
    runs.pump();
    assertEquals(failed.map(({ state }) => [state.attempts, state.due]), [[2, 0], [2, 5], [3, 0]]);
  });

  it("after a leader that ended, store the first attempt, too", () => {
    const { runs, ready, ran, failed } = setUp([entry(1, 0)], { doubt: true });
    runs.pump();
    const error = { code: "OUTCOME_UNKNOWN", message: "an attempt has begun" };
    assertEquals({ ran, failed }, { ran: [], failed: [{ position: 1, state: { attempts: 1, error, due: 0 } }] });
    ready.push(entry(1, 1, error));
    runs.pump();
    assertEquals(ran.map(({ attempts }) => attempts), [0]);
  });

  it("store no attempt beyond the last one of the category", () => {
    const { runs, ran, failed } = setUp([entry(1, 3)]);
    runs.pump();
    assertEquals({ attempts: ran.map(({ attempts }) => attempts), failed }, { attempts: [3], failed: [] });
  });

  it("go to the node where the message may be running still, again after a failure there", () => {
    const { runs, ready, ran } = setUp([entry(1, 3), entry(2, 3)], { running: [[1, "n1"]] });
    runs.pump();
    assertEquals(ran.map(({ node }) => node), ["n1", undefined]);
    runs.done(ran[1]);
    ran[0].node = "n2";
    runs.failed(ran[0], { attempts: 3 });
    ready.push(entry(1, 3));
    runs.pump();
    assertEquals(ran[2].node, "n2");
    ran[2].node = undefined;
    runs.failed(ran[2], { attempts: 3 });
    ready.push(entry(1, 3));
    runs.pump();
    assertEquals(ran[3].node, undefined);
  });

  it("are 256 at most: each that ends makes room for the next", () => {
    const { runs, ready, ran, done } = setUp(Array.from({ length: 260 }, (_, n) => entry(n + 1, 0)));
    runs.pump();
    runs.pump();
    assertEquals(ran.length, 256);
    runs.done(ran[0]);
    runs.failed(ran[1], { attempts: 1 });
    assertEquals({ ran: ran.length, left: ready.length, done }, { ran: 258, left: 2, done: [1] });
    assertEquals(ran.slice(0, 3).map(({ over }) => over), [true, true, false]);
  });

  it("report what cannot be stored, but not that the parking is closed", async () => {
    const { runs, ran, faults, refuse } = setUp([entry(1, 0), entry(2, 0)]);
    runs.pump();
    refuse(new CatgaError("CLOSED", "closed"));
    runs.done(ran[0]);
    const error = new CatgaError("UNAVAILABLE", "no answer");
    refuse(error);
    runs.failed(ran[1], { attempts: 1 });
    await new Promise((resolve) => setTimeout(resolve, 0));
    assertEquals(faults, [error]);
  });
});
