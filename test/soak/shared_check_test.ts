import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { UNSETTLED } from "./log.ts";
import type { NeverNote, OnceNote } from "./shared.ts";
import { HELD_OUT, lateViolations, onceViolations, type Trouble, unfinished } from "./shared_check.ts";

const begun = (at: number, run: string, id = "7"): OnceNote => ({ event: "begun", at, id, run });
const ended = (at: number, run: string, id = "7"): OnceNote => ({ event: "ended", at, id, run });
const told = (at: number, told: string, run?: string, id = "7"): OnceNote => ({
  event: "told",
  at,
  id,
  told,
  run,
  took: 10,
  timeout: 8_000,
});
const one = [begun(1_000, "a.x 5"), ended(3_000, "a.x 5"), told(3_010, "ok", "a.x 5")];
const trouble = (kind: Trouble["kind"], from: number, to: number, endpoint?: string): Trouble =>
  endpoint === undefined ? { kind, from, to } : { kind, from, to, endpoint };

describe("the soak's checker of idempotent commands", () => {
  it("accepts one run whose result several senders got, and failures that leave the outcome open", () => {
    assertEquals(onceViolations([...one, told(4_000, "ok", "a.x 5"), told(5_000, "OUTCOME_UNKNOWN")], []), []);
  });

  it("finds a second run of an id beside the first, whose process was cut off for less than 4 s", () => {
    const twice = [...one, begun(2_500, "b.y 9"), ended(2_600, "b.y 9")];
    const says = ["id 7: b.y 9 began 1500 ms after a.x 5, which still ran; its process was away for 1200 ms at most"];
    assertEquals(onceViolations(twice, [trouble("cut", 1_100, 2_300, "a.x")]), says);
    // of somebody else
    assertEquals(
      onceViolations(twice, [trouble("cut", 1_100, 9_000, "c.z"), trouble("cut", 1_100, 2_300, "a.x")]),
      says,
    );
  });

  it("accepts a second run after a longer absence, a death, or the loss of the store", () => {
    const long = [begun(0, "a.x 5"), begun(5_500, "b.y 9"), ended(6_000, "a.x 5"), ended(6_000, "b.y 9")];
    assertEquals(onceViolations(long, []).length, 1);
    assertEquals(onceViolations(long, [trouble("freeze", 100, 101 + HELD_OUT, "a.x")]), []);
    assertEquals(onceViolations(long, [trouble("outage", 100, 2_000), trouble("cut", 2_500, 4_200, "a.x")]), []);
    assertEquals(onceViolations(long, [trouble("wipe", 3_000, 3_100)]), []);
    const died = [begun(0, "a.x 5"), begun(5_500, "b.y 9"), ended(6_000, "b.y 9")];
    assertEquals(onceViolations(died, [trouble("death", 5_000, 5_000, "a.x")]), []);
    assertEquals(onceViolations(died, [trouble("death", 5_600, 5_600, "a.x")]).length, 1);
  });

  it("finds two results of one id, and a run after the result, unless the store was lost between", () => {
    const again = [...one, begun(9_000, "b.y 9"), ended(9_100, "b.y 9"), told(9_110, "ok", "b.y 9")];
    assertEquals(onceViolations(again, []), [
      "id 7: told a.x 5, and b.y 9 6100 ms later",
      "id 7: b.y 9 began 5990 ms after its result a.x 5 was told",
    ]);
    assertEquals(onceViolations(again, [trouble("wipe", 5_000, 5_100)]), []);
  });

  it("finds a code that a send of an idempotent command must not have", () => {
    assertEquals(onceViolations([told(5, "ID_REUSED")], []), ["id 7: told ID_REUSED"]);
  });

  it("lists the ids without a result", () => {
    assertEquals(unfinished([...one, begun(5, "a.x 6", "8"), told(6, "UNAVAILABLE", undefined, "9")]), ["8", "9"]);
  });
});

describe("the soak's checker of deadlines", () => {
  const never = (told: string, took: number): NeverNote => ({ place: "load", told, at: 10_000, took, timeout: 1_000 });
  const wrongs = (note: NeverNote, gaps: { from: number; to: number }[] = []) =>
    lateViolations("client-0", [note], gaps);

  it("accepts a failure in time; finds a success, a late failure, and a send that never settled", () => {
    assertEquals(wrongs(never("TIMEOUT", 2_000)), []);
    assertEquals(wrongs(never("ok", 500)), ["client-0: never-settling load: told ok"]);
    assertEquals(wrongs(never("TIMEOUT", 2_001)), [
      "client-0: never-settling load: TIMEOUT after 2001 ms, its timeout 1000",
    ]);
    assertEquals(wrongs(never(UNSETTLED, 6_000)), [`client-0: never-settling load: ${UNSETTLED}`]);
  });

  it("excuses delay that lies in a gap of the client's loop, and no more", () => {
    const late = never("TIMEOUT", 5_500); // from 4,500 on
    assertEquals(wrongs(late, [{ from: 5_000, to: 8_500 }]), []);
    assertEquals(wrongs(late, [{ from: 5_000, to: 8_499 }]).length, 1);
    assertEquals(wrongs(late, [{ from: 0, to: 4_600 }]).length, 1);
  });
});
