import { assertEquals, assertLess, assertMatch } from "@std/assert";
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { unwrap } from "@catga/catga";
import { testCluster } from "@catga/catga/testing";
import { runtimeBinary } from "../../test/processes/node_process.ts";
import { QUIET } from "../../test/support/quiet.ts";
import { Agent, agent, Decide, type Shown } from "./agent.ts";
import { openai } from "./model.ts";
import { World } from "./scripted.ts";
import { shopAt } from "./tools.ts";

const TASK = { goal: "Stock the kitchen.", budget: 3_000 };

interface Watched {
  readonly text: string;
  readonly spent: number;
  /** All that the model and the shop have put on the bill. */
  readonly bill: readonly string[];
  readonly views: readonly Shown[];
  readonly kills: number;
}

/** Runs the agent to its end on two nodes. `kill`: one of them is killed each so many ms; 0: none. */
async function watched(
  { kill = 0, approve = true, task = TASK, changed = (request: Request) => request } = {},
): Promise<Watched> {
  const world = new World(50, {
    now: () => cluster.clock.now(),
    sleep: (ms) => cluster.app("person").clock.sleep(ms),
  });
  const fetch = (request: Request) => world.fetch(changed(request));
  const model = openai({ url: "http://scripted/v1", key: "k", model: "m", price: 100, fetch });
  await using cluster = await testCluster(["a", "b", "person"], {
    logger: QUIET,
    node: (id) =>
      id === "person"
        ? { service: id }
        : { service: "agent", handlers: agent(model, shopAt("http://scripted", fetch)) },
  });
  const person = cluster.app("person");
  unwrap(await person.start(Agent, task, { id: "r" }));
  const views: Shown[] = [];
  let text: string | undefined;
  const watching = (async () => {
    for await (const { view, result } of person.watch(Agent, "r")) {
      if (view !== undefined) views.push(view);
      if (result !== undefined) text = result.ok ? result.value : result.error.code;
      else if (view?.asks !== undefined) await person.ask(Decide, "r", { payment: view.asks.id, approve });
    }
  })();
  let kills = 0;
  while (text === undefined) {
    await cluster.advance(kill || 1_000);
    if (kill === 0) continue;
    const node = kills++ % 2 === 0 ? "a" : "b";
    cluster.kill(node);
    await cluster.start(node);
  }
  await watching;
  return { text, spent: views.at(-1)!.spent, bill: [...world.bill].map(String).sort(), views, kills };
}

describe("the agent", () => {
  it("buys what it was told to, asks a person, begins anew, and shows words while it speaks", async () => {
    const { text, spent, bill, views } = await watched();
    assertMatch(text, /I bought assam for €4.20, mate for €3.90, sencha for €5.50: €13.60 in all/);
    assertEquals(bill.filter((line) => !line.includes("model")).map((line) => line.split(",")[1]).sort(), [
      "assam 420",
      "mate 390",
      "sencha 550",
    ]);
    assertEquals(views.filter(({ asks }) => asks !== undefined).at(-1)?.asks, {
      ...{ id: "call_pay_sencha", tea: "sencha", shop: "Teahouse", cents: 550 },
    });
    const words = views.map(({ words }) => words).filter((words) => words.startsWith("Next is assam."));
    assertEquals(words.length > 0 && words.every((some) => words.at(-1)!.startsWith(some)), true);
    // a life has so many messages at most; the next one begins with two
    assertEquals(views.some(({ messages: [{ content }] }) => content.includes("paid 390 cents for mate")), true);
    assertEquals(spent > 1_360, true);
  });

  it("does not pay what a person refuses, nor more than its budget", async () => {
    const refused = await watched({ approve: false });
    assertMatch(refused.text, /I bought assam for €4.20, mate for €3.90: €8.10 in all/);
    const { text, bill } = await watched({ task: { ...TASK, budget: 600 } });
    assertMatch(text, /I bought assam for €4.20: €4.20 in all/);
    assertEquals(bill.filter((line) => !line.includes("model")).length, 1);
    assertEquals((await watched({ task: { ...TASK, budget: 10 } })).text, "OVER_BUDGET");
  });

  it("killed each two seconds it ends with the same text and the same bill", { timeout: 300_000 }, async () => {
    const unkilled = await watched();
    for (const kill of [2_000, 1_700]) {
      const { text, bill, spent, kills } = await watched({ kill });
      assertEquals({ text, bill, spent }, { text: unkilled.text, bill: unkilled.bill, spent: unkilled.spent });
      assertEquals(kills > 5, true);
    }
  });

  it("pays twice if the id does not go along", { timeout: 300_000 }, async () => {
    const forgetful = (request: Request) => {
      const changed = new Request(request);
      changed.headers.delete("idempotency-key");
      return changed;
    };
    const lines = async (kill: number) => (await watched({ kill, changed: forgetful })).bill.length;
    assertLess(await lines(0), await lines(2_000));
  });

  it("has a page whose script is what `deno task shop:page` makes of its source", async () => {
    const folder = await mkdtemp(join(tmpdir(), "catga-page-"));
    try {
      const [made, page] = [join(folder, "page.js"), new URL("page/", import.meta.url)];
      const command = ["build", "--minify", fileURLToPath(new URL("page.ts", page)), "--outfile", made];
      await promisify(execFile)(await runtimeBinary("bun"), command, { cwd: fileURLToPath(new URL("../..", page)) });
      assertEquals(await readFile(new URL("page.js", page), "utf8"), await readFile(made, "utf8"));
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
