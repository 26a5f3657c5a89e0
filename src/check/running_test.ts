import { describe, it } from "node:test";
import { assertEquals } from "@std/assert";
import { z } from "zod";
import { event } from "../../mod.ts";
import type { NodeInfo } from "../contract/nodes/node_info.ts";
import { edge } from "../http/mod.ts";
import { programOf } from "./program.ts";
import { compareLooks, compareRunning } from "./running.ts";

const node = (id: string, subscriptions: readonly string[] = []) =>
  ({ id, service: "models", endpoint: `${id}.1`, handles: ["Seen"], kinds: "e", subscriptions }) as Partial<
    NodeInfo
  > as NodeInfo;

/** Returns the findings for a program that declares the event `Seen`, a line each. */
function found(isDurable: boolean, nodes: readonly NodeInfo[], declared: Readonly<Record<string, boolean>>): string[] {
  const program = programOf([{ Seen: isDurable ? event("Seen", { durable: true }) : event("Seen") }]);
  const running = { nodes, stored: [], durable: new Map(Object.entries(declared)) };
  return compareRunning(program, running, "shop").map(({ level, message }) => `${level}: ${message}`);
}

describe("compareRunning", () => {
  it("cannot judge a durable event at a node that does not describe it, as of an older build (it was a break)", () => {
    const unknown = "unknown: Seen is durable, and model-1 of models does not say whether it is durable there";
    const differs = "break: Seen is durable, and at model-2 of models it is not: they do not reach each other";
    const nodes = [node("model-1"), node("model-2")];
    assertEquals(found(true, nodes, {}), [unknown]);
    assertEquals(found(true, nodes, { "model-2 Seen": true }), [unknown]);
    assertEquals(found(true, nodes, { "model-2 Seen": false }), [differs]);
    assertEquals(found(true, [node("model-1", ["seen/Seen"])], {}), []);
    assertEquals(found(false, nodes, {}), []);
  });
});

describe("compareLooks", () => {
  it("reads what other services publish of an event that an edge of the program lets callers follow", () => {
    const Moved = (input: z.ZodType) => event("Moved", { durable: true, input } as never);
    const of = { node: "writer-1", service: "writer", handles: false, name: "Moved" };
    const look = { ...of, input: { type: "object", properties: { org: { type: "string" } }, required: ["org"] } };
    const found = (input: z.ZodType) =>
      compareLooks(programOf([edge({ moved: Moved(input) })]), [look], "gateway").map(({ message }) => message);
    assertEquals(found(z.object({ org: z.string() })), []);
    assertEquals(found(z.object({ tenant: z.string() })), [
      "Moved: what writer (writer-1) sends would be refused: tenant: required by the reader, not written",
    ]);
  });
});
