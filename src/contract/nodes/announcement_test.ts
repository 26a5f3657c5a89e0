import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import {
  announcement,
  COMMANDS,
  controlName,
  internalNames,
  isAnnounced,
  isInternalContract,
  readAnnouncement,
  runName,
  stricter,
  subscriptionName,
} from "./announcement.ts";
import { DEFAULT_RETRY } from "../declaration/defaults.ts";
import { event } from "../declaration/definition.ts";
import { entity } from "../declaration/entity.ts";

describe("isInternalContract", () => {
  it("is true of the names that leaders and their nodes use, and of no other", () => {
    for (
      const name of [runName("shop", "billing", "a.B"), controlName("shop", "billing"), runName(COMMANDS, "a.B", "a.B")]
    ) {
      assertEquals(isInternalContract(name), true, name);
    }
    for (
      const name of [
        "a.B",
        "@",
        "@shop",
        "@shop/",
        "@/billing",
        "@shop/a b",
        "@shop/a/b/c",
        "@shop/a/",
        "@sh op/a/b",
        "@@@/a",
      ]
    ) {
      assertEquals(isInternalContract(name), false, name);
    }
  });
});

describe("readAnnouncement", () => {
  it("reads what announcement makes of a subscription, and of a queued command", () => {
    assertEquals(readAnnouncement("shop", announcement("shop", "billing", "a.B")), {
      service: "shop",
      name: "billing",
      category: "a.B",
      retry: DEFAULT_RETRY,
    });
    assertEquals(readAnnouncement("shop", announcement(COMMANDS, "Mail", "Mail")), {
      service: COMMANDS,
      name: "Mail",
      category: "Mail",
      retry: DEFAULT_RETRY,
    });
    assertEquals(internalNames("shop", "@/Mail"), ["@@/Mail/Mail", "@@/Mail"]);
  });

  it("reads how runs are repeated, if that is not as usual; another text is none", () => {
    const retry = { attempts: 15, delay: [20.5, 86_400_000] } as const;
    const text = announcement("shop", "billing", "a.B", retry);
    assertEquals([text, isAnnounced(text)], ["billing/a.B/15,21,86400000", true]);
    const read = readAnnouncement("shop", text);
    assertEquals([read.category, read.retry], ["a.B", { attempts: 15, delay: [21, 86_400_000] }]);
    assertEquals(internalNames("shop", text), internalNames("shop", "billing/a.B"));
    assertEquals(announcement("shop", "billing", "a.B", DEFAULT_RETRY), "billing/a.B");
    const wrong = ["", "15", "15,20", "0,20,30", "15,30,20", "15,20,30,40", "1e3,20,30", "15,20,30/", "-1,20,30"];
    assertEquals(wrong.filter((each) => isAnnounced(`billing/a.B/${each}`)), []);
  });

  it("reads the limits of a handler; another text is none", () => {
    const limits = [
      { name: "", running: 5, count: Infinity, ms: Infinity, burst: 1 },
      { name: "bank", running: Infinity, count: 100, ms: 1_000, burst: 10 },
      { name: "account", running: 1, count: Infinity, ms: Infinity, burst: 1, isByKey: true as const },
    ];
    const text = announcement("shop", "billing", "a.B", { ...DEFAULT_RETRY, limits });
    assertEquals([text, isAnnounced(text)], [
      "billing/a.B/10,1000,300000/,5,,,1;bank,,100,1000,10;account,1,,,1,key",
      true,
    ]);
    assertEquals(readAnnouncement("shop", text).retry, { ...DEFAULT_RETRY, limits });
    assertEquals(internalNames("shop", text), internalNames("shop", "billing/a.B"));
    const nine = Array(9).fill(",5,,,1").join(";");
    const wrong = [
      "",
      ",5,,,",
      ",0,,,1",
      ",5,0,1,1",
      ",5,,,0",
      "a b,5,,,1",
      ",5,,,1;",
      ",1e3,,,1",
      ",5,,,1/",
      ",5,,,1,",
      ",5,,,1,a b",
      ",5,,,1,key,",
      nine,
    ];
    assertEquals(wrong.filter((each) => isAnnounced(`billing/a.B/10,1000,300000/${each}`)), []);
  });

  it("reads a limit with members that only a newer version knows as one of all messages, and who shares", () => {
    const numbers = { name: "a", running: 5, count: Infinity, ms: Infinity, burst: 1 };
    for (const words of ["key,soft", "soft", "soft:3,key"]) {
      const text = `billing/a.B/10,1000,300000/a,5,,,1,${words}`;
      assertEquals(isAnnounced(text), true);
      assertEquals(readAnnouncement("shop", text).retry.limits, [{ ...numbers, isNewer: true }]);
    }
    const fair = announcement("shop", "billing", "a.B", { ...DEFAULT_RETRY, fair: {} });
    assertEquals([fair, isAnnounced(fair)], ["billing/a.B/10,1000,300000//fair", true]);
    assertEquals(readAnnouncement("shop", fair).retry, { ...DEFAULT_RETRY, fair: true });
    const limited = { ...DEFAULT_RETRY, limits: [numbers] };
    const both = announcement("shop", "billing", "a.B", { ...limited, fair: {} });
    assertEquals(readAnnouncement("shop", both).retry, { ...limited, fair: true });
    const newer = readAnnouncement("shop", "billing/a.B/10,1000,300000//soft,fair").retry;
    assertEquals(newer, { ...DEFAULT_RETRY, fair: true });
    for (const wrong of ["", "/", "/fair/", "/a b", "/fair,"]) {
      assertEquals(isAnnounced(`billing/a.B/10,1000,300000/${wrong}`), false, wrong);
    }
  });

  it("of two limits the smaller numbers count, and of two rates the slower one", () => {
    const one = { running: 5, count: 100, ms: 1_000, burst: 10 };
    assertEquals(stricter(one, { running: 3, count: 1_000, ms: 1_000, burst: 2 }), { ...one, running: 3, burst: 2 });
    assertEquals(stricter({ running: 9, count: 1, ms: 60_000, burst: 1 }, one), {
      ...{ running: 5, count: 1, ms: 60_000, burst: 1 },
    });
    const unlimited = { running: Infinity, count: Infinity, ms: Infinity, burst: 1 };
    assertEquals(stricter(unlimited, one), one);
    assertEquals(stricter(one, unlimited), one);
    assertEquals(stricter(unlimited, unlimited), unlimited);
  });

  it("a subscription to events of entities has a name of its own beside that to the log", () => {
    const Placed = entity("Order", { initial: () => 0 }).event("Placed", (state) => state);
    assertEquals(subscriptionName(event("Told", { durable: true }), "billing"), "billing");
    const name = subscriptionName(Placed, "billing");
    assertEquals(name, "billing:entities");
    const text = announcement("shop", name, Placed.name);
    assertEquals(isAnnounced(text), true);
    assertEquals(readAnnouncement("shop", text), {
      ...{ service: "shop", name, category: "Order.Placed" },
      retry: DEFAULT_RETRY,
    });
    assertEquals(internalNames("shop", text).map(isInternalContract), [true, true]);
    assertEquals(["billing:", "billing:other", ":entities"].map((own) => isAnnounced(`${own}/Order.Placed`)), [
      false,
      false,
      false,
    ]);
  });
});
