/**
 * Fault: a deploy of another version of Catga, and the death of a node of this tree that has a lease of several runs. A
 * node of an earlier commit, which knows leases of one run only, is the first that is called for them.
 */
import { assertEquals } from "@std/assert";
import { copyFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { jetstreamManager } from "@nats-io/jetstream";
import { connect } from "@nats-io/transport-node";
import { catga } from "../../mod.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { Long } from "../processes/lease_node.ts";
import type { Runtime } from "../processes/node_messages.ts";
import { type Program, startProgram } from "../processes/node_process.ts";
import { olderTree, requireCommit } from "../processes/older_tree.ts";
import { eventually } from "../support/eventually.ts";
import { QUIET } from "../support/quiet.ts";

/** A commit whose leases are of one run each. */
const EARLIER = "daf8e28f85106f9807763cf9fa136d7c81566242";
const PARTS = ["mod.ts", "src", "deno.json", "deno.lock", "package.json", "tsconfig.json"];
const NAMESPACE = "leases";
const RUNS = ["one", "two"];
/** In ms; how fast processes start is the machine's. */
const LONGEST = 300_000;

const nats = await requireNatsServer();
const history = await requireCommit(EARLIER);

describe("a dead node's lease of several runs, given to an earlier version first", nats.skip ? nats : history, () => {
  for (const [older, own] of [["deno", "bun"], ["bun", "deno"]] as Runtime[][]) {
    it(`is kept until a node of this version is there: ${older} first`, { timeout: 3 * LONGEST }, async () => {
      await using server = await startNatsServer();
      await using tree = await olderTree(EARLIER, PARTS);
      await copyFile(new URL("../processes/lease_node.ts", import.meta.url), join(tree.root, "lease_node.ts"));
      const connection = await connect({ servers: server.url });
      const programs: Program<{ event: "ready" }>[] = [];
      const start = async (version: "earlier" | "this", starts: string) => {
        const [path, root] = version === "this" ? ["test/processes/lease_node.ts"] : ["lease_node.ts", tree.root];
        const args = [server.url, NAMESPACE, `${version}-${programs.length}`, starts];
        const program: Program<{ event: "ready" }> = await startProgram(
          version === "this" ? own : older,
          path,
          args,
          root,
        );
        programs.push(program);
        await program.line(({ event }) => event === "ready");
        return program;
      };
      try {
        await start("earlier", "none");
        const holder = await start("this", RUNS.join());
        await using client = await catga({ nats: server.url, namespace: NAMESPACE, service: "web", logger: QUIET });
        const { streams } = await jetstreamManager(connection);
        const last = (subject: string) =>
          streams.getMessage(`catga_${NAMESPACE}_log`, { last_by_subj: `catga.${NAMESPACE}.${subject}` });
        await eventually("a lease of both runs", async () => {
          const text = (await last("at.Long-run=2Edue.>"))?.string() ?? "";
          return RUNS.every((run) => text.includes(`"${run}"`));
        }, LONGEST);
        holder.kill("SIGKILL");
        const fired = await eventually("the lease to fire", () => last("log.Long-run=2Edue"), LONGEST);
        await eventually("the earlier version to get it", async () => {
          const [due] = (await client.subscriptions()).filter(({ name }) => name === "Long-run");
          return due !== undefined && (due.position >= fired!.seq || due.retrying > 0);
        }, LONGEST);
        await start("this", "none");
        for (const run of RUNS) {
          const { value, error } = await client.result(Long, run, { timeout: 60_000 });
          assertEquals([run, value !== undefined, error?.message], [run, true, undefined]);
        }
      } finally {
        await Promise.all(programs.map((program) => program.stop()));
        await connection.close();
      }
    });
  }
});
