import { assert, assertEquals, assertMatch } from "@std/assert";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { ADVICE, type Alarm, ALARM_KINDS, alarmsOf, lagOf, nodeLabel, type Observed } from "./alarms.ts";

const NOW = 1_795_000_000_000;
const MINUTE = 60_000;

/** The outbox of a database of which nothing is wrong. */
const STORE = { name: "main", leads: true, oldest: 0, refused: 0, halted: undefined, error: undefined };

/** Each case: the kind and severity of an alarm, and observations from which this alarm must follow. */
const CASES: readonly (readonly [Alarm["kind"], Alarm["severity"], Partial<Observed>])[] = [
  ["disconnected", "error", { disconnected: { since: NOW - 7 } }],
  ["no-node", "error", { contracts: [{ name: "bank.Charge", handlers: 0, last: ["bank/ab12"], waiting: 426 }] }],
  ["subscription-stopped", "error", { subscriptions: [{ label: "a/b", lag: 3, stopped: "no room" }] }],
  ["replica-missing", "error", { streams: [{ name: "log", bytes: 1, limit: -1, replicas: 3, missing: ["n3"] }] }],
  ["store-full", "error", { store: { used: 86, limit: 100 } }],
  ["stream-full", "error", { streams: [{ name: "log", bytes: 86, limit: 100, replicas: 1, missing: [] }] }],
  ["wrong-settings", "error", {
    settings: [{ stream: "log", reason: "the stream log exists", removed: 0, since: NOW }],
  }],
  ["message-expiring", "error", { subscriptions: [{ label: "a/b", lag: 0, ends: 3_600_000 }] }],
  ["node-gone", "error", { nodes: [{ label: "a/1", state: "gone", since: NOW - MINUTE }] }],
  ["node-silent", "error", { nodes: [{ label: "a/1", state: "suspect", since: NOW - 2 }] }],
  ["dead-letters", "error", { letters: [letters("HANDLER_FAILED")] }],
  ["dead-letters", "warning", { letters: [letters("NO_PRINTER")] }],
  ["handler-failing", "error", {
    contracts: [{ name: "C", handlers: 1, last: [], waiting: 0, failures: { HANDLER_FAILED: 2 } }],
  }],
  ["handler-failing", "error", {
    subscriptions: [{ label: "a/b", lag: 0, failing: { contract: "C", code: "HANDLER_FAILED", count: 2 } }],
  }],
  ["handler-hanging", "error", {
    subscriptions: [{ label: "a/b", lag: 0, hanging: { contract: "C", node: "a-1", count: 2, since: NOW - 1 } }],
  }],
  ["loop-blocked", "warning", { blocked: { node: "a/1", contract: "C", ms: 8_210, since: NOW - 1 } }],
  ["version-away", "error", {
    subscriptions: [{ label: "a/b", lag: 0, awaiting: { contract: "C", count: 2, message: "no", since: NOW - 1 } }],
  }],
  ["subscription-abandoned", "warning", { subscriptions: [{ label: "a/b", lag: 3, abandoned: true }] }],
  ["subscription-lagging", "warning", { subscriptions: [{ label: "a/b", lag: 99, growing: true }] }],
  ["paused", "warning", {
    subscriptions: [{ label: "a/b", lag: 99, growing: true, paused: { since: NOW - 1, reason: "the bank is closed" } }],
  }],
  ["outbox-halted", "error", { stores: [{ ...STORE, halted: "an older copy" }] }],
  ["outbox-refused", "error", { stores: [{ ...STORE, refused: 2 }] }],
  ["outbox-late", "error", { stores: [{ ...STORE, oldest: 30_000, error: "ECONNREFUSED" }] }],
  ["run-stuck", "error", { runs: [{ workflow: "W", run: "r", since: NOW - 1, why: "no" }] }],
  ["entity-unreadable", "error", { entities: [{ entity: "Cart", id: "c", since: NOW - 1, why: "its event 1" }] }],
  ["schema-mismatch", "warning", { mismatches: [{ contract: "C", nodes: ["a"], unread: ["x: no"], unreadable: [] }] }],
  ["node-overloaded", "error", { backlog: { node: "a/1", count: 0, since: NOW - 90_000, freed: NOW - 30_000 } }],
  ["node-overloaded", "warning", { backlog: { node: "a/1", count: 206, since: NOW - 10_000, freed: NOW - 90_000 } }],
  ["node-overloaded", "warning", { backlog: { node: "a/1", count: 206, since: NOW - 90_000, freed: NOW - 29_999 } }],
  ["breaker-open", "warning", { breakers: [{ node: "a/1", since: NOW - 1 }] }],
  ["clocks-apart", "warning", { nodes: [{ label: "a/1", state: "live", since: 0, ahead: -3_000 }] }],
];

/** Observations, by a description of them, from which no alarm may follow. */
const QUIET: Readonly<Record<string, Partial<Observed>>> = {
  "messages that have waited for a turn for less than 10 s": {
    backlog: { node: "a/1", count: 206, since: NOW - 9_999, freed: NOW - 90_000 },
  },
  "a node that is there": { nodes: [{ label: "a/1", state: "live", since: 0, ahead: 900 }] },
  "a node that has gone 16 minutes ago": { nodes: [{ label: "a/1", state: "gone", since: NOW - 16 * MINUTE }] },
  "a dead letter of two hours ago": { letters: [letters("HANDLER_FAILED", NOW - 120 * MINUTE)] },
  "a failure that the handler decided on": {
    contracts: [{ name: "C", handlers: 1, last: [], waiting: 0, failures: { SOLD_OUT: 99, OVERLOADED: 1 } }],
  },
  "messages that reached no handler": {
    contracts: [{
      name: "C",
      handlers: 1,
      last: [],
      waiting: 0,
      failures: { INVALID_MESSAGE: 9, ID_REUSED: 9 },
    }],
  },
  "a contract without a node that nobody uses since 16 minutes": {
    contracts: [{ name: "C", handlers: 0, last: ["a/1"], waiting: 0, since: NOW - 16 * MINUTE }],
  },
  "a contract without a node, all of whose nodes have signed off": {
    contracts: [{ name: "C", handlers: 0, last: ["a/1"], waiting: 0, since: NOW - 1, signedOff: true }],
  },
  "a subscription without a node and without a message": { subscriptions: [{ label: "a/b", lag: 0, abandoned: true }] },
  "a stream and a store without a limit": {
    streams: [{ name: "log", bytes: 1e12, limit: -1, replicas: 1, missing: [] }],
    store: { used: 1e12, limit: -1 },
  },
  "a subscription with a lag": { subscriptions: [{ label: "a/b", lag: 5_000 }] },
};

function letters(code: string, last = NOW - MINUTE) {
  return {
    subscription: "a/b",
    contract: "C",
    code,
    why: "TypeError: no",
    cause: "TypeError: no\n    at x",
    count: 3,
    first: last - 9,
    last,
  };
}

const see = (observed: Partial<Observed>, before: readonly Alarm[] = [], now = NOW) =>
  alarmsOf({ now, ...observed }, before);

describe("alarmsOf", () => {
  for (const [kind, severity, observed] of CASES) {
    it(`raises ${kind} as ${severity}, in a sentence, with the page that says what to do`, () => {
      const [alarm, ...more] = see(observed);
      assertEquals([alarm.kind, alarm.severity, more.length], [kind, severity, 0]);
      assert(/^\S+ .*\S$/s.test(alarm.message), alarm.message);
      assertEquals(alarm.docs, `catga docs alarms#${kind}`);
    });
  }

  for (const [what, observed] of Object.entries(QUIET)) {
    it(`is quiet about ${what}`, () => assertEquals(see(observed), []));
  }

  it("says who is missing and how many messages wait", () => {
    const [alarm] = see(CASES[1][2]);
    assertEquals(alarm.message, "Nobody handles bank.Charge: bank/ab12 did, and is gone. Up to 426 messages wait.");
    assertEquals(alarm.count, 426);
  });

  for (
    const [what, more, rest] of [["sent", { wanted: true }, ""], [
      "waiting for",
      { waiting: 1 },
      " 1 message waits.",
    ]] as const
  ) {
    it(`says that the nodes of a contract that is ${what} have signed off`, () => {
      const contract = { name: "C", handlers: 0, last: ["a/1", "a/2"], waiting: 0, signedOff: true, ...more };
      assertEquals(see({ contracts: [contract] }).map(({ message }) => message), [
        `Nobody handles C: a/1, a/2 did, and have signed off.${rest}`,
      ]);
    });
  }

  it("names a workflow that nobody handles, once: not the four contracts by which its runs are driven", () => {
    const contract = { handlers: 0, last: ["shop/a"], since: NOW - 1_000 };
    const alarms = see({
      contracts: ["begun", "called", "due", "join"].map((entry, n) => ({
        ...{ ...contract, name: `shop.Export-run.${entry}`, waiting: n },
        wanted: entry === "begun",
      })),
    });
    assertEquals(alarms.map(({ kind, about, count, message }) => [kind, about, count, message]), [
      [
        "no-node",
        "workflow shop.Export",
        6,
        "Nobody handles workflow shop.Export: shop/a did, and is gone. Up to 6 messages wait.",
      ],
    ]);
    assertEquals(
      see({ contracts: [{ ...contract, name: "Dry-run.Started", waiting: 1 }] })[0].about,
      "Dry-run.Started",
    );
  });

  it("does not blame a handler's code for what a full store refuses, but for what else it fails with", () => {
    const full: Alarm = { ...see(CASES[4][2])[0], message: "The store of NATS is full: nothing more is stored." };
    const failing = (failures: Record<string, number>, others: Alarm[]) =>
      see({ contracts: [{ name: "C", handlers: 1, last: [], waiting: 0, failures }], others })
        .filter(({ kind }) => kind === "handler-failing").map(({ message, count }) => `${message} ${count}`);
    const refused = { UNAVAILABLE: 3, TIMEOUT: 2, OUTCOME_UNKNOWN: 1 };
    assertEquals(failing(refused, []), ["The code that handles C fails (UNAVAILABLE, TIMEOUT, OUTCOME_UNKNOWN). 6"]);
    assertEquals(failing(refused, [full]), []);
    assertEquals(failing({ ...refused, HANDLER_FAILED: 4 }, [full]), [
      "The code that handles C fails (HANDLER_FAILED). 4",
    ]);
  });

  it("says that there may be more dead letters than were read", () => {
    const [{ message }] = see({ letters: [{ ...letters("HANDLER_FAILED"), count: 750, partial: true }] });
    assertMatch(message, /^At least 750 messages of /);
  });

  it("names a NATS server that is away once, and how many streams miss it", () => {
    const stream = { bytes: 1, limit: -1, replicas: 3 };
    const away = (...missing: string[][]) =>
      see({ streams: missing.map((each, at) => ({ ...stream, name: `s${at}`, missing: each })) })
        .map(({ message }) => message);
    assertEquals(away(["n3"], ["n3"], []), [
      "The NATS server n3 is away or behind: 2 streams and buckets have 2 of 3 copies left.",
    ]);
    assertEquals(away(["n1"], ["n2", "n1"]), [
      "The NATS server n1 is away or behind: 2 streams and buckets have 1 of 3 copies left, and cannot be written.",
      "The NATS server n2 is away or behind: stream s1 has 1 of 3 copies left, and cannot be written.",
    ]);
  });

  it("is one for the stuck runs of a workflow, however many there are, since the first", () => {
    const runs = ["a", "b", "c", "d", "e"].map((run, n) => ({
      workflow: "Order",
      run,
      since: NOW - n,
      why: `no ${n}`,
    }));
    const [order, refund, ...more] = see({
      runs: [...runs, { workflow: "Refund", run: "r", since: NOW, why: "busy" }],
    });
    assertEquals([order.about, order.count, order.since, more.length], ["Order", 5, NOW - 4, 0]);
    const text = "5 runs of the workflow Order do not go on by themselves: a, b, c and 2 more. Why the first: no 0";
    assertEquals(order.message, text);
    assertEquals(refund.message, "The run r of the workflow Refund does not go on by itself: busy");
  });

  it("has the time of the observation, or else when the alarm was raised first; it begins anew after it was over", () => {
    assertEquals(see(CASES[0][2])[0].since, NOW - 7);
    const first = see(CASES[4][2]);
    const second = see(CASES[4][2], first, NOW + 5_000);
    assertEquals([first[0].since, second[0].since], [NOW, NOW]);
    assertEquals(see(CASES[4][2], see({}, second), NOW + 9_000)[0].since, NOW + 9_000);
  });

  it("has errors before warnings, and what stands still before what fails", () => {
    const all = see(
      Object.assign({}, ...CASES.filter(([kind]) => kind !== "replica-missing").map(([, , seen]) => seen)),
    );
    const severities = all.map(({ severity }) => severity);
    assertEquals(severities, [...severities].sort());
    assertEquals(all[0].kind, "disconnected");
  });

  it("takes alarms of other observers, each once", () => {
    const [other] = see(CASES[2][2]);
    assertEquals(see({ ...CASES[2][2], others: [other] }).length, 1);
    assertEquals(see({ others: [other] }), [other]);
  });

  it("joins what several senders see of versions of a contract that do not fit", () => {
    const from = (sender: string) =>
      see({ mismatches: [{ contract: "C", nodes: ["b"], unread: ["x: no"], unreadable: [], sender }] })[0];
    const sees = (...others: Alarm[]) => see({ others }).map(({ count, message }) => [count, message]);
    const one = "Programs run with versions of C that do not fit: what a1 sends, b would refuse: x: no";
    assertEquals(sees(from("a1"), from("a1")), [[1, `${one}.`]]);
    assertEquals(sees(from("a1"), from("a2")), [[2, `${one}; what a2 sends, b would refuse: x: no.`]]);
    assertEquals(sees(...["a1", "a2", "a3", "a4", "a5"].map(from))[0][0], 4);
  });

  it("each kind has advice, and a section of the docs", async () => {
    const page = await readFile(new URL("../../../docs/alarms.md", import.meta.url), "utf8");
    const sections = [...page.matchAll(/^## (.*)$/gm)].map(([, title]) => title);
    assertEquals(ALARM_KINDS.filter((kind) => !sections.includes(kind)), []);
    assertEquals(Object.keys(ADVICE).sort(), [...ALARM_KINDS].sort());
  });
});

describe("lagOf", () => {
  it("counts how often in a row a lag has grown in 10 s; one that falls, or is small, begins anew", () => {
    let lag = lagOf(undefined, 10, 0);
    const grown = [20, 30, 40, 40, 50, 0, 3, 5].map((value, i) => (lag = lagOf(lag, value, (i + 1) * 10_000)).grown);
    assertEquals(grown, [1, 2, 3, 0, 1, 0, 0, 0]);
    assertEquals(lagOf(lag, 99, 80_500), lag);
  });
});

describe("nodeLabel", () => {
  it("is an id that names its service, or else the service, and the beginning of an id that was drawn", () => {
    assertEquals(nodeLabel({ service: "payments", id: "a-1" }), "payments/a-1");
    assertEquals(nodeLabel({ service: "payments", id: "YnsfMqdDRv" }), "payments/Ynsf");
    assertEquals(nodeLabel({ service: "payments", id: "payments-1" }), "payments-1");
  });
});
