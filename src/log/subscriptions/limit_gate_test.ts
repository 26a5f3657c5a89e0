import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { HEAD } from "../../../test/support/commits.ts";
import { Category, type Item } from "./category.ts";
import { Ledger } from "./ledger.ts";
import { type LimitGate, RunLimit } from "./limit_gate.ts";
import { DEFAULT_SETTINGS } from "./spec.ts";

const ANY = { running: Infinity, count: Infinity, ms: Infinity, burst: 1 };

describe("a limit", () => {
  it("of a lower rate holds nothing up when a higher one counts, as when the last old version has left", () => {
    const limit = new RunLimit<Item>("bank", { ...ANY, count: 1, ms: 3_600_000 }, undefined);
    const gate = limit.gateOf("", 0);
    gate.take(1_000_000);
    assertEquals(gate.due, 1_000_000 + 3_600_000 - 20); // timers may be late
    limit.numbers = { ...ANY, count: 10, ms: 1_000 };
    assertEquals(gate.due, 1_000_000 + 100);
    limit.numbers = ANY;
    assertEquals(gate.due, -Infinity);
    const taken = new RunLimit<Item>("bank", { ...ANY, count: 1, ms: 3_600_000 }, 2_000_000);
    taken.gateOf("", 2_000_000);
    taken.numbers = { ...ANY, count: 10, ms: 1_000 };
    assertEquals(taken.gateOf("", 2_000_000).due, 2_000_000 + 100);
  });

  it("has the numbers and pauses that an operator has set, and its own ones when that is cleared", () => {
    const limit = new RunLimit<Item>("bank by key", { ...ANY, running: 2, count: 1, ms: 1_000 }, undefined, true);
    const gate = limit.gateOf("a", 0);
    gate.take(0);
    limit.override = { limit: "bank", set: { since: 0, running: 1, per: [1, 60_000] }, keys: [{ key: "b", since: 0 }] };
    assertEquals([gate.isFull, limit.gateOf("b", 0).due, limit.gateOf("c", 0).due], [true, Infinity, -Infinity]);
    limit.numbers = { ...ANY, running: 9 };
    assertEquals(gate.isFull, true); // a deploy changes nothing
    limit.override = {
      limit: "bank",
      paused: { since: 0, until: 5_000 },
      keys: [{ key: "b", since: 0, until: 7_000 }],
    };
    assertEquals(["a", "b", "c", "d"].map((key) => limit.gateOf(key, 0).due), [5_000, 7_000, 5_000, 5_000]);
    assertEquals(gate.isFull, false);
    limit.override = undefined;
    assertEquals(["a", "b", "c", "d"].map((key) => limit.gateOf(key, 0).due), [
      ...[-Infinity, -Infinity, -Infinity, -Infinity],
    ]);
    const all = new RunLimit<Item>("bank", ANY, undefined);
    all.override = { limit: "bank", keys: [{ key: "", since: 0 }] };
    assertEquals(all.gateOf("", 0).due, -Infinity); // a limit of all has no keys
  });

  it("names the ten keys of which most wait", () => {
    const limit = new RunLimit<Item>("bank by key", { ...ANY, running: 1 }, undefined, true);
    for (let n = 0; n < 30; n++) limit.gateOf(`${n}`.padEnd(300, "."), 0).waiting = (n * 7) % 30;
    const { waits = [], waiting } = limit.state(0);
    assertEquals([waits.map(({ waiting }) => waiting), waiting], [[29, 28, 27, 26, 25, 24, 23, 22, 21, 20], 435]);
    assertEquals(waits[0].key, "17".padEnd(200, "."));
  });

  it("that several contracts share goes to each of them in turn, however many messages of one wait", () => {
    const limit = new RunLimit<Item>("bank", { ...ANY, running: 1 }, undefined);
    const all = new Map(["A", "B"].map((name) => {
      const category = new Category({ service: "shop", name: "bank" }, name, DEFAULT_SETTINGS, 1_000);
      category.capable = 1;
      category.limits = [{ limit, key: undefined }];
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

  it("by key keeps only the keys that run, wait, are paused, or have used up their rate", () => {
    const limit = new RunLimit<Item>("bank", { ...ANY, running: 1, count: 1, ms: 1_000 }, undefined, true);
    const gates = new Map<string, LimitGate<Item>>();
    for (let n = 0; n < 10_000; n++) {
      const gate = limit.gateOf(`${n}`, n);
      gate.take(n);
      gates.set(`${n}`, gate);
      if (n !== 7) gate.giveBack(true);
    }
    gates.set("8", limit.gateOf("8", 9_999)).get("8")!.pause(20_000);
    const kept = [...limit.gates];
    assert(kept.length < 4_096, `${kept.length} keys`);
    for (const key of ["7", "8", "9999"]) assertEquals(limit.gateOf(key, 10_000) === gates.get(key), true, key);
    assertEquals(limit.state(10_000), { name: "bank", running: 1, waiting: 0, pausedFor: 10_000, keys: 999 + 2 });
  });

  it("by key has the messages of further keys wait while 100,000 keys are in use, but for those that run", () => {
    const limit = new RunLimit<Item>("bank", { ...ANY, running: 1 }, undefined, true);
    for (let n = 0; n < 100_000; n++) limit.gateOf(`${n}`, 0).take(0);
    const others = limit.gateOf("more", 5);
    assertEquals([others === limit.gateOf("others", 5), others.due], [true, 1_005]);
    limit.gateOf("runs", 5, true).join();
    limit.gateOf("7", 5).giveBack(true);
    assertEquals([limit.gateOf("more", 1_006) === others, others.due], [true, 2_006]); // one more than may be is in use
    limit.gateOf("8", 5).giveBack(true);
    assertEquals(limit.gateOf("more", 2_006) === others, false);
  });

  it("by key looks for room once a second while 100,000 keys are in use, not for each message (5 ms each)", () => {
    const limit = new RunLimit<Item>("bank", { ...ANY, running: 1 }, undefined, true);
    for (let n = 0; n < 100_000; n++) limit.gateOf(`${n}`, 0).take(0);
    let looks = 0;
    limit.gateOf("7", 0).isFresh = () => ++looks < 0;
    for (let n = 0; n < 100; n++) limit.gateOf(`more ${n}`, 5);
    assertEquals(looks, 1);
    for (let n = 0; n < 100; n++) limit.gateOf(`more ${n}`, 1_005);
    assertEquals(looks, 2);
  });

  it("by key gives each key what is its own, whatever waits before it, and two limits do not wait for one another", () => {
    const all = new RunLimit<Item>("all", { ...ANY, running: 3 }, undefined);
    const byKey = new RunLimit<Item>("account", { ...ANY, running: 1 }, undefined, true);
    const category = new Category({ service: "shop", name: "bank" }, "A", DEFAULT_SETTINGS, 1_000);
    category.capable = 1;
    const faults: string[] = [];
    const ledger = new Ledger({
      ...{ head: HEAD, mostParked: 100, categories: { began: HEAD.began, of: () => category } },
      onNoLimitKey: (contract, limit, error) => faults.push(`${contract} ${limit}: ${error}`),
    });
    const key = (payload: string | null) => payload === "throws" ? payload.repeat(1_000) : payload;
    category.limits = [{ limit: all, key: undefined }, { limit: byKey, key }];
    ledger.refresh(category);
    const payloads = ["a", "a", "a", "a", "b", "b", "c", "d", null, "throws"];
    for (const [i, payload] of payloads.entries()) {
      ledger.add({
        ...{ position: 101 + i, category: "A", id: `${i}`, key: undefined, payload, tagged: false },
        ...{ meta: undefined, time: i },
      });
    }
    const rounds: string[] = [];
    let items = ledger.begin(() => 1_000);
    while (items.length > 0) {
      rounds.push(items.map(({ message: { payload } }) => payload).join(","));
      for (const item of items) ledger.done(item);
      ledger.checkSlots();
      items = ledger.begin(() => 1_000);
      ledger.checkSlots();
    }
    assertEquals(rounds.join(" ").split(/[ ,]/).length, payloads.length);
    assertEquals(rounds[0], "a,b,c"); // those of a wait, and hold up none of the others
    assertEquals(rounds.filter((round) => round.split("a").length > 2), []);
    assertEquals([...all.gates, ...byKey.gates].filter(({ running, waiting }) => running + waiting > 0), []);
    assertEquals(faults.sort(), [
      "A account: TypeError: a key is a string of 1024 characters at most; got 6000 characters",
      "A account: TypeError: a key is a string of 1024 characters at most; got null",
    ]);
  });
});
