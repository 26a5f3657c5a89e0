import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { HEAD } from "../../../test/support/commits.ts";
import { Category } from "./category.ts";
import { Ledger } from "./ledger.ts";
import { LimitGate } from "./limit_gate.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const ANY = { running: Infinity, count: Infinity, ms: Infinity, burst: 1 };

describe("a limit", () => {
  it("of a lower rate holds nothing up when a higher one counts, as when the last old version has left", () => {
    const gate = new LimitGate("bank", { ...ANY, count: 1, ms: 3_600_000 }, undefined);
    gate.take(1_000_000);
    assertEquals(gate.due, 1_000_000 + 3_600_000 - 20); // timers may be late
    gate.numbers = { ...ANY, count: 10, ms: 1_000 };
    assertEquals(gate.due, 1_000_000 + 100);
    gate.numbers = ANY;
    assertEquals(gate.due, -Infinity);
    const taken = new LimitGate("bank", { ...ANY, count: 1, ms: 3_600_000 }, 2_000_000);
    taken.numbers = { ...ANY, count: 10, ms: 1_000 };
    assertEquals(taken.due, 2_000_000 + 100);
  });

  it("that several contracts share goes to each of them in turn, however many messages of one wait", () => {
    const gate = new LimitGate("bank", { ...ANY, running: 1 }, undefined);
    const all = new Map(["A", "B"].map((name) => {
      const category = new Category({ service: "shop", name: "bank" }, name, DEFAULT_SETTINGS, 1_000);
      category.capable = 1;
      category.gates = [gate];
      return [name, category];
    }));
    const categories = { began: HEAD.began, of: (name: string) => all.get(name)! };
    const ledger = new Ledger({ head: HEAD, mostParked: 100, categories });
    const add = (category: string, position: number) =>
      ledger.add({
        ...{ position, category, id: `${position}`, key: undefined, payload: 0, tagged: false },
        ...{ meta: undefined, time: position },
      });
    for (let position = 101; position <= 106; position++) add("A", position);
    for (let position = 107; position <= 108; position++) add("B", position);
    const order: string[] = [];
    for (let round = 0; round < 8; round++) {
      for (const item of ledger.begin(() => 1_000)) {
        order.push(item.category.name);
        ledger.done(item);
      }
      ledger.checkSlots();
    }
    assertEquals(order.join(""), "AABABAAA");
  });
});
