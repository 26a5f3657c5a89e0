import { assertEquals, assertMatch } from "@std/assert";
import { describe, it } from "node:test";
import { command, event, unwrap, workflow } from "../../mod.ts";
import type { NodeInfo, SubscriptionHealth } from "../contract/nodes/node_info.ts";
import { CatgaError } from "../error.ts";
import { VirtualClock } from "../memory/virtual_clock.ts";
import { testCluster } from "../testing/mod.ts";
import { NodeAlarms } from "./node_alarms.ts";

const MINUTE = 60_000;

function node(id: string, handles: readonly string[]): NodeInfo {
  const times = { startedAt: 0, lastSeen: 0, protocol: 1, version: "1", server: "" };
  return {
    id,
    endpoint: `${id}.1`,
    service: "bank",
    handles,
    metadata: {},
    load: { inFlight: 0, queued: 0 },
    ...times,
  };
}

const led: SubscriptionHealth = {
  ...{ service: "shop", name: "mails", state: "leading", open: 0, lag: 0, oldest: 0, retrying: 0, dead: 0 },
};

function setUp() {
  const clock = new VirtualClock();
  const own = node("own", []);
  let nodes: readonly NodeInfo[] = [own];
  const alarms = new NodeAlarms(clock, own, () => nodes);
  const see = (known: { nodes?: readonly NodeInfo[]; subscriptions?: readonly SubscriptionHealth[] } = {}) => {
    nodes = known.nodes ?? [own];
    return alarms.alarms(known.subscriptions ?? []).map(({ kind, about }) => `${kind} ${about}`);
  };
  /** Reports the change of a node, while `others` are the other live nodes. Nobody reads the alarms meanwhile. */
  const change = (change: "join" | "suspect" | "leave" | "lost", node: string, others: readonly NodeInfo[]) => {
    nodes = [own, ...others];
    alarms.take({ type: "node", change, node });
  };
  return { clock, alarms, own, see, change };
}

describe("NodeAlarms", () => {
  it("a lost connection is one until it is back", () => {
    const { alarms, see } = setUp();
    alarms.take({ type: "connection", state: "disconnected", generation: 1 });
    assertEquals(see(), ["disconnected NATS"]);
    alarms.take({ type: "connection", state: "connected", generation: 2 });
    assertEquals(see(), []);
  });

  it("a contract that a node handled which is lost is one, until another handles it, for 15 minutes", async () => {
    const { clock, alarms, own, see } = setUp();
    const payments = node("YnsfMqdDRv", ["bank.Charge"]);
    assertEquals(see({ nodes: [own, payments] }), []);
    alarms.take({ type: "node", change: "lost", node: payments.id });
    assertEquals(see(), ["no-node bank.Charge", "node-gone bank/Ynsf"]);
    assertEquals(alarms.alarms([])[0].message, "Nobody handles bank.Charge: bank/Ynsf did, and is gone.");
    assertEquals(see({ nodes: [own, node("other", ["bank.Charge"])] }), ["node-gone bank/Ynsf"]);
    alarms.take({ type: "node", change: "lost", node: "other" });
    assertEquals(see()[0], "no-node bank.Charge");
    await clock.advance(16 * MINUTE);
    assertEquals(see(), []);
  });

  it("after an ordinary shutdown there is none: those who handled a contract last have signed off", () => {
    const { own, see, change } = setUp();
    const [a, b] = [node("a", ["Charge"]), { ...node("b", ["Charge"]), startedAt: 1 }];
    change("suspect", "a", [a, b]);
    change("lost", "a", [b]);
    change("suspect", "b", [b]);
    change("join", "b", [b]);
    change("leave", "b", []);
    assertEquals(see({ nodes: [own] }), []);
  });

  it("a node that is lost is gone, until another of its service joins, for 15 minutes", async () => {
    const { clock, alarms, own, see, change } = setUp();
    const [a, b] = [node("a", ["Charge"]), node("b", [])];
    const late = { ...node("late", ["Charge"]), startedAt: -1 }; // a node whose clock is behind
    const other = { ...node("other", []), service: "shop", startedAt: 1 };
    change("suspect", "a", [a, b]);
    assertEquals(see({ nodes: [own, a, b] }), []);
    change("lost", "a", [b]);
    assertEquals(see({ nodes: [own, b] }), ["no-node Charge", "node-gone bank/a"]);
    assertEquals(
      alarms.alarms([])[1].message,
      "The program bank/a is gone without signing off: it crashed, was killed, froze, or is cut off.",
    );
    change("join", "other", [b, other]);
    assertEquals(see({ nodes: [own, b, other] }), ["no-node Charge", "node-gone bank/a"]);
    change("join", "late", [b, late]);
    assertEquals(see({ nodes: [own, b, late] }), []);
    change("suspect", "b", [b]);
    change("lost", "b", []);
    assertEquals(see(), ["node-gone bank/b"]);
    await clock.advance(16 * MINUTE);
    assertEquals(see(), []);
  });

  it("a node that signs off, however long it was silent, or has a replacement already, is not gone", async () => {
    const { clock, own, see, change } = setUp();
    const [a, b, newer] = [node("a", []), node("b", []), { ...node("newer", []), startedAt: 1 }];
    change("suspect", "a", [a, b]);
    await clock.advance(10_000);
    change("leave", "a", [b]);
    assertEquals(see({ nodes: [own, b] }), []);
    change("join", "newer", [b, newer]);
    change("suspect", "b", [b, newer]);
    change("lost", "b", [newer]);
    assertEquals(see({ nodes: [own, newer] }), []);
  });

  it("what the nodes handle is read only while a contract has lost one of them", () => {
    const { alarms, own, see } = setUp();
    const reads = { count: 0 };
    const counted = (info: NodeInfo): NodeInfo => ({
      ...info,
      get handles() {
        reads.count++;
        return info.handles;
      },
    });
    const nodes = [own, counted(node("a", ["Charge"])), counted(node("b", ["Charge"]))];
    for (let n = 0; n < 3; n++) see({ nodes });
    assertEquals(reads.count, 0);
    alarms.take({ type: "node", change: "lost", node: "b" });
    reads.count = 0;
    for (let n = 0; n < 3; n++) assertEquals(see({ nodes: nodes.slice(0, 2) }), ["node-gone bank/b"]);
    assertEquals(reads.count, 1);
  });

  it("a breaker that is open is one until it closes, or its node leaves", () => {
    const { alarms, own, see } = setUp();
    see({ nodes: [own, node("b", [])] });
    alarms.take({ type: "breaker", node: "b", state: "open" });
    alarms.take({ type: "breaker", node: "b", state: "half-open" });
    assertEquals(see(), ["breaker-open bank/b"]);
    alarms.take({ type: "breaker", node: "b", state: "closed" });
    assertEquals(see(), []);
    alarms.take({ type: "breaker", node: "b", state: "open" });
    alarms.take({ type: "node", change: "leave", node: "b" });
    assertEquals(see(), []);
  });

  it("messages that wait for a turn of this node are one after 10 s, and since when they do", async () => {
    const { clock, alarms } = setUp();
    await clock.advance(5_000);
    const backlog = { count: 206, since: clock.monotonic(), endedAt: clock.monotonic() };
    const [began, seen] = [clock.now(), () => alarms.alarms([], backlog)];
    await clock.advance(9_999);
    assertEquals(seen(), []);
    await clock.advance(1);
    const [{ kind, about, since, count, message }] = seen();
    assertEquals([kind, about, since, count], ["node-overloaded", "bank/own", began, 206]);
    assertEquals(message, "All turns of bank/own are taken. Messages of other programs that wait: 206.");
    await clock.advance(20_000);
    const [{ severity, message: later }] = seen();
    const still = "All turns of bank/own are taken, and none has become free for 30 s.";
    assertEquals([severity, later], ["error", `${still} Messages of other programs that wait: 206.`]);
    assertEquals(alarms.alarms([]), []);
  });

  it("a subscription that stands still says why, with the cause of its last failure", () => {
    const { alarms, see } = setUp();
    alarms.take({ type: "subscription", subscription: "shop/mails", state: "stopped", reason: "10,000 are put aside" });
    assertEquals(see({ subscriptions: [led] }), []); // no alarm: the subscription continues already
    const lastFailure = {
      contract: "Placed",
      id: "m",
      code: "HANDLER_FAILED",
      message: "it threw",
      cause: "TypeError: no",
      at: 0,
    };
    const stopped: SubscriptionHealth = { ...led, state: "stopped", lastFailure };
    const [alarm] = alarms.alarms([stopped]);
    assertEquals(alarm.message, "shop/mails handles nothing any more: 10,000 are put aside");
    assertEquals(alarm.cause, "HANDLER_FAILED: it threw\nTypeError: no");
  });

  it("messages that no node handles are one, by their contract, until one does", () => {
    const { alarms, see } = setUp();
    const [alarm] = alarms.alarms([{ ...led, unhandled: { Placed: 3 } }]);
    assertEquals([alarm.kind, alarm.about, alarm.severity, alarm.count], ["no-node", "Placed", "error", 3]);
    assertMatch(alarm.message, /^Nobody handles Placed\. Up to 3 messages wait/);
    assertEquals(see({ subscriptions: [led] }), []);
  });

  it("new dead letters are one until none is left, and after an hour no more", async () => {
    const { clock, alarms, see } = setUp();
    const letter = { contract: "Placed", id: "m", attempts: 3, message: "it threw" };
    const take = () =>
      alarms.take({ type: "dead-letter", subscription: "shop/mails", code: "HANDLER_FAILED", ...letter });
    take();
    take();
    assertEquals(alarms.alarms([{ ...led, dead: 2 }]).map(({ count }) => count), [2]);
    await clock.advance(61 * MINUTE);
    assertEquals(see({ subscriptions: [{ ...led, dead: 2 }] }), []);
    take();
    assertEquals(see({ subscriptions: [{ ...led, dead: 3 }] }).length, 1);
    assertEquals(see({ subscriptions: [led] }), []);
  });

  it("dead letters say what their handler threw, alike for each of them", () => {
    const { alarms } = setUp();
    const failed = { subscription: "shop/mails", contract: "Placed", attempts: 3, code: "HANDLER_FAILED" };
    const say = (id: string, cause?: string) => {
      alarms.take({ type: "dead-letter", ...failed, id, message: `it threw (message ${id})`, cause });
      return alarms.alarms([{ ...led, dead: 9 }]).map(({ about, message, cause }) => ({ about, message, cause }));
    };
    const thrown = "TypeError: no card\n    at pay";
    const [first] = say("1", thrown);
    assertEquals(first.about, "shop/mails Placed HANDLER_FAILED its handler or a behavior threw");
    assertMatch(first.message, /^1 message of Placed could not be handled by .*: its handler or a behavior threw$/);
    assertEquals(say("2", thrown).map(({ about, cause }) => [about, cause]), [[first.about, thrown]]);
    assertEquals(say("3")[0].cause, "HANDLER_FAILED: it threw (message 3)");
  });

  it("a lag that grows for half a minute is one", async () => {
    const { clock, see } = setUp();
    const lags = [10, 20, 30, 40, 30];
    const seen: number[] = [];
    for (const lag of lags) {
      seen.push(see({ subscriptions: [{ ...led, lag }] }).length);
      await clock.advance(10_000);
    }
    assertEquals(seen, [0, 0, 0, 1, 0]);
  });

  it("a store that refuses writes for want of room is one until it has refused none for 15 s", async () => {
    const { clock, alarms, see } = setUp();
    const fault = (refusal: string) => {
      const cause = Object.assign(new Error("insufficient resources (10023)"), { refusal });
      const error = new CatgaError("UNAVAILABLE", "the bucket takes no writes: raise max_file_store", { cause });
      alarms.take({ type: "fault", during: "refreshing this node's record", error });
    };
    fault("busy");
    assertEquals(see(), []);
    fault("full");
    await clock.advance(10_000);
    fault("full");
    await clock.advance(10_000);
    const [alarm] = alarms.alarms([]);
    assertEquals([alarm.kind, alarm.severity, clock.now() - alarm.since], ["store-full", "error", 20_000]);
    assertEquals(alarm.cause, "the bucket takes no writes: raise max_file_store");
    await clock.advance(6_000);
    assertEquals(see(), []);
  });

  it("a message that ends unhandled soon is one as long as it is not handled (for 15 minutes more, where others came)", () => {
    const { alarms, see } = setUp();
    const busy: SubscriptionHealth = { ...led, open: 1, oldest: 9 };
    const [{ kind, message }] = alarms.alarms([{ ...busy, ends: 30_000 }]);
    const text = "The oldest message that shop/mails has not handled will be deleted in 1 minute.";
    assertEquals([kind, message], ["message-expiring", text]);
    assertEquals(see({ subscriptions: [busy] }), []);
  });

  it("what a program throws whose members throw is none (it ended the process)", () => {
    const { alarms, see } = setUp();
    const error = Object.defineProperty(new Error("unreadable"), "cause", {
      get() {
        throw new Error("a trap");
      },
    });
    alarms.take({ type: "fault", during: "telling a behavior what happened", error });
    assertEquals(see(), []);
  });
});

describe("alarms between two attempts", () => {
  it("stand as long as their cause, however far apart the attempts are (in 8 of 15 looks there was none)", async () => {
    const Draft = command("Draft", { idempotent: true });
    const Bill = workflow("Bill");
    const Sold = event("Sold", { durable: true });
    let isBroken = true;
    const work = () => {
      if (isBroken) throw new Error('relation "invoice" does not exist');
    };
    const handlers = [
      Draft.handle(work),
      Bill.handle(async (flow) => void await flow.send(Draft)),
      Sold.on(work, { name: "sink" }),
    ];
    await using cluster = await testCluster(1, { handlers });
    const app = cluster.app("node-1");
    unwrap(await app.start(Bill, undefined, { id: "b-1" }));
    unwrap(await app.publish(Sold));
    const failing = () =>
      app.health().alarms.flatMap(({ kind, about, cause = "" }) =>
        kind === "handler-failing" && cause.includes("invoice") ? [about] : []
      ).sort();
    await app.clock.sleep(2_000);
    for (let look = 0; look < 60; look++) {
      assertEquals(failing(), ["Sold", "workflow Bill"], `after ${2 + look} s`);
      await app.clock.sleep(1_000);
    }
    isBroken = false;
    await app.clock.sleep(600_000);
    assertEquals(failing(), []);
  });
});
