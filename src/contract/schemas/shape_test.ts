import { assert, assertEquals, assertNotEquals } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import { command, event } from "../../../mod.ts";
import type { CommandOptions } from "../declaration/contract_options.ts";
import { ContractShapes, describeContract, isShape, readDescription, readNodeShapes, shapesHash } from "./shape.ts";

const shapes = new ContractShapes();
type Options = CommandOptions<never, unknown>;
const of = (options: object) => shapes.of(command("Sell", options as Options));

describe("the shape of a contract", () => {
  const seat = z.object({ seat: z.string(), channel: z.enum(["web", "app"]) });

  it("is the same for descriptions, members and enums in another order, and other names of variables", () => {
    const same = z.object({ channel: z.enum(["app", "web"]).describe("where"), seat: z.string() }).describe("a seat");
    const shape = of({ input: seat });
    assert(isShape(shape));
    assertEquals(of({ input: same }), shape);
    assertEquals(of({ input: seat, timeout: 5, retries: 3 }), shape);
  });

  it("differs with what others see: schemas, failures, options and version", () => {
    const seen = [
      {},
      { input: seat },
      { input: z.object({ seat: z.string() }) },
      { input: seat.extend({ description: z.string() }) },
      { input: seat, output: z.string() },
      { input: seat, failures: ["SOLD_OUT"] },
      { input: seat, durable: true },
      { input: seat, idempotent: true },
      { input: seat, version: 2 },
      { version: 2 },
    ].map(of);
    assertEquals(new Set(seen).size, seen.length);
    assertEquals(seen[0], undefined);
    assertNotEquals(shapes.of(event("Sell", { input: seat })), seen[1]);
  });

  it("is unknown if a validator has no JSON Schema", () => {
    assertEquals(of({ input: z.object({ at: z.date() }) }), undefined);
    const own = { "~standard": { version: 1, vendor: "own", validate: (value: unknown) => ({ value }) } };
    assertEquals(of({ input: own, version: 3 }), undefined);
    assertEquals(describeContract(command("X", { input: own } as Options)).input, null);
  });

  it("one hash of all is 8 letters, and makes the record of a node with 100 contracts by less than 3 % larger", () => {
    const handles = Array.from({ length: 100 }, (_, i) => `orders.Command${i}`);
    const shapes = shapesHash({ handles: Object.fromEntries(handles.map((name) => [name, null])) });
    assertEquals(shapes.length, 8);
    const record = JSON.stringify({ id: "a", handles, kinds: "c".repeat(100) });
    assert(`,"shapes":"${shapes}"`.length < 0.03 * record.length);
  });

  it("what another process answers is checked", () => {
    assertEquals(readNodeShapes({ handles: { A: "abcdefgh", B: null }, sends: {} }), {
      handles: { A: "abcdefgh", B: null },
      sends: {},
    });
    for (
      const bad of [null, [], {}, { handles: { A: 1 }, sends: {} }, { handles: { A: "x" }, sends: {} }, { handles: {} }]
    ) {
      assertEquals(readNodeShapes(bad), undefined);
    }
    assertEquals(readDescription({ kind: "command", input: true, output: null, version: 2 }), {
      kind: "command",
      version: 2,
      input: true,
      output: null,
    });
    for (const bad of [null, {}, { kind: "letter" }, { kind: "command", input: "no schema" }]) {
      assertEquals(readDescription(bad), undefined);
    }
  });
});
