import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { z } from "zod";
import { command } from "../../../mod.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { ContractShapes, describeContract } from "../../contract/schemas/shape.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import { delay, systemClock } from "../../ports/clock.ts";
import { ShapeView } from "./shape_view.ts";

describe("ShapeView", () => {
  it("finds mismatches after a failed load of the comparison (none was found any more)", async () => {
    const sent = command("Pay", { input: z.object({ amount: z.number() }) });
    const other = command("Pay", { input: z.object({ amount: z.string() }) });
    const shapes = new ContractShapes();
    const faults: string[] = [];
    const asked: [n: number, names: readonly string[]][] = [];
    let loads = 0;
    const info = { id: "b", service: "shop", endpoint: "eb", shapes: "AAAAAAAA" } as unknown as NodeInfo;
    const view = new ShapeView({
      ...{
        clock: new VirtualClock(),
        self: "a",
        shapes,
        handled: [],
        plainEvents: new Set<string>(),
        sent: () => [sent],
        followed: () => [],
      },
      observer: (seen) => faults.push(seen.type),
      loadMismatches: () => ++loads === 1 ? Promise.reject(new Error("no disk")) : import("./schema_mismatches.ts"),
      members: () => [{ info, suspect: false }],
      ask: (_, n, names) => asked.push([n, names]),
      announce() {},
      changed() {},
    });
    view.look();
    view.answered(asked[0][0], { handles: { Pay: shapes.of(other) }, sends: {} });
    assertEquals(asked[1][1], ["Pay"]);
    view.answered(asked[1][0], { Pay: describeContract(other) });
    await delay(systemClock, 0);
    assertEquals([loads, faults], [1, ["fault"]]);
    assertEquals(view.mismatches, []);
    await import("./schema_mismatches.ts");
    await delay(systemClock, 0);
    assertEquals(view.mismatches.map(({ contract }) => contract), ["Pay"]);
    view.close();
  });

  it("asks 64 nodes at once for their shapes, and others when those have answered, or have not for a second", async () => {
    const clock = new VirtualClock();
    const asked: [n: number, endpoint: string][] = [];
    const members = Array.from({ length: 200 }, (_, n) => {
      const info = { id: `n${n}`, service: "shop", endpoint: `e${n}`, shapes: `hash ${n}` } as unknown as NodeInfo;
      return { info, suspect: false };
    });
    const view = new ShapeView({
      ...{
        clock,
        self: "a",
        shapes: new ContractShapes(),
        handled: [],
        plainEvents: new Set<string>(),
        sent: () => [],
        followed: () => [],
      },
      observer() {},
      loadMismatches: () => import("./schema_mismatches.ts"),
      members: () => members,
      ask: (endpoint, n) => asked.push([n, endpoint]),
      announce() {},
      changed() {},
    });
    const endpoints = () => asked.map(([, endpoint]) => endpoint);
    view.look();
    view.look();
    assertEquals(endpoints(), members.slice(0, 64).map(({ info }) => info.endpoint));
    for (const [n] of asked.splice(0, 40)) view.answered(n, { handles: {}, sends: {} });
    view.look();
    assertEquals(endpoints().slice(24), members.slice(64, 104).map(({ info }) => info.endpoint));
    asked.splice(0);
    await clock.advance(1_000);
    assertEquals(asked.length, 64);
    view.close();
  });
});
