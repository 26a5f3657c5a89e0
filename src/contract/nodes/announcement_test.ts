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
