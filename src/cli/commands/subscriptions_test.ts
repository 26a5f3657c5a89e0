import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { SubscriptionInfo } from "../../../mod.ts";
import { behindText, pausedText, skippedText } from "./subscriptions.ts";

describe("behindText", () => {
  it("names the key that a subscription has left furthest behind, and says how many others there are", () => {
    const info = { service: "shop", name: "billing", contracts: ["Paid"], position: 9, lag: 0, open: 0, oldest: 0 };
    const text = (count?: number) => {
      const behind = count === undefined ? undefined : { count, contract: "Paid", key: "a b" };
      const rest = { retrying: 0, dead: 0, leader: undefined, abandoned: false, requested: false };
      return behindText({ ...info, ...rest, behind });
    };
    const whose = 'shop/billing: later messages of Paid with the key "a b"';
    assertEquals([undefined, 1, 2, 3].map(text), [
      undefined,
      `${whose} stay in the log until there is room for them`,
      `${whose} and of 1 other key stay in the log until there is room for them`,
      `${whose} and of 2 other keys stay in the log until there is room for them`,
    ]);
  });
});

describe("pausedText", () => {
  it("says since when, until when and why a subscription is paused", () => {
    const info = { service: "shop", name: "billing", contracts: ["Paid"], position: 9, lag: 0, open: 0, oldest: 0 };
    const rest = { retrying: 0, dead: 0, leader: undefined, abandoned: false, requested: false };
    const text = (paused: SubscriptionInfo["paused"]) => pausedText({ ...info, ...rest, paused });
    assertEquals([undefined, { since: 0 }, { since: 0, until: 60_000, reason: "closed" }].map(text), [
      undefined,
      "shop/billing: paused by an operator since 1970-01-01T00:00:00.000Z",
      "shop/billing: paused by an operator since 1970-01-01T00:00:00.000Z, until 1970-01-01T00:01:00.000Z: closed",
    ]);
  });
});

describe("skippedText", () => {
  it("says how many messages limits have skipped", () => {
    const info = { service: "shop", name: "billing", contracts: ["Paid"], position: 9, lag: 0, open: 0, oldest: 0 };
    const rest = { retrying: 0, dead: 0, leader: undefined, abandoned: false, requested: false };
    assertEquals([undefined, 1, 2].map((skipped) => skippedText({ ...info, ...rest, skipped })), [
      undefined,
      "shop/billing: 1 message skipped by `over` of its limits so far",
      "shop/billing: 2 messages skipped by `over` of its limits so far",
    ]);
  });
});
