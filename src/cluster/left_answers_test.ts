import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, command, MemoryNetwork } from "../../mod.ts";
import { eventually } from "../testing/eventually.ts";

const Do = command<void, string>("Do");

describe("an answer whose caller is away for a moment", () => {
  it("arrives when it is back (it was lost, and the caller waited for its deadline)", async () => {
    const network = new MemoryNetwork();
    const done = Promise.withResolvers<string>();
    const said: string[] = [];
    let runs = 0;
    await using caller = await catga({ network, id: "caller" });
    await using _worker = await catga({
      network,
      id: "worker",
      logger: { debug: (line) => said.push(line), info() {}, warn() {}, error() {} },
      handlers: Do.handle(() => {
        runs++;
        return done.promise;
      }),
    });
    await eventually("the caller to see the worker", () => caller.nodes().length === 2);
    const sent = caller.send(Do, undefined, { timeout: 3_000 });
    await eventually("it to run", () => runs === 1);
    network.cut("caller");
    done.resolve("done");
    await eventually("the answer to bounce", () => said.some((line) => line.includes("nobody there at caller.")));
    network.restore("caller");
    assertEquals(await sent, { ok: true, value: "done" });
    assertEquals(runs, 1);
  });
});
