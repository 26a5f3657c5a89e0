#!/usr/bin/env bash
# A step of a Restate service returns what its function returned as JSON has it, also the first time: a `Date` is a text, a `Map` an empty object, while the types say otherwise.
# Expected: the value itself in the run that made it, or an error for what JSON lacks
# Seen: `ctx.run` of a function that returns a `Date` and a `Map` resolves with a `String` and an `Object` without members
# In version: @restatedev/restate-server 1.7.12, @restatedev/restate-sdk 1.17.2, bun 1.4.4
# Catga: src/flow
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

const order = async (ctx) => {
  const { at, stock } = await ctx.run("read", () => ({ at: new Date(0), stock: new Map([["tea", 2]]) }));
  return `${at.constructor.name}, ${stock.constructor.name} of ${stock.size ?? Object.keys(stock).length}`;
};
const service = restate.service({ name: "shop", handlers: { order } });
await restate.serve({ services: [service], port: Number(process.env.SERVICE) });
await register(process.env.SERVICE);
const answer = await until(async () => {
  const response = await fetch(`http://${process.env.INGRESS}/shop/order`, { method: "POST", headers: json, body: "{}" });
  return response.ok && await response.json();
});
console.log(`saw: a step that returned a Date and a Map of 1 gave ${answer}`);
process.exit();
EOF
echo "versions: node $(node --version), @restatedev/restate-server@1.7.12 @restatedev/restate-sdk@1.17.2 bun@1.4.4"
step() {
  node_modules/.bin/bun probe.mjs >probe.log &
  echo $! >>pids
  wait $! || true # the answer counts, not how a process that serves HTTP/2 ends
  grep '^saw: ' probe.log
  grep -q 'gave String, Object of 0$' probe.log
}
step &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
