/**
 * Fault: a deploy of another version of Catga, and its rollback, over snapshots of entities that the other one has
 * written. An earlier commit and this tree use each other's snapshots, and this tree none of a state of another shape;
 * each reads the events of the other, of which those of this tree carry the shape of their contract.
 */
import { assertEquals } from "@std/assert";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import type { MeterLine } from "../processes/meter_node.ts";
import type { Runtime } from "../processes/node_messages.ts";
import { startProgram } from "../processes/node_process.ts";
import { olderTree, requireCommit } from "../processes/older_tree.ts";

/** A commit whose snapshots have no shape. */
const EARLIER = "daf8e28f85106f9807763cf9fa136d7c81566242";
const PARTS = ["mod.ts", "src", "deno.json", "deno.lock", "package.json", "tsconfig.json"];

const nats = await requireNatsServer();
const history = await requireCommit(EARLIER);

describe("snapshots of an earlier version of Catga, and of this one", nats.skip ? nats : history, () => {
  for (const runtimes of [["deno", "bun"], ["bun", "deno"]] as Runtime[][]) {
    it(
      `are used by both, but not for a state of another shape: ${runtimes[0]} first`,
      { timeout: 1_200_000 },
      async () => {
        await using server = await startNatsServer();
        await using tree = await olderTree(EARLIER, PARTS);
        await copyFile(new URL("../processes/meter_node.ts", import.meta.url), join(tree.root, "meter_node.ts"));
        let started = 0;
        const play = async (version: "earlier" | "this", members: string, events: number) => {
          const [path, root] = version === "this" ? ["test/processes/meter_node.ts"] : ["meter_node.ts", tree.root];
          const args = [server.url, members, `${events}`];
          await using program = await startProgram<MeterLine>(runtimes[started++ % 2], path, args, root);
          const line = await program.line(() => true);
          assertEquals((await program.ended).by, 0, program.output);
          return line;
        };
        assertEquals(await play("earlier", "sum", 100), { state: { sum: 0 }, applied: 0 });
        assertEquals(await play("this", "sum", 100), { state: { sum: 100 }, applied: 0 });
        assertEquals(await play("earlier", "sum", 0), { state: { sum: 200 }, applied: 0 });
        assertEquals(await play("this", "sum,count", 100), { state: { sum: 200, count: 200 }, applied: 200 });
        assertEquals(await play("this", "sum,count", 0), { state: { sum: 300, count: 300 }, applied: 0 });
        assertEquals(await play("earlier", "sum,count", 100), { state: { sum: 300, count: 300 }, applied: 0 });
        // events behind the snapshot, of which those of this tree carry their shape
        assertEquals(await play("this", "sum,count", 2), { state: { sum: 400, count: 400 }, applied: 0 });
        assertEquals(await play("earlier", "sum,count", 1), { state: { sum: 402, count: 402 }, applied: 2 });
        assertEquals(await play("this", "sum,count", 0), { state: { sum: 403, count: 403 }, applied: 3 });
      },
    );
  }
});
