import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { readSubscriptionRecord, type SubscriptionRecord, writeSubscriptionRecord } from "./subscription_record.ts";

const RECORD: SubscriptionRecord = {
  service: "shop",
  name: "billing",
  leader: "a.1",
  token: 7,
  generation: 2,
  takeovers: 1,
  began: { OrderPlaced: 1_024, ["__proto__"]: 7 },
  streams: {
    log: { created: "2026", read: 4_095, time: 1.5, open: [[2_048, 1, 1], [2_049, 3, 2]], at: 1_760_000_000_000 },
  },
  rewind: { to: 0, id: "r" },
};

describe("readSubscriptionRecord", () => {
  it("reads what writeSubscriptionRecord writes", () => {
    assertEquals(readSubscriptionRecord("shop", "billing", writeSubscriptionRecord(RECORD)), RECORD);
  });

  it("ignores members that it does not know, sorts what is open, and keeps the last of a position that is there twice", () => {
    const open = [[1, 0, "J"], [2, 1, "D"], [4, 3, "J"]];
    const text = JSON.stringify({
      ...RECORD,
      more: 1,
      streams: { log: { created: "x", read: 9, time: 0, open, more: 2 } },
    });
    const record = readSubscriptionRecord("shop", "billing", text) as SubscriptionRecord;
    assertEquals(record.streams.log.open, [[3, 2, 1], [9, 4, 3]]);
    assertEquals("more" in record, false);
  });

  it("has no count that a takeover makes unsafe, and no categories with names that are no contract's", () => {
    const text = JSON.stringify({
      ...JSON.parse(writeSubscriptionRecord(RECORD)),
      takeovers: Number.MAX_SAFE_INTEGER,
      began: { "a b": 1, "": 2, "a.B": 3 },
    });
    const record = readSubscriptionRecord("shop", "billing", text) as SubscriptionRecord;
    assertEquals([record.takeovers, record.began], [1_000_000, { "a.B": 3 }]);
  });

  it("says what is wrong with a text that is no record of this subscription", () => {
    const wrong: [change: Record<string, unknown>, why: string][] = [
      [{ service: "other" }, "the record of another subscription"],
      [{ leader: 7 }, "no leader"],
      [{ token: 1.5 }, "no token"],
      [{ generation: -1 }, "no generation or takeovers"],
      [{ takeovers: "many" }, "no generation or takeovers"],
      [{ began: { a: 2 ** 53 } }, "no places where its categories began"],
      [{ generation: 2 ** 52 + 1 }, "no generation or takeovers"],
      [
        { began: Object.fromEntries(Array.from({ length: 4_097 }, (_, i) => [`C${i}`, 0])) },
        "more than 4096 categories",
      ],
      [{ began: [] }, "no places where its categories began"],
      [{ streams: null }, "no streams"],
      [{ streams: { log: { created: "", read: 0.5, time: 0, open: [] } } }, "no progress in log"],
      [{ streams: { log: { created: "", read: 1, time: 0, open: [[1]] } } }, "no progress in log"],
      [{ streams: { log: { created: "", read: 1, time: null, open: [] } } }, "no progress in log"],
      [{ rewind: { to: -1, id: "r" } }, "an invalid request to rewind"],
    ];
    const written = JSON.parse(writeSubscriptionRecord(RECORD));
    for (const [change, why] of wrong) {
      assertEquals(readSubscriptionRecord("shop", "billing", JSON.stringify({ ...written, ...change })), why);
    }
    assertEquals(readSubscriptionRecord("shop", "billing", "{"), "no JSON");
    assertEquals(readSubscriptionRecord("shop", "billing", "null"), "no object");
  });
});
