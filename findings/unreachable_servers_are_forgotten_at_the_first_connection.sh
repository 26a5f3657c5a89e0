#!/usr/bin/env bash
# nats.js removes those of its servers that do not answer before its first connection, and never goes to them later.
# Expected: each server of the list is tried again when the connection is lost
# Seen: given two addresses, of which one answers later, a client loses its server and does not go to the other
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/connection/connection.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
mkdir -p apt/parts apt/lists/partial apt/archives/partial
sed '/^$/q; s/^Suites:.*/Suites: forky/' /etc/apt/sources.list.d/debian.sources >apt/forky.sources
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$PWD/apt/forky.sources" -o Dir::Etc::sourceparts="$PWD/apt/parts" \
    -o Dir::State::Lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
{ apt update && apt download nats-server=2.15.1-1 && dpkg -x nats-server_*.deb .; } || exit 2
echo '{}' >package.json
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 || exit 2
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const free = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
const [late, early] = [await free(), await free()];
function start(port) {
  const child = spawn("usr/sbin/nats-server", ["-a", "127.0.0.1", "-p", port], { stdio: "ignore" });
  appendFileSync("pids", `${child.pid}\n`);
  return child;
}
const first = start(early);
await (await connect({ servers: `127.0.0.1:${early}`, waitOnFirstConnect: true })).close();
const servers = [`127.0.0.1:${late}`, `127.0.0.1:${early}`];
const nc = await connect({ servers, noRandomize: true, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
start(late);
await (await connect({ servers: servers[0], waitOnFirstConnect: true })).close();
const seen = [];
(async () => {
  for await (const { type } of nc.status()) seen.push(type);
})();
first.kill("SIGKILL");
while (!seen.includes("disconnect")) await sleep(20);
await sleep(8_000);
console.log(`saw: after 8 s without its server: ${seen.includes("reconnect") ? "connected to the other" : "not connected to the other"}`);
process.exit(seen.includes("reconnect") ? 1 : 0);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
