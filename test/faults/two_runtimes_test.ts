/** A Deno process and a Bun process as one cluster: they serve each other, and either may be killed. */
import { assert, assertEquals, assertGreater } from "@std/assert";
import { describe, it } from "node:test";
import { catga, unwrap } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { type Runtime, StartLoad, StopLoad, Who } from "../processes/node_messages.ts";
import { DRAINED, type NodeProcess, startNode } from "../processes/node_process.ts";
import { RunLog } from "../processes/run_log.ts";
import { eventually } from "../support/eventually.ts";

describe("a Deno node and a Bun node", await requireNatsServer(), () => {
  it("serve each other under a mixed load, each killed once, and lose nothing", { timeout: 1_200_000 }, async () => {
    await using server = await startNatsServer();
    await using log = await RunLog.open();
    await using operator = await catga({ nats: server.url, id: "operator", service: "operator" });
    const start = async (runtime: Runtime): Promise<NodeProcess> => {
      const node = await startNode(runtime, server.url, runtime, {
        folder: log.folder,
        service: runtime,
        signals: true,
      });
      await eventually(
        `all to see ${runtime}`,
        () => operator.nodes().some(({ endpoint }) => endpoint === node.endpoint),
      );
      assertEquals(await ask(runtime), { id: runtime, runtime });
      unwrap(await operator.send(StartLoad, undefined, { node: runtime }));
      return node;
    };
    const ask = async (node: string) => unwrap(await operator.send(Who, undefined, { node }));
    /** How many commands of one were acknowledged by the other. */
    const served = async (from: string, by: string) =>
      (await log.acknowledged()).filter(({ entry, node }) => entry.startsWith(`${from}-`) && node === by).length;
    /** Waits for some more of them, both ways. */
    const bothWays = async () => {
      const before = await Promise.all([served("deno", "bun"), served("bun", "deno")]);
      const more = async () =>
        await served("deno", "bun") > before[0] + 100 && await served("bun", "deno") > before[1] + 100;
      await eventually("each to serve the other", more);
    };

    let deno = await start("deno");
    let bun = await start("bun");
    try {
      await bothWays();
      for (const killed of ["bun", "deno"] as const) {
        const survivor = killed === "bun" ? "deno" : "bun";
        const alone = await served(survivor, survivor);
        (killed === "bun" ? bun : deno).program.kill("SIGKILL");
        await eventually(
          "the other to serve itself",
          async () => await served(survivor, survivor) > alone + 100,
        );
        if (killed === "bun") bun = await start("bun");
        else deno = await start("deno");
        await bothWays();
      }
      const reports = await Promise.all(
        ["deno", "bun"].map(async (node) => unwrap(await operator.send(StopLoad, undefined, { node }))),
      );
      for (const [i, report] of reports.entries()) {
        console.log(
          `${
            ["deno", "bun"][i]
          }: ${report.sent} sent, ${report.answered} answered, ${report.unknown} unknown, slowest ` +
            `${Math.round(report.slowest)} ms`,
        );
        assertEquals(report.failures, []);
        assertGreater(report.answered, 200);
      }
      assertEquals(await log.violations("Record"), []);
      // an event is handled at most once by each service, and each runtime is one here
      const told = (await log.runs("Told")).map(({ entry, node }) => `${entry} on ${node}`);
      assertEquals(told.length, new Set(told).size);
      const noted = (await log.runs("Note")).map(({ entry, node }) => `${entry} on ${node}`);
      assertEquals(noted.length, new Set(noted).size);
      for (const from of ["deno", "bun"]) {
        for (const by of ["deno", "bun"]) {
          assertGreater(told.filter((line) => line.startsWith(`${from}-`) && line.endsWith(` on ${by}`)).length, 100);
          assertGreater(noted.filter((line) => line.startsWith(`${from}-`) && line.endsWith(` on ${by}`)).length, 5);
        }
      }
      for (const { program } of [deno, bun]) {
        program.kill("SIGTERM");
        const { by } = await program.end();
        assert(DRAINED.includes(by), `ended by ${by}: ${program.output}`);
      }
    } finally {
      await Promise.all([deno, bun].map(({ program }) => program.stop()));
    }
  });
});
