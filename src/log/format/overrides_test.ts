import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { overridesSubject, readOverridesSubject, subscriptionKey } from "./names.ts";
import { limitsAt, type Overrides, pauseAt, readOverrides, writeOverrides } from "./overrides.ts";

describe("what operators have set of a subscription", () => {
  it("is read as it was written, with what only a newer version knows", () => {
    const all: Overrides[] = [
      {},
      { paused: { since: 7 } },
      { paused: { since: 7, until: 9, reason: "the bank is closed" } },
      { paused: { since: 7 }, others: { shape: [1] } },
      { limits: [{ limit: "bank", paused: { since: 7 } }, { limit: "Paid/0", set: { since: 8, running: 3 } }] },
      {
        paused: { since: 7 },
        limits: [{
          limit: "bank",
          keys: [{ key: "", since: 7, until: 9, reason: "full" }, { key: "A", since: 8 }],
          set: { since: 8, per: [1, 60_000], burst: 2 },
        }],
      },
    ];
    for (const each of all) assertEquals(readOverrides(writeOverrides(each)), each);
    assertEquals(JSON.parse(writeOverrides({ paused: { since: 7 }, others: { shape: 1 } })), {
      v: 1,
      paused: { since: 7 },
      shape: 1,
    });
  });

  it("that is invalid is described, and parts of a pause that are invalid are left out", () => {
    const cases: [unknown, string][] = [
      [[], "no object"],
      [{ v: 2 }, "of another version"],
      [{ v: 1, paused: true }, "no pause"],
      [{ v: 1, paused: { since: "today" } }, "no pause"],
      [{ v: 1, limits: {} }, "no limits"],
    ];
    for (const [value, wrong] of cases) assertEquals(readOverrides(JSON.stringify(value)), wrong);
    const text = JSON.stringify({ v: 1, paused: { since: 7, until: -1, reason: {} } });
    assertEquals(readOverrides(text), { paused: { since: 7 } });
    const long = readOverrides(JSON.stringify({ v: 1, paused: { since: 7, reason: "x".repeat(1_000) } }));
    assertEquals(typeof long === "object" && long.paused?.reason?.length, 400);
  });

  it("of limits only those have no effect that are invalid, which are kept as they are", () => {
    const valid = { limit: "b", paused: { since: 7 } };
    const cases: [unknown, string, string][] = [
      [{ paused: { since: 7 } }, "?", "it names no limit"],
      [{ limit: "a", paused: {} }, "a", "its paused cannot be read"],
      [{ limit: "a", keys: [{ since: 7 }], set: 1 }, "a", "its keys and set cannot be read"],
      [{ limit: "a", set: { since: 7, running: 0 } }, "a", "its set cannot be read"],
      [{ limit: "a", set: { since: 7, per: [1] } }, "a", "its set cannot be read"],
      [{ limit: "a", set: { running: 1 } }, "a", "its set cannot be read"],
      [{ limit: "a", set: { since: 7, running: 1, weight: 2 } }, "a", "its set cannot be read"],
      [{ limit: "a", weights: {} }, "a", "it has weights, which this version does not know"],
    ];
    for (const [wrong, limit, invalid] of cases) {
      const read = readOverrides(JSON.stringify({ v: 1, paused: { since: 7 }, limits: [wrong, valid] }));
      assert(typeof read === "object", String(read));
      assertEquals([read.limits, read.paused], [[{ limit, invalid }, valid], { since: 7 }]);
      assertEquals(limitsAt(read, 8), [{ limit, invalid }, valid]);
      assertEquals(JSON.parse(writeOverrides(read)).limits, [valid, wrong]);
    }
  });

  it("a pause is in force until its end", () => {
    const paused = { since: 7, until: 9 };
    assertEquals([8, 9].map((now) => pauseAt({ paused }, now)), [paused, undefined]);
    assertEquals([pauseAt({ paused: { since: 7 } }, 1e15), pauseAt({}, 1)], [{ since: 7 }, undefined]);
  });

  it("of limits is what is in force: without pauses that are over", () => {
    const limits = [
      { limit: "a", paused: { since: 7, until: 9 }, keys: [{ key: "x", since: 7, until: 10 }, { key: "y", since: 7 }] },
      { limit: "b", paused: { since: 7, until: 9 } },
      { limit: "c", paused: { since: 7, until: 9 }, set: { since: 7, running: 1 } },
    ];
    assertEquals(limitsAt({ limits }, 8), limits);
    assertEquals(limitsAt({ limits }, 10), [
      { limit: "a", keys: [{ key: "y", since: 7 }] },
      { limit: "c", set: { since: 7, running: 1 } },
    ]);
    assertEquals(limitsAt({}, 10), []);
  });

  it("has a subject of its own for each subscription", () => {
    const key = subscriptionKey("shop", "ord.ers");
    assertEquals(readOverridesSubject("n", overridesSubject("n", key)), key);
    for (const other of ["m", "n.x"]) assertEquals(readOverridesSubject("n", overridesSubject(other, key)), undefined);
    assertEquals(readOverridesSubject("n", overridesSubject("n", "shop")), undefined);
  });
});
