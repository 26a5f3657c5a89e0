/**
 * Restate: its server, as npm has it, with the defaults, and one process with the workflow's handler. The steps are
 * those of Catga's; a client calls the workflow over HTTP and gets its result.
 */
import { connect } from "@nats-io/transport-node";
import * as restate from "@restatedev/restate-sdk";
import { spawn } from "node:child_process";
import { mkdtemp } from "node:fs/promises";
import { createRequire } from "node:module";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import { setTimeout as pause } from "node:timers/promises";
import { runFlowing } from "../programs/flowing.ts";

const three = restate.workflow({
  name: "Three",
  handlers: {
    run: async (ctx: restate.WorkflowContext) => {
      const a = await ctx.run("a", () => 1);
      const b = await ctx.run("b", () => a + 1);
      return await ctx.run("c", () => b + 1);
    },
  },
});

await runFlowing({
  async node({ url, group }) {
    const port = await freePort();
    await restate.endpoint().bind(three).listen(port);
    // the client asks where it listens
    const nc = await connect({ servers: url });
    nc.subscribe(`${group}.port`, { callback: (_, message) => void message.respond(`${port}`) });
    await nc.flush();
  },
  async client({ url, group }) {
    const nc = await connect({ servers: url });
    const port = (await nc.request(`${group}.port`)).string();
    await nc.close();
    const [ingress, admin] = [await freePort(), await freePort()];
    await startServer(ingress, admin);
    await eventually(() => post(`http://127.0.0.1:${admin}/deployments`, { uri: `http://127.0.0.1:${port}` }));
    let runs = 0;
    const once = async () => {
      const result = await post(`http://127.0.0.1:${ingress}/Three/r${runs++}/run`);
      if (result !== 3) throw new Error(`another result: ${JSON.stringify(result)}`);
    };
    await eventually(once);
    return { once };
  },
});

/** A server in a folder of its own; both are gone when this process is. */
async function startServer(ingress: number, admin: number): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "catga-bench-restate-"));
  const { platform, arch } = process;
  const found = createRequire(createRequire(import.meta.url).resolve("@restatedev/restate-server/package.json"));
  const binary = join(
    found.resolve(`@restatedev/restate-server-${platform}-${arch}/package.json`),
    "../bin/restate-server",
  );
  const script =
    `trap "" INT TERM HUP; chmod u+x "$1" 2>/dev/null; "$1" --no-logo --base-dir "$2" >/dev/null 2>&1 </dev/null & ` +
    `server=$!; cat >/dev/null; kill -9 $server; wait $server 2>/dev/null; rm -rf "$2"`;
  spawn("sh", ["-c", script, "sh", binary, folder], {
    stdio: ["pipe", "ignore", "ignore"],
    env: {
      ...process.env,
      RESTATE_INGRESS__BIND_ADDRESS: `127.0.0.1:${ingress}`,
      RESTATE_ADMIN__BIND_ADDRESS: `127.0.0.1:${admin}`,
      RESTATE_LISTEN_MODE: "tcp",
      RESTATE_BIND_ADDRESS: `127.0.0.1:${await freePort()}`,
    },
  });
}

async function post(url: string, body?: unknown): Promise<unknown> {
  const response = await fetch(url, {
    method: "POST",
    ...(body === undefined ? {} : { headers: { "content-type": "application/json" }, body: JSON.stringify(body) }),
  });
  const text = await response.text();
  if (!response.ok) throw new Error(`${url}: ${response.status} ${text}`);
  return JSON.parse(text);
}

async function eventually(what: () => Promise<unknown>): Promise<void> {
  for (let tries = 0;; tries++) {
    try {
      await what();
      return;
    } catch (error) {
      if (tries > 200) throw error;
      await pause(100);
    }
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once("error", reject).listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });
}
