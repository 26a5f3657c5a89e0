/**
 * The recipes of docs/upgrading.md with processes on a real server, in Deno and Bun: each version replaces the one
 * before it node by node, after a canary, is rolled back, and deployed again; each node sends 20 times a second.
 */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { catga, unwrap } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import type { RecipeLine } from "../processes/recipe_node.ts";
import { Go, Order, RECIPES } from "../processes/recipes.ts";
import { eventually } from "../support/eventually.ts";
import { QUIET } from "../support/quiet.ts";

type Node = Program<RecipeLine>;

const acts = ({ lines }: Node) => lines.findLast(({ event }) => event === "acts") as { count: number } | undefined;

describe("recipes of docs/upgrading.md, with processes", await requireNatsServer(), () => {
  for (const [recipe, versions] of Object.entries(RECIPES)) {
    it(`${recipe}: nothing fails, is lost or stuck, forwards and backwards`, { timeout: 1_200_000 }, async () => {
      await using server = await startNatsServer();
      const all: Node[] = [];
      const nodes: Node[] = [];
      /** Each node that runs has done more: beside the others, as they are now. */
      const moreActs = async () => {
        const before = nodes.map((node) => acts(node)?.count ?? 0);
        await Promise.all(
          nodes.map((node, i) => node.line((line) => line.event === "acts" && line.count >= before[i] + 5)),
        );
      };
      const end = async (node: Node) => {
        node.kill("SIGTERM");
        assertEquals((await node.end()).by, 0, node.output);
      };
      const start = async (version: number) => {
        const runtime = all.length % 2 === 0 ? "deno" : "bun";
        const args = [server.url, `n${all.length + 1}`, recipe, `${version}`];
        const node: Node = await startProgram(runtime, "test/processes/recipe_node.ts", args);
        all.push(node);
        nodes.push(node);
        await node.line(({ event }) => event === "ready");
        await moreActs();
      };
      const deploy = async (version: number) => {
        for (let n = 0; n < 2; n++) {
          await start(version);
          if (nodes.length <= 2) continue;
          await end(nodes.shift()!);
          await moreActs();
        }
      };
      try {
        const count = versions({ published() {}, handled() {} }).length;
        await deploy(0);
        for (let n = 1; n < count; n++) {
          // a canary, which is taken back
          await start(n);
          await end(nodes.pop()!);
          await moreActs();
          for (const version of [n, n - 1, n]) await deploy(version);
        }
        await using app = await catga({ nats: server.url, service: "shop", logger: QUIET });
        const told = (event: "published" | "handled") =>
          all.flatMap(({ lines }) => lines.flatMap((line) => line.event === event ? [line.what] : []));
        await eventually("all is handled", () => {
          const handled = new Set(told("handled"));
          return told("published").every((id) => handled.has(id));
        });
        if (told("published").length > 0) {
          // what each version has stored is read by the last one
          const before = told("handled").length;
          const stored = told("published").length;
          await app.rewind("billing", "start");
          await eventually("all is handled again", () => told("handled").length >= before + stored);
          for await (const letter of app.deadLetters()) throw new Error(`dead: ${letter.id}`);
        }
        let open = 0;
        for await (const { id, status } of app.runs({ workflow: "Order" })) {
          if (status !== "waiting") continue;
          unwrap(await app.tell(Go, id));
          assertEquals(unwrap(await app.result(Order, id)), "charged");
          open++;
        }
        if (recipe === "change a workflow") assertEquals(open > 0, true);
        for await (const { id } of app.runs({ status: "stuck" })) throw new Error(`stuck: ${id}`);
        for (const node of nodes.splice(0)) await end(node);
        const failures = all.flatMap(({ lines }) =>
          lines.flatMap((line) => line.event === "failed" ? [line.what] : [])
        );
        assertEquals(failures, []);
      } finally {
        for (const node of all) await node.stop();
      }
    });
  }
});
