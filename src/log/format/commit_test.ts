import { describe, it } from "node:test";
import { assert, assertEquals, assertLess } from "@std/assert";
import { type Commit, messageId, type ParkedState, readCommit, readMessageId, stateOf, writeCommit } from "./commit.ts";

const T = 1_800_000_000_000;
const PARKED: ParkedState = { position: T * 1_024 + 7, time: T, epoch: 1, attempts: 3, due: T + 5_000, dead: 0 };
const DEAD: ParkedState = { ...PARKED, position: T * 1_024 + 3, time: T - 1, attempts: 10, due: 0, dead: T + 60_000 };

function commit(n: number, over: Partial<Commit> = {}): Commit {
  return {
    id: ["t", n],
    prev: n === 1 ? undefined : ["t", n - 1],
    full: n === 1,
    base: 0,
    head: {
      leader: "a",
      token: 4,
      place: { created: "x", read: T * 1_024 + 9, time: T, epoch: 1 },
      open: [[T * 1_024 + 4, 0], [T * 1_024 + 6, 2], [T * 1_024 + 9, 0]],
      began: { Booked: 0, "Room.Booked": 5 },
      requests: 3,
      doubt: { upTo: 9, groups: [{ size: 16, ids: ["1-2"] }], begun: ["3-4"] },
    },
    parked: [],
    ended: [],
    counts: { parked: 0, dead: 0 },
    ...over,
  };
}

describe("writeCommit", () => {
  it("is read as it was written", () => {
    for (
      const each of [
        commit(1, { parked: [PARKED, DEAD], counts: { parked: 2, dead: 1 } }),
        commit(2, { ended: [messageId(PARKED)], head: { ...commit(1).head, open: [], doubt: undefined } }),
        commit(3, { head: { ...commit(1).head, skipped: 7 } }),
        commit(3, { head: { ...commit(1).head, place: { created: "", read: 0, time: 0, epoch: 0, at: 5 } } }),
        commit(4, {
          head: { ...commit(1).head, passed: [[T * 1_024 + 1, T * 1_024 + 3], [(T + 2) * 1_024, (T + 9) * 1_024]] },
        }),
      ]
    ) assertEquals(readCommit(writeCommit(each)), each);
  });

  it("takes less than 20 characters for a parked message", () => {
    const parked = Array.from({ length: 1_000 }, (_, i) => ({
      ...PARKED,
      position: (T + 3 * i) * 1_024,
      time: T + 3 * i,
      due: T + 3 * i + 300_000,
    }));
    assert(writeCommit(commit(1, { parked })).length < 20_000);
  });

  it("takes less than 5 characters for a message that was passed by between two that were not", () => {
    const passed = Array.from({ length: 10_000 }, (_, i) => [(T + 5 * i) * 1_024, (T + 5 * i) * 1_024] as const);
    assertLess(writeCommit(commit(1, { head: { ...commit(1).head, passed } })).length, 50_000);
  });

  it("has 2 kB with 600 messages in hand, as docs/log.md says", () => {
    const { head } = commit(1);
    const open = Array.from({ length: 600 }, (_, i) => [(T + 3 * i) * 1_024, 0] as const);
    const { length } = writeCommit(commit(1, { head: { ...head, open } }));
    assertEquals(Math.round(length / 1_000), 2);
  });
});

describe("readCommit", () => {
  it("says what is wrong with a commit that others wrote", () => {
    const valid = JSON.parse(writeCommit(commit(2)));
    for (
      const [change, reason] of [
        [{ v: 4 }, "of another version"],
        [{ v: 3, passed: "!" }, "an invalid list of what was passed by"],
        [{ v: 3, passed: "A" }, "an invalid list of what was passed by"],
        [{ v: 3, passed: "BA" }, "an invalid list of what was passed by"],
        [{ v: 3, passed: "EAAA" }, "an invalid list of what was passed by"],
        [{ v: 2, left: [["A b", "k", 1]] }, "an invalid list of what is left behind"],
        [{ v: 2, left: [["A", "k", -1]] }, "an invalid list of what is left behind"],
        [{ id: ["t"] }, "no number"],
        [{ prev: 1 }, "no number"],
        [{ full: 1 }, "`full` is no boolean"],
        [{ token: -1 }, "no leader or token"],
        [{ token: 2 ** 52 + 1 }, "no leader or token"],
        [{ began: { Booked: "0" } }, "`began` does not hold the positions where its categories begin"],
        [{ requests: null }, "no requests"],
        [{ place: { created: "x", read: -1, time: 0, epoch: 0 } }, "no place in the log"],
        [{ open: [[0, "!"]] }, "no place in the log"],
        [{ doubt: { upTo: 1, groups: [{ size: 0, ids: [] }], begun: [] } }, "an invalid doubt"],
        [{ parked: "ggg" }, "an invalid list of what is parked"],
        [{ ended: [1] }, "an invalid list of what is parked"],
        [{ counts: [1] }, "no counts"],
      ] as [object, string][]
    ) assertEquals(readCommit(JSON.stringify({ ...valid, ...change })), reason);
    assertEquals(readCommit("{"), "no JSON");
    assertEquals(readCommit("[]"), "no object");
  });
});

describe("readMessageId", () => {
  it("reads the identity of a message, and nothing else", () => {
    assertEquals(readMessageId(messageId(PARKED)), { position: PARKED.position, time: PARKED.time });
    for (const id of ["", "1", "1-", "01-2", "1-2-3", "a-1"]) assertEquals(readMessageId(id), undefined, id);
  });
});

describe("stateOf", () => {
  const [one, two] = [PARKED, DEAD].map(messageId);

  it("adds up what has changed since the last full commit", () => {
    const state = stateOf([
      commit(1, { parked: [PARKED] }),
      commit(2, { parked: [DEAD] }),
      commit(3, { parked: [{ ...PARKED, attempts: 4 }], ended: [two] }),
    ]);
    assertEquals(state?.id, ["t", 3]);
    assertEquals([...state!.parked], [[one, { ...PARKED, attempts: 4 }]]);
  });

  it("leaves out a commit that goes on from another than the one before it, and what goes on from that", () => {
    const late: Commit = { ...commit(8, { full: true, parked: [DEAD] }), id: ["old", 8], prev: ["old", 7] };
    const later: Commit = { ...late, id: ["old", 9], prev: ["old", 8], full: false };
    const state = stateOf([commit(1, { parked: [PARKED] }), late, later, commit(2)]);
    assertEquals(state?.id, ["t", 2]);
    assertEquals([...state!.parked.keys()], [one]);
  });

  it("is unknown without a full commit", () => {
    assertEquals(stateOf([]), undefined);
    assertEquals(stateOf([commit(2), commit(3)]), undefined);
  });
});
