import { describe, it } from "node:test";
import { assertEquals, assertMatch } from "@std/assert";
import type { EntityLine } from "../processes/entity_contracts.ts";
import { entityViolations, type StoredCommand } from "./entity_history.ts";

const at = (n: number): StoredCommand => ({
  command: `e${n}`,
  version: n - 1,
  entries: [`e${n}`],
  result: n,
  time: n * 1_000,
});
const told = (n: number, how = "ok", version: number | undefined = how === "ok" ? n : undefined): EntityLine[] => [
  { event: "sent", entry: `e${n}`, at: n * 1_000 - 10, refused: false },
  { event: "answered", entry: `e${n}`, how, ...(version === undefined ? {} : { version }), at: n * 1_000 + 10 },
];

describe("the checker of entities", () => {
  it("finds nothing in a history that is right", () => {
    const refused: EntityLine[] = [
      { event: "sent", entry: "r", at: 1_500, refused: true },
      { event: "answered", entry: "r", how: "REFUSED", version: 1, at: 1_600 },
    ];
    const lines = [...told(1), ...refused, ...told(2, "OUTCOME_UNKNOWN"), ...told(3, "UNAVAILABLE")];
    assertEquals(entityViolations(lines, [at(1), at(2)]), []);
  });

  it("finds nothing wrong with a refusal beside a change that was stored, and nobody could see yet", () => {
    const lines: EntityLine[] = [
      ...told(1),
      { event: "sent", entry: "e2", at: 1_990, refused: false },
      ...told(4, "REFUSED", 1),
      { event: "answered", entry: "e2", how: "ok", version: 2, at: 6_000 },
    ];
    assertEquals(entityViolations(lines, [at(1), at(2)]), []);
  });

  describe("of an acknowledged entry that was lost, and whose second send failed", () => {
    const lines = (due: number): EntityLine[] => [
      { event: "sent", entry: "e1", at: 900, refused: false },
      { event: "answered", entry: "e1", how: "ok", version: 1, at: 950, began: 900, due },
      { event: "answered", entry: "e1", how: "UNAVAILABLE", at: 990, began: 970, due: 980 },
    ];
    const losses = [{ at: 960, entries: new Set(["e1"]) }];

    it("finds nothing wrong if another attempt of the first stored it before its deadline", () => {
      assertEquals(entityViolations(lines(1_200), [at(1)], { losses, clocks: 0 }), []);
    });

    it("finds that it was stored later", () => {
      const wrong = entityViolations(lines(999), [at(1)], { losses, clocks: 0 });
      assertEquals(wrong, ["e1 failed with UNAVAILABLE and is there"]);
    });
  });

  for (
    const [what, lines, stored] of [
      ["continues version 2", told(1), [at(1), at(3)]],
      ["is there twice", [], [at(1), { ...at(2), command: "e1", entries: ["e1"] }]],
      ["acknowledged and is missing", told(2), [at(1)]],
      ["was told 7 and is 1", told(1, "ok", 7), [at(1)]],
      ["its recorded result is 9", [], [{ ...at(1), result: 9 }]],
      ["failed with CONFLICT and is there", told(1, "CONFLICT"), [at(1)]],
      ["refused and is there", told(1, "REFUSED", 0), [at(1)]],
      ["was not that of the entity", [...told(1), ...told(9, "REFUSED", 0)], [at(1)]],
    ] as [string, EntityLine[], StoredCommand[]][]
  ) {
    it(`finds that something ${what}`, () => {
      assertMatch(entityViolations(lines, stored).join("\n"), new RegExp(what));
    });
  }

  it("finds a refusal at a version that was not stored yet", () => {
    const violations = entityViolations(told(1, "REFUSED", 2), [at(1), at(2)]);
    assertMatch(violations.join("\n"), /was not that of the entity/);
  });
});
