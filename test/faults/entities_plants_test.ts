/** The checker of entities, over processes whose library has a bug: it must find it, and nothing without the bug. */
import { assertEquals, assertMatch } from "@std/assert";
import { execFile } from "node:child_process";
import { delimiter, dirname } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { setTimeout as wait } from "node:timers/promises";
import { findNatsServer } from "../../tools/nats_binary.ts";
import { requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { runtimeBinary } from "../processes/node_process.ts";
import { plantedTree, type SourcePlant } from "../processes/planted_tree.ts";
import { startTcpProxy } from "../processes/tcp_proxy.ts";
import { chances } from "../support/chances.ts";
import { EntityCluster } from "../support/entity_cluster.ts";

/** A run of processes of a tree, and what the checker says of it. */
type Run = (root: string | undefined) => Promise<readonly string[]>;

/** Two nodes decide commands of one entity at once. */
const rivals: Run = async (root) => {
  await using server = await startNatsServer();
  await using cluster = await EntityCluster.open([server.url], { own: true, writers: 6, pause: 5 }, root);
  // in Bun, which compiles the sources of a new tree in less time
  for (const id of ["b1", "b2"]) await cluster.start(id);
  await cluster.more(400);
  await cluster.stop();
  return (await cluster.check()).violations;
};

/** A node that is only asked for refusals, while another one adds entries. */
const refuser: Run = async (root) => {
  await using server = await startNatsServer();
  await using cluster = await EntityCluster.open([server.url], { own: "all", writers: 1 }, root);
  await cluster.start("b2", { refused: true, pause: 50 });
  await cluster.start("b1", { refused: false, pause: 2 });
  await cluster.more(400);
  await cluster.stop();
  return (await cluster.check()).violations;
};

/** What the test of lost stores on one server says, which passes without a bug, when it fails. */
async function storeTestIn(root: string): Promise<string> {
  const server = await findNatsServer();
  const binary = await runtimeBinary("Bun" in globalThis ? "bun" : "deno");
  const [path, name] = ["./test/faults/entities_store_test.ts", "on one server"];
  const words = "Bun" in globalThis ? ["-t", name] : ["-A", "--no-check", "--filter", name];
  const env = { ...process.env, NO_COLOR: "1", PATH: [dirname(server!), process.env.PATH].join(delimiter) };
  return await new Promise((resolve, reject) => {
    execFile(binary, ["test", ...words, path], { cwd: root, env }, (error, out, errors) => {
      if (error === null) reject(new Error("the test passes over the bug"));
      else resolve(out + errors);
    });
  });
}

/** Answers of the stream are lost. */
const lostAnswers: Run = async (root) => {
  await using server = await startNatsServer();
  const link = await startTcpProxy(server.port);
  try {
    await using cluster = await EntityCluster.open([server.url], { writers: 8, pause: 2, timeout: 10_000 }, root);
    await cluster.start("b1", {}, [link.url]);
    for (let round = 0; round < 6; round++) {
      await cluster.more(100);
      link.cut();
      await wait(50);
      link.restore();
    }
    await cluster.more(100);
    await cluster.stop();
    return (await cluster.check()).violations;
  } finally {
    await link.close();
  }
};

describe("the checker of entities", await requireNatsServer(), () => {
  for (
    const [plant, run, found] of [
      ["entity-expect", rivals, /continues version|number/],
      ["entity-confirm", refuser, /was not that of the entity while it waited/],
      ["entity-record", lostAnswers, /is there twice/],
    ] as [SourcePlant, Run, RegExp][]
  ) {
    it(`finds ${plant}`, { timeout: 1_200_000 }, async () => {
      await using tree = await plantedTree(plant);
      // a cut does not hit an append each time
      const violations = async () => (await run(tree.root)).join("\n");
      assertMatch(await chances(9, violations, (text) => found.test(text)), found);
    });
  }

  it(
    "finds entity-epoch: after a loss of the store nodes go on with what they had",
    { timeout: 1_200_000 },
    async () => {
      await using tree = await plantedTree("entity-epoch");
      assertMatch(await storeTestIn(tree.root), /120 !== 0/); // events of the lost time, that are in memory
    },
  );

  it("finds nothing in a library without these bugs", { timeout: 1_200_000 }, async () => {
    assertEquals((await rivals(undefined)).slice(0, 5), []);
    assertEquals((await refuser(undefined)).slice(0, 5), []);
    assertEquals((await lostAnswers(undefined)).slice(0, 5), []);
  });
});
