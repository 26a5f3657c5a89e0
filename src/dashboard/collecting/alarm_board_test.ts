import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Alarm } from "../../contract/nodes/alarms.ts";
import { AlarmBoard } from "./alarm_board.ts";
import { ContractRates } from "./contract_rates.ts";
import type { RunView } from "../view.ts";

const stuck = (id: string): RunView => ({
  key: id,
  ...{
    workflow: "Order",
    id,
    status: "stuck",
    stage: "",
    startedAt: 1,
    since: 2,
    pending: "charge",
    steps: ["charge"],
  },
  timeline: "",
});
const said = (workflow: string): Alarm => ({
  ...{ kind: "run-stuck", about: workflow, severity: "error", message: "it is stuck", since: 1, count: 1 },
  docs: "",
});

describe("AlarmBoard", () => {
  it("a run that is stuck is an alarm until it goes on, also when its node still says that it is stuck", () => {
    const board = new AlarmBoard();
    const shown = () => board.view(9).map(({ kind, about }) => `${kind} ${about}`);
    board.others = [said("Order"), said("Refund"), { ...said("a"), kind: "breaker-open" }];
    // the board has no runs yet, so the nodes' alarms count
    assertEquals(shown(), ["run-stuck Order", "run-stuck Refund", "breaker-open a"]);
    board.runs = { runs: [stuck("2")], more: false };
    assertEquals(shown(), ["run-stuck Order", "breaker-open a"]);
    board.runs = { runs: [], more: false };
    assertEquals(shown(), ["breaker-open a"]);
  });

  it("an alarm begins when a node saw its cause first, not when the page was opened", () => {
    const board = new AlarmBoard();
    const failing = { kind: "handler-failing", about: "Pay" } as const;
    board.others = [{ ...said("Pay"), ...failing, since: 3 }, { ...said("Pay"), ...failing, since: 2 }];
    const handlers = { now: ["a"], last: [], since: 1, signedOff: false };
    const rate = { failures: { HANDLER_FAILED: 1 }, wanted: true };
    board.contracts(new Map([["Pay", handlers]]), new Map([["Pay", rate]]));
    assertEquals(board.view(9).map(({ kind, since }) => [kind, since]), [["handler-failing", 2]]);
  });

  it("a message or a run that waits for its next attempt is an alarm", () => {
    const board = new AlarmBoard();
    const parked = { service: "bills", subscription: "sink", position: 1, id: "1", contract: "Sold", attempts: 3 };
    const failed = { code: "HANDLER_FAILED", error: "it threw", cause: "Error: no table" };
    board.retries = [{ ...parked, key: undefined, ...failed, due: 300_000 }];
    board.retriedRuns = [{ about: "workflow Bill", count: 2, code: "TIMEOUT", message: "it took 30 s", since: 5 }];
    assertEquals(board.view(9).map(({ about, message, cause }) => [about, message, cause]), [
      [
        "workflow Bill",
        "The code that handles workflow Bill fails (TIMEOUT): 2 runs wait for the next attempt. Why the first: it took 30 s",
        undefined,
      ],
      [
        "Sold",
        "The code that handles Sold fails (HANDLER_FAILED): 1 message in bills/sink waits for the next attempt. " +
        "Why the first: it threw",
        "HANDLER_FAILED: it threw\nError: no table",
      ],
    ]);
    board.retries = [{ ...parked, key: undefined, ...failed, code: "NOT_YET", due: 300_000 }];
    board.retriedRuns = [];
    assertEquals(board.view(9), []); // the handler decided so
  });

  it("says of runs that are stuck that there are more than it knows", () => {
    const board = new AlarmBoard();
    board.runs = { runs: [stuck("2"), stuck("3")], more: true };
    assertEquals(board.view(9)[0].message.slice(0, 37), "At least 2 runs of the workflow Order");
  });

  it("a contract whose last nodes have signed off is no alarm, though they were gone before their record was", () => {
    const board = new AlarmBoard();
    const raised = (signedOff: boolean, wanted: boolean) => {
      const handlers = { now: [], last: ["shop/a"], since: 1, signedOff };
      board.contracts(new Map([["Price", handlers]]), new Map([["Price", { failures: {}, wanted, cause: "" }]]));
      return board.view(9).map(({ message }) => message);
    };
    assertEquals(raised(false, false), ["Nobody handles Price: shop/a did, and is gone."]);
    assertEquals(raised(true, false), []);
    assertEquals(raised(true, true), ["Nobody handles Price: shop/a did, and has signed off."]);
  });

  it("a handler of requests that fails is an alarm with the last failure (it named the codes alone)", () => {
    const board = new AlarmBoard();
    const rates = new ContractRates();
    const take = (failed: Record<string, number>, failure?: string) => {
      const counts = { handled: 9, inHand: 0, queued: 0, sent: 0, heard: 0, published: 0, sendFailed: {}, latency: [] };
      const before = { name: "Price", kind: "query", failed: {}, ...counts } as const;
      const now = { ...before, failed, ...(failure === undefined ? {} : { failure }) };
      rates.take({ endpoint: "a.1", contracts: [now] }, { contracts: [before], moreContracts: 0 });
      const handlers = { now: ["a"], last: [], since: 1, signedOff: false };
      board.contracts(new Map([["Price", handlers]]), rates.observed);
      return board.view(9).map(({ kind, cause }) => `${kind}: ${cause}`);
    };
    assertEquals(take({ HANDLER_FAILED: 2 }, "HANDLER_FAILED: it threw"), [
      "handler-failing: HANDLER_FAILED: it threw",
    ]);
    // a node of an older version sends no text of its last failure
    assertEquals(take({ TIMEOUT: 1 }), ["handler-failing: HANDLER_FAILED: it threw"]);
  });

  it("what waits for a subscription that no program has is an alarm, and nothing else of it", () => {
    const board = new AlarmBoard();
    const raised = (more: { lag?: number; open?: number; retrying?: number }) => {
      const info = { service: "shop", name: "mails", contracts: [], position: 1, lag: 0, retrying: 0, dead: 0 };
      const known = { ...info, open: 0, oldest: 0, leader: undefined, abandoned: true, requested: false, ...more };
      board.subscriptions(9, [known], []);
      return board.view(9).map(({ message }) => message);
    };
    assertEquals(raised({}), []);
    assertEquals(raised({ lag: 2, retrying: 1 }), [
      "No running program has the subscription shop/mails. Up to 3 messages wait.",
    ]);
    // regression: no alarm was raised for messages that the program had begun when it crashed, because no count
    // included them
    assertEquals(raised({ open: 4 }), ["No running program has the subscription shop/mails. Up to 4 messages wait."]);
  });

  it("a subscription that an operator has paused is one alarm, with its reason, and does not fall behind", () => {
    const board = new AlarmBoard();
    const info = {
      service: "shop",
      name: "mails",
      contracts: [],
      position: 1,
      retrying: 1,
      dead: 0,
      open: 2,
      oldest: 0,
    };
    const paused = { since: 7, reason: "the bank\nis closed" };
    for (let n = 0; n < 9; n++) {
      const known = { ...info, lag: 100 * n, leader: "a", abandoned: false, requested: false, paused };
      board.subscriptions(10_000 * n, [known], []);
    }
    const [{ kind, message, since, count }, ...others] = board.view(90_000);
    assertEquals([others, kind, since, count], [[], "paused", 7, 803]);
    assertEquals(
      message,
      "An operator has paused shop/mails: the bank\\u{a}is closed. Up to 803 messages wait.",
    );
  });

  it("a message expires when its own time is over, however old it is (after 7 days, those that stay for good, too)", () => {
    const board = new AlarmBoard();
    const kinds = (ends?: number) => {
      const info = {
        service: "shop",
        name: "mails",
        contracts: [],
        position: 1,
        lag: 1,
        retrying: 0,
        dead: 0,
        open: 0,
      };
      const known = { ...info, oldest: 6 * 86_400_000, ends, leader: "a", abandoned: false, requested: false };
      board.subscriptions(9, [known], []);
      return board.view(9).map(({ kind }) => kind);
    };
    assertEquals([kinds(), kinds(60_000)], [[], ["message-expiring"]]);
  });
});
