import { assertEquals, assertThrows } from "@std/assert";
import { describe, it } from "node:test";
import { parsePlan, type Plan, planText } from "./explore_plan.ts";

describe("the text of a plan", () => {
  const plan: Plan = {
    seed: 7,
    delay: 20,
    faults: [
      { fault: "kill", node: "app-1", when: { type: "time", at: 320 }, lasts: 500, amount: 0 },
      {
        fault: "freeze",
        node: "here",
        when: { type: "moment", moment: "attempt begins command Charge", count: 2, after: 5 },
        lasts: 30_000,
        amount: 0,
      },
      { fault: "skew", node: "client-1", when: { type: "time", at: 0 }, lasts: 9, amount: -1_500 },
      { fault: "lostAck", node: undefined, when: { type: "time", at: 12 }, lasts: 9, amount: 0.25 },
      {
        fault: "noLeader",
        node: undefined,
        when: { type: "moment", moment: "step ends step Order.ship", count: 1, after: 0 },
        lasts: 1,
        amount: 0,
      },
    ],
    deploys: [
      { version: 1, when: { type: "time", at: 100 }, isHere: false, pause: 20 },
      {
        version: 0,
        when: { type: "moment", moment: "attempt ends command Charge", count: 3, after: 7 },
        isHere: true,
        pause: 0,
      },
    ],
    skips: [0, 3],
  };

  it("says it in words, and is read again", () => {
    const text = planText(plan);
    assertEquals(
      text,
      "seed 7; delay 20; deploy 1 at 100 pause 20; deploy 0 here on 3 attempt ends command Charge after 7 pause 0; " +
        "kill app-1 at 320 for 500; freeze here on 2 attempt begins command Charge after 5 for 30000; skew client-1 at 0 for 9 amount -1500; " +
        "lostAck at 12 for 9 amount 0.25; noLeader on 1 step ends step Order.ship after 0 for 1; skip 0 3",
    );
    assertEquals(parsePlan(text), plan);
  });

  it("is read again if the name of a step or the key of a lock has any characters", () => {
    const moments = ["charge; ship", "50%; 25%3B", "two\nlines", "a on 1 b after 2 for 3 amount 4"];
    for (const name of moments) {
      const when = { type: "moment", moment: `step ends step Order.${name}`, count: 1, after: 2.5 } as const;
      const faults = [{ fault: "kill", node: "app-1", when, lasts: 9, amount: 0 }] as const;
      const deploys = [{ version: 1, when, isHere: true, pause: 3 }];
      const one = { seed: 7, delay: 0, faults, deploys, skips: [1] };
      assertEquals(parsePlan(planText(one)), one);
    }
  });

  for (
    const text of [
      "",
      "seed x",
      "7",
      "seed 7; melt app-1 at 3 for 4",
      "seed 7; kill app-1",
      "seed 7; kill app-1 at 1.2.3 for 4",
      "seed 7; kill app-1 at 3 for .",
      "seed 7; deploy 1 at x pause 0",
      "seed 7; skip a",
    ]
  ) {
    it(`is refused if it is another text: ${JSON.stringify(text)}`, () => {
      assertThrows(() => parsePlan(text), TypeError, "replay is the text that a red seed shows");
    });
  }
});
