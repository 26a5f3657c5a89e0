/** The agent as processes, one of which is killed each two seconds. The model and the shop, which count, live on. */
import { assertEquals, assertGreater, assertMatch } from "@std/assert";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { setTimeout as wait } from "node:timers/promises";
import { client } from "../../src/client/mod.ts";
import { freePorts, requireNatsServer, startNatsServer } from "../../tools/nats_server.ts";
import { serve } from "../shop/http_server.ts";
import type { api } from "./api.ts";
import { World } from "./scripted.ts";

const MAIN = fileURLToPath(new URL("main.ts", import.meta.url));
const { skip: noServer } = await requireNatsServer();

/** Starts a node of the agent; resolves when its page is served. */
async function startNode(env: Readonly<Record<string, string>>): Promise<ChildProcess> {
  const args = process.versions.bun === undefined ? ["run", "-A", "--quiet", "--no-check", MAIN] : [MAIN];
  const child = spawn(process.execPath, args, {
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout!.setEncoding("utf8").on("data", (text: string) => output += text);
  while (!output.includes("serves the agent")) await once(child.stdout!, "data");
  return child;
}

async function kill(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGKILL");
  await ended;
}

/** Runs the agent to its end. `kills`: a node is killed each 2 s, and started again. */
async function run(folder: string, { nats, kills }: { nats?: string; kills: boolean }) {
  const world = new World(50);
  const outside = serve(world.fetch, "127.0.0.1", 0);
  const where = nats === undefined ? { FILE: join(folder, `${kills}.db`) } : { NATS_URL: nats };
  const ports = await freePorts(nats === undefined ? 1 : 2);
  const environments = ports.map((port) => ({
    ...{ ...where, PORT: `${port}`, OPENAI_API_KEY: "k", SHOP_URL: `http://127.0.0.1:${outside.port}` },
    OPENAI_BASE_URL: `http://127.0.0.1:${outside.port}/v1`,
  }));
  const nodes = await Promise.all(environments.map(startNode));
  const { agents } = client<typeof api>(`http://127.0.0.1:${ports[0]}/api`, { pause: [50, 500] });
  const task = { goal: "Stock the kitchen.", budget: 3_000 };
  const started = await agents.start(task, { id: `run-${kills}` });
  if (!started.ok) throw started.error;
  let [text, spent, killed] = ["", 0, 0];
  const watching = (async () => {
    for await (const { view, result } of started.value.watch()) {
      spent = view?.spent ?? spent;
      if (result !== undefined) text = result.ok ? result.value : result.error.code;
      else if (view?.asks !== undefined) await started.value.ask("decide", { payment: view.asks.id, approve: true });
    }
  })();
  try {
    while (kills && text === "") {
      await Promise.race([wait(2_000), watching]);
      if (text !== "") break;
      const at = killed++ % nodes.length;
      await kill(nodes[at]);
      nodes[at] = await startNode(environments[at]);
    }
    await watching;
  } finally {
    await Promise.all(nodes.map(kill));
    await outside.close(1_000);
  }
  const bill = [...world.bill].map(([id, line]) => `${id.replace(`run-${kills}`, "run")} ${line}`).sort();
  return { text, spent, bill, killed };
}

for (const where of ["in a file", "over NATS, on two nodes"]) {
  describe(`the agent, killed each two seconds, ${where}`, { skip: where === "in a file" ? false : noServer }, () => {
    it("ends with the same text and the same bill as unkilled", { timeout: 600_000 }, async () => {
      const folder = await mkdtemp(join(tmpdir(), "catga-agent-"));
      const server = where === "in a file" ? undefined : await startNatsServer();
      try {
        const at = server === undefined ? {} : { nats: server.url };
        const { killed: none, ...unkilled } = await run(folder, { ...at, kills: false });
        const { killed, ...ended } = await run(folder, { ...at, kills: true });
        assertMatch(unkilled.text, /sencha for €5.50: €13.60 in all/);
        assertEquals(ended, unkilled);
        assertEquals(none, 0);
        assertGreater(killed, 3);
      } finally {
        await server?.stop();
        await rm(folder, { recursive: true });
      }
    });
  });
}
