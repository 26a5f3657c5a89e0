#!/usr/bin/env bash
# A run of a Restate service whose code has changed under it neither ends nor fails: it is tried again and again, and its caller waits.
# Expected: the caller gets an error that names the step which is not the recorded one
# Seen: a service is replaced, at the same address, while a run of it sleeps: the server reports a journal mismatch, and the caller has no answer 15 s later
# In version: @restatedev/restate-server 1.7.12, @restatedev/restate-sdk 1.17.2, bun 1.4.4
# Catga: src/flow/execution/drive.ts, docs/workflows.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund @restatedev/restate-server@1.7.12 @restatedev/restate-sdk@1.17.2 bun@1.4.4 || exit 2
free='require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })'
export INGRESS=127.0.0.1:$(node -e "$free") ADMIN=127.0.0.1:$(node -e "$free") SERVICE=$(node -e "$free")
RESTATE_NODE_NAME=a RESTATE_BASE_DIR="$dir/data" RESTATE_INGRESS__BIND_ADDRESS=$INGRESS RESTATE_ADMIN__BIND_ADDRESS=$ADMIN \
  RESTATE_BIND_ADDRESS=127.0.0.1:$(node -e "$free") RESTATE_AUTO_PROVISION=true RESTATE_DISABLE_TELEMETRY=true \
  node_modules/@restatedev/restate-server-linux-*/bin/restate-server >server.log 2>&1 &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import * as restate from "@restatedev/restate-sdk";
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const json = { "content-type": "application/json" };
async function until(attempt) {
  for (const end = Date.now() + 45_000; Date.now() < end; await sleep(100)) {
    const value = await attempt().catch(() => undefined);
    if (value) return value;
  }
  throw new Error("waited 45 s in vain");
}
const register = (port) =>
  until(async () => (await fetch(`http://${process.env.ADMIN}/deployments`, {
    ...{ method: "POST", headers: json },
    body: JSON.stringify({ uri: `http://127.0.0.1:${port}`, force: true }),
  })).ok);

if (process.argv[2]) {
  const first = process.argv[2];
  const order = async (ctx) => {
    await ctx.run(first, () => 1);
    await ctx.sleep(6_000);
    return first;
  };
  await restate.serve({ services: [restate.service({ name: "shop", handlers: { order } })], port: Number(process.env.SERVICE) });
} else {
  const begin = (step) => {
    const child = spawn(process.execPath, ["probe.mjs", step], { stdio: "ignore" });
    appendFileSync("pids", `${child.pid}\n`);
    return child;
  };
  const old = begin("reserve");
  await register(process.env.SERVICE);
  let state = "open";
  fetch(`http://${process.env.INGRESS}/shop/order`, { method: "POST", headers: json, body: "{}" })
    .then(async (response) => state = `${response.status} ${await response.text()}`, (error) => state = error.message);
  const runs = async () => {
    const query = "SELECT status, last_failure FROM sys_invocation";
    const options = { method: "POST", headers: { ...json, accept: "application/json" }, body: JSON.stringify({ query }) };
    return (await (await fetch(`http://${process.env.ADMIN}/query`, options)).json()).rows ?? [];
  };
  await until(async () => (await runs()).length > 0);
  await sleep(1_500);
  old.kill("SIGKILL");
  begin("charge");
  const failure = await until(async () => (await runs()).map(({ last_failure }) => last_failure).find((text) => /journal mismatch|RT0016/i.test(text ?? "")));
  await sleep(15_000);
  console.log(`saw: the server: ${failure.split("\n")[0].slice(0, 120)}; the caller, 15 s later: ${state}`);
  process.exit(state === "open" ? 0 : 1);
}
EOF
echo "versions: node $(node --version), @restatedev/restate-server@1.7.12 @restatedev/restate-sdk@1.17.2 bun@1.4.4"
node_modules/.bin/bun probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
