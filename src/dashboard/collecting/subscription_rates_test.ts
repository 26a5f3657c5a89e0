import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { SubscriptionInfo } from "../../contract/calls/durable_messages.ts";
import { positionOf } from "../../log/format/group_text.ts";
import { SubscriptionRates } from "./subscription_rates.ts";

/** Makes a subscription that has read the log up to the message of this sequence. */
function at(sequence: number, more: Partial<SubscriptionInfo> = {}): SubscriptionInfo {
  const names = { service: "shop", name: "billing", contracts: ["Placed"], leader: "a", abandoned: false };
  return {
    ...names,
    requested: false,
    position: positionOf(sequence, 3),
    lag: 0,
    open: 0,
    oldest: 0,
    retrying: 0,
    dead: 0,
    ...more,
  };
}

describe("SubscriptionRates", () => {
  it("rate: messages of the log that were read since the last time, a second, of each subscription", () => {
    const rates = new SubscriptionRates();
    assertEquals(rates.view(at(1_000), 0).rate, 0);
    assertEquals(rates.view(at(50, { name: "mails" }), 0).rate, 0);
    assertEquals(rates.view(at(1_025), 2_000).rate, 12.5);
    assertEquals(rates.view(at(51, { name: "mails" }), 3_000).rate, 0.3);
    assertEquals(rates.view(at(1_025), 4_000).rate, 0);
  });

  it("a pause has a reason only if its operator has given one", () => {
    const rates = new SubscriptionRates();
    const pauses = [{ since: 7 }, { since: 7, reason: "the bank is closed" }];
    assertEquals(pauses.map((paused) => rates.view(at(1, { paused }), 0).paused), pauses);
  });

  it("rate: two views within 0.2 s show the same one, and lose nothing of the next", () => {
    const rates = new SubscriptionRates();
    rates.view(at(100), 0);
    assertEquals(rates.view(at(110), 1_000).rate, 10);
    assertEquals(rates.view(at(130), 1_100).rate, 10);
    assertEquals(rates.view(at(130), 2_000).rate, 20);
  });

  it("rate: is 0 for the first read of a stream, and for one that began again", () => {
    const rates = new SubscriptionRates();
    rates.view(at(0), 0);
    assertEquals(rates.view(at(1_700_000_000_000), 1_000).rate, 0);
    assertEquals(rates.view(at(1_700_000_000_005), 2_000).rate, 5);
    assertEquals(rates.view(at(1_600_000_000_000), 3_000).rate, 0);
  });

  it("lags: one each 10 s, the last 90 of them, oldest first", () => {
    const rates = new SubscriptionRates();
    for (let second = 0; second < 5; second++) rates.view(at(1, { lag: 7 + second }), 1_000 * second);
    assertEquals(rates.view(at(1, { lag: 50 }), 9_999).lags, [7]);
    assertEquals(rates.view(at(1, { lag: 60 }), 10_000).lags, [7, 60]);
    let lags: readonly number[] = [];
    for (let n = 2; n < 100; n++) lags = rates.view(at(1, { lag: n }), 10_000 * n).lags;
    assertEquals([lags.length, lags[0], lags.at(-1)], [90, 10, 99]);
  });

  it("rounds the age of the oldest message, and makes all names safe", () => {
    const hostile = at(1, {
      service: "\x1b",
      leader: "\n",
      contracts: new Array(30).fill("\u202e"),
      oldest: 300.4,
      retrying: 1,
      dead: 2,
    });
    const view = new SubscriptionRates().view(hostile, 0);
    assertEquals([view.oldest, view.retrying, view.dead], [300, 1, 2]);
    assertEquals([view.service, view.leader], ["\\u{1b}", "\\u{a}"]);
    assertEquals(view.contracts, new Array(20).fill("\\u{202e}"));
    assertEquals(new SubscriptionRates().view(at(1, { leader: undefined }), 0).leader, undefined);
  });
});
