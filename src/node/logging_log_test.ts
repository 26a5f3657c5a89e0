/**
 * Tests of the log lines about subscriptions and messages, which operators read: each says what happened, to what, and
 * what to do.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Observation } from "../contract/nodes/observer.ts";
import { CatgaError } from "../error.ts";
import { logTo } from "./logging.ts";

const subscription = "shop/billing";
const about = { subscription, contract: "Booked", id: "m1" };

/** Returns the log lines for these observations, each with its level. */
function linesOf(...seen: Observation[]): string[] {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => void lines.push(`${level} ${message}`);
  const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
  const observer = logTo(logger, "n1", { monotonic: () => 0 });
  for (const observation of seen) observer(observation);
  return lines;
}

describe("the log's lines for an operator", () => {
  it("a subscription: who leads it, why it stopped or waits, and that nothing is passed over", () => {
    const reason = undefined;
    assertEquals(
      linesOf(
        { type: "subscription", subscription, state: "leading", reason },
        { type: "subscription", subscription, state: "deposed", reason },
        { type: "subscription", subscription, state: "handed over", reason },
        { type: "subscription", subscription, state: "stopped", reason: "the store is full" },
        { type: "subscription", subscription, state: "going on", reason },
        { type: "subscription", subscription, state: "waiting", reason: "no live node handles Booked: start one" },
        { type: "subscription", subscription, state: "waiting", reason: "Booked failed (TIMEOUT: the bank)" },
        { type: "subscription", subscription, state: "rewound", reason: "to 4096" },
      ),
      [
        "info catga n1: subscription shop/billing is led by this node",
        "info catga n1: subscription shop/billing is led by another node",
        "info catga n1: subscription shop/billing is handed over",
        "warn catga n1: subscription shop/billing has stopped: the store is full. Nothing is passed over; it goes on by itself when it can",
        "info catga n1: subscription shop/billing goes on",
        "warn catga n1: subscription shop/billing waits: no live node handles Booked: start one",
        "warn catga n1: subscription shop/billing waits: Booked failed (TIMEOUT: the bank)",
        "info catga n1: subscription shop/billing has gone back in the log: to 4096",
      ],
    );
  });

  it("what fails in the background because the connection is lost is no news", () => {
    const error = new CatgaError("UNAVAILABLE", "the connection to NATS is lost; reconnecting");
    const fault = { type: "fault", during: "renewing the lease of this node", error } as const;
    const bug = { ...fault, error: new TypeError("a bug") };
    const lost = { type: "connection", state: "disconnected", generation: 1 } as const;
    assertEquals(linesOf(lost, fault, bug, { ...lost, state: "connected" }, fault), [
      "warn catga n1: lost the network, reconnecting",
      "debug catga n1: renewing the lease of this node failed (UNAVAILABLE: the connection to NATS is lost; reconnecting)",
      "error catga n1: renewing the lease of this node failed",
      "warn catga n1: connected to the network again",
      "warn catga n1: renewing the lease of this node failed (UNAVAILABLE: the connection to NATS is lost; reconnecting)",
    ]);
  });

  it("a stream that does not answer is one line a minute, whatever needs it", () => {
    let now = 0;
    const levels: string[] = [];
    const at = (level: string) => () => void levels.push(level);
    const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
    const observer = logTo(logger, "n1", { monotonic: () => now });
    const fault = (during: string, message: string, code = "UNAVAILABLE") =>
      observer({ type: "fault", during, error: new CatgaError(code, message) });
    const first = "the stream catga_default_log does not answer: timeout";
    fault("reading of subscription shop/billing", first);
    fault("reading of subscription shop/mails", first);
    fault("writing commits", "the stream catga_default_log: the connection to NATS is lost", "OUTCOME_UNKNOWN");
    fault("reading the record", "the stream catga_default_subscriptions does not answer: timeout");
    fault("refreshing this node's record", "cannot open the bucket catga_default_nodes on 127.0.0.1: timeout");
    now = 61_000;
    fault("reading of subscription shop/mails", first);
    assertEquals(levels, ["warn", "debug", "debug", "warn", "warn", "warn"]);
  });

  it("messages that did not run are one line a minute for each contract, not for all events together", () => {
    const levels: string[] = [];
    const at = (level: string) => () => void levels.push(level);
    const logger = { debug: at("debug"), info: at("info"), warn: at("warn"), error: at("error") };
    const observer = logTo(logger, "n1", { monotonic: () => 0 });
    for (const what of ["event Booked", "event Booked", "event Paid", "command Book", "query Rooms"]) {
      const error = new CatgaError("UNAVAILABLE", `${what} did not run on node n1: its turn had not come`);
      observer({ type: "fault", during: what, error });
    }
    assertEquals(levels, ["warn", "debug", "warn", "warn", "warn"]);
  });

  it("an attempt that failed, and a dead letter", () => {
    assertEquals(
      linesOf(
        { type: "message-failed", ...about, attempt: 2, code: "NO_ROOM", pause: 1_499.6 },
        { type: "message-failed", ...about, attempt: 9, code: "NO_ROOM", pause: 299_700 },
        { type: "dead-letter", ...about, attempts: 10, code: "NO_ROOM", message: "the house is full" },
      ),
      [
        "warn catga n1: Booked m1 failed (NO_ROOM) in subscription shop/billing, attempt 2; again in 1500 ms",
        "warn catga n1: Booked m1 failed (NO_ROOM) in subscription shop/billing, attempt 9; again in 300 s",
        "error catga n1: Booked m1 is a dead letter of subscription shop/billing after 10 attempt(s): NO_ROOM the house is full. " +
        "Mend what it failed at, then replay or discard it (catga dead)",
      ],
    );
  });

  it("a part of the log that is lost, by how it was", () => {
    const lost = { type: "log-lost", subscription, after: 90, next: 7 } as const;
    const rest =
      ": subscription shop/billing had read up to sequence 90 and goes on at 7. It has lost the messages between: " +
      "publish those again that have to be handled";
    assertEquals(
      linesOf(
        ...(["remade", "truncated", "replaced", "expired"] as const).map((reason) => ({ ...lost, reason })),
        { ...lost, reason: "expired", count: 3 },
      ),
      [
        `error catga n1: the log was deleted and made again${rest}`,
        `error catga n1: the log ends before what was read: its end is lost${rest}`,
        `error catga n1: the log has other messages than those that were read: it was brought back from a copy${rest}`,
        "error catga n1: messages were removed from the log before they were read" +
        rest.replace(/It has lost.*/, "Messages of its contracts in that range are lost to it: publish these again"),
        "error catga n1: 3 message(s) of subscription shop/billing that were not handled are no longer in the log: publish again " +
        "what has to be handled",
      ],
    );
  });

  it("what ends soon: a message near the end of its keep, and a stream that is nearly full", () => {
    assertEquals(
      linesOf(
        { type: "near-expiry", ...about, left: 5_400_000 },
        { type: "near-expiry", ...about, left: -5 },
        { type: "log-filling", stream: "catga_shop_log", bytes: 900, maxBytes: 1_000, discard: "old" },
        { type: "log-filling", stream: "catga_shop_log", bytes: 900, maxBytes: 2_000, discard: "old" },
        { type: "log-filling", stream: "catga_old_log", bytes: 900, maxBytes: 1_000, discard: "new" },
        { type: "settings", stream: "KV_a", reason: "the bucket a exists with max_age 1", removed: 0 },
        { type: "settings", stream: "KV_a", reason: undefined, removed: 0 },
        { type: "settings", stream: "catga_shop_log", reason: undefined, removed: 1 },
      ),
      [
        "error catga n1: the oldest message of subscription shop/billing (Booked m1) is removed from the log in 90 min, unhandled: " +
        "mend its handlers, or let them catch up",
        "error catga n1: the oldest message of subscription shop/billing (Booked m1) is removed from the log in 0 min, unhandled: " +
        "mend its handlers, or let them catch up",
        "error catga n1: stream catga_shop_log has 900 of 1000 bytes: when it is full, it drops its oldest messages, unhandled " +
        "ones too. Raise its max_bytes",
        "info catga n1: stream catga_shop_log has room again",
        "error catga n1: stream catga_old_log has 900 of 1000 bytes: when it is full, it refuses messages. Raise its " +
        "max_bytes",
        "error catga n1: KV_a has wrong settings: the bucket a exists with max_age 1.",
        "warn catga n1: KV_a has its right settings again.",
        "warn catga n1: catga_shop_log has its right settings again. Up to 1 message was removed since its settings were " +
        "right: publish those again that were not handled.",
      ],
    );
  });

  it("figures of what was stored, handled and skipped are no lines", () => {
    assertEquals(
      linesOf(
        { type: "stored", contract: "Booked", count: 3 },
        { type: "handled", subscription, contract: "Booked", count: 3 },
        { type: "skipped", subscription, contract: "Booked", count: 3 },
      ),
      [],
    );
  });
});
