import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import type { Alarm } from "../contract/alarms.ts";
import { AlarmBoard } from "./alarm_board.ts";
import type { RunView } from "./view.ts";

const stuck = (id: string): RunView => ({
  key: id,
  ...{ workflow: "Order", id, status: "stuck", startedAt: 1, since: 2, pending: "charge", steps: ["charge"] },
  timeline: "",
});
const said = (id: string): Alarm => ({
  ...{ kind: "run-stuck", about: `Order ${id}`, severity: "error", message: "it is stuck", since: 1, count: 1 },
  docs: "",
});

describe("AlarmBoard", () => {
  it("a run that is stuck is an alarm until it goes on, also when its node still says that it is stuck", () => {
    const board = new AlarmBoard();
    const shown = () => board.view(9).map(({ kind, about }) => `${kind} ${about}`);
    board.others = [said("1"), said("2"), { ...said("a"), kind: "breaker-open", about: "a" }];
    assertEquals(shown(), ["run-stuck Order 1", "run-stuck Order 2", "breaker-open a"]); // runs were not read yet
    board.runs = [stuck("2")];
    assertEquals(shown(), ["run-stuck Order 2", "breaker-open a"]);
    board.runs = [];
    assertEquals(shown(), ["breaker-open a"]);
  });

  it("a message expires after 7 days; one that is older is kept for longer, and does not", () => {
    const board = new AlarmBoard();
    const kinds = (days: number) => {
      const info = { service: "shop", name: "mails", contracts: [], position: 1, lag: 1, retrying: 0, dead: 0 };
      const known = { ...info, oldest: days * 86_400_000, leader: "a", abandoned: false, requested: false };
      board.subscriptions(9, [known], []);
      return board.view(9).map(({ kind }) => kind);
    };
    assertEquals([5, 6, 40].map(kinds), [[], ["message-expiring"], []]);
  });
});
