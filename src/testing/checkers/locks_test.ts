import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { checkLeadership, checkLocks, type FencedWrite, type ObservedHold } from "./locks.ts";

const hold = (by: string, token: number, from: number, to?: number, key = "k"): ObservedHold => ({
  key,
  by,
  token,
  from,
  to,
});
const write = (by: string, token: number, at: number, accepted = true): FencedWrite => ({
  ...{ key: "k", by, token, accepted, at },
});
const lines = (history: Parameters<typeof checkLocks>[0]) =>
  checkLocks(history).map(({ subject, text }) => `${subject}: ${text}`);

describe("checkLocks", () => {
  it("accepts holders one behind the other, and holders of other keys at the same time", () => {
    const holds = [hold("a", 1, 0, 10), hold("b", 2, 10, 20), hold("c", 1, 5, 15, "other"), hold("a", 3, 21)];
    const writes = [write("a", 1, 5), write("b", 2, 12), write("b", 2, 13), write("a", 3, 30)];
    assertEquals(lines({ holds, writes }), []);
  });

  it("finds two holders at a time", () => {
    assertEquals(lines({ holds: [hold("b", 2, 5, 20), hold("a", 1, 0, 10)] }), [
      "k: a held it from 0 to 10, and b from 5",
    ]);
    assertEquals(lines({ holds: [hold("a", 1, 0), hold("b", 2, 5)] }), [
      "k: a held it from 0 to the end, and b from 5",
    ]);
    // one process that was given the lock twice
    assertEquals(lines({ holds: [hold("a", 1, 0, 10), hold("a", 2, 5, 20)] }).length, 1);
  });

  it("accepts two holders at a time if the first was away while it held, and not if another was", () => {
    const holds = [hold("a", 1, 0, 50), hold("b", 2, 30, 40)];
    assertEquals(lines({ holds, away: [{ by: "a", from: 10, to: 45 }] }), []);
    assertEquals(lines({ holds, away: [{ by: "a", from: 10, to: undefined }] }), []);
    assertEquals(lines({ holds, away: [{ by: "b", from: 10, to: 45 }] }).length, 1);
    assertEquals(lines({ holds, away: [{ by: "a", from: 31, to: 45 }] }).length, 1);
    // both ends of a span count
    assertEquals(lines({ holds, away: [{ by: "a", from: 30, to: 45 }] }), []);
    assertEquals(lines({ holds, away: [{ by: "a", from: -5, to: 0 }] }), []);
  });

  it("finds a token that does not grow", () => {
    assertEquals(lines({ holds: [hold("a", 2, 0, 10), hold("b", 1, 20, 30)] }), [
      "k: b was given the token 1, after a had 2",
    ]);
    assertEquals(lines({ holds: [hold("a", 2, 0, 10), hold("b", 2, 20, 30)] }).length, 1);
    assertEquals(lines({ holds: [hold("a", 2, 0, 10), hold("b", 2, 5, 30)] }).length, 2);
    // a hold whose token was not recorded says nothing about those of others
    assertEquals(lines({ holds: [{ key: "k", by: "a", from: 0, to: 10 }, hold("b", 1, 20, 30)] }), []);
  });

  it("accepts a smaller token of a holder that was frozen while the store answered, and not of another", () => {
    const holds = [hold("a", 2, 5, 10), hold("b", 1, 20, 21), hold("c", 3, 22, 23)];
    assertEquals(lines({ holds, away: [{ by: "b", from: 1, to: 19 }] }), []);
    assertEquals(lines({ holds, away: [{ by: "a", from: 1, to: 4 }] }).length, 1);
    assertEquals(lines({ holds, away: [{ by: "b", from: 1, to: 4 }] }).length, 1);
  });

  it("accepts several spans with one token: a holder whose record has gaps", () => {
    assertEquals(lines({ holds: [hold("a", 2, 0, 10), hold("a", 2, 5, 30)] }), []);
    assertEquals(lines({ holds: [hold("a", 2, 0, 10), hold("b", 3, 15, 20), hold("a", 2, 25, 30)] }), []);
  });

  it("finds an accepted write with an old token, and accepts its refusal", () => {
    const holds = [hold("a", 1, 0, 50), hold("b", 2, 30, 40)];
    const away = [{ by: "a", from: 10, to: 45 }];
    assertEquals(lines({ holds, away, writes: [write("b", 2, 35), write("a", 1, 46)] }), [
      "k: a write of a with 1 was accepted after one of b with 2",
    ]);
    assertEquals(lines({ holds, away, writes: [write("b", 2, 35), write("a", 1, 46, false)] }), []);
  });

  it("finds a write with a token that its writer never had, and a refused write of the holder", () => {
    const holds = [hold("a", 1, 0, 50)];
    assertEquals(lines({ holds, writes: [write("b", 1, 5)] }), ["k: b wrote with 1, which it was never given"]);
    assertEquals(lines({ holds, writes: [write("a", 1, 5, false)] }), [
      "k: a write of a with 1 was refused, and it held the lock",
    ]);
    // no newer token was there: its own write before it has the same one
    assertEquals(lines({ holds, writes: [write("a", 1, 4), write("a", 1, 5, false)] }).length, 1);
  });

  it("accepts a refused write behind the end of its hold, and behind a write with a newer token", () => {
    const holds = [hold("a", 1, 0, 10), hold("a", 3, 20), hold("b", 2, 12, 15), hold("b", 1, 0, 90, "other")];
    assertEquals(lines({ holds, writes: [write("a", 1, 11, false)] }), []);
    assertEquals(lines({ holds, writes: [write("a", 3, 19, false)] }), []);
    // in the ms in which it begins or ends it may be either way
    assertEquals(lines({ holds, writes: [write("a", 3, 20, false)] }), []);
    assertEquals(lines({ holds, writes: [write("a", 1, 10, false)] }), []);
    // with the token of an earlier hold
    assertEquals(lines({ holds, writes: [write("a", 1, 30, false)] }), []);
    assertEquals(lines({ holds, writes: [write("b", 2, 13), write("a", 1, 14, false)] }), []);
    assertEquals(lines({ holds, writes: [write("b", 2, 13), write("a", 3, 30, false)] }).length, 1);
    const taken = { holds: [hold("a", 1, 0, 50), hold("b", 2, 30, 40)], away: [{ by: "a", from: 10, to: 45 }] };
    assertEquals(lines({ ...taken, writes: [write("b", 2, 35), write("a", 1, 36, false)] }), []);
  });

  it("judges a refused write by holds of its key (a hold of another key with this token made it a breach)", () => {
    const holds = [hold("a", 1, 0, 10), hold("a", 1, 0, 90, "other")];
    assertEquals(lines({ holds, writes: [write("a", 1, 11, false)] }), []);
  });

  it("says which promise was broken, of which key and when", () => {
    const first = (history: Parameters<typeof checkLocks>[0]) =>
      checkLocks(history).map(({ promise, at }) => `${promise}, at ${at}`);
    assertEquals(first({ holds: [hold("a", 1, 0, 10), hold("b", 2, 5, 20)] }), ["lock: one holder at a time, at 5"]);
    assertEquals(first({ holds: [hold("a", 2, 0, 10), hold("b", 1, 20, 30)] }), [
      "lock: tokens of a key grow, at 20",
    ]);
    assertEquals(first({ holds: [hold("a", 1, 0, 10)], writes: [write("b", 1, 5)] }), [
      "lock: the resource takes writes in the order of their tokens, at 5",
    ]);
  });

  it("takes holds that began at one time in the order of their tokens", () => {
    assertEquals(lines({ holds: [hold("b", 2, 5, 6), hold("a", 1, 5, 5)] }), []);
    assertEquals(lines({ holds: [hold("a", 1, 5, 5), hold("b", 2, 5, 6)] }), []);
  });
});

describe("checkLeadership", () => {
  it("finds two leaders of one name, unless the first was away", () => {
    const holds = [{ key: "mails", by: "a", from: 0, to: 30 }, { key: "mails", by: "b", from: 20, to: 40 }];
    assertEquals(checkLeadership({ holds }).map(({ text }) => text), ["a held it from 0 to 30, and b from 20"]);
    assertEquals(checkLeadership({ holds, away: [{ by: "a", from: 5, to: 30 }] }), []);
    assertEquals(checkLeadership({ holds: [holds[0], { ...holds[1], from: 30 }] }), []);
    // a node that leads twice at a time has no token by which both spans would be one
    assertEquals(checkLeadership({ holds: [holds[0], { ...holds[1], by: "a" }] }).length, 1);
  });
});
