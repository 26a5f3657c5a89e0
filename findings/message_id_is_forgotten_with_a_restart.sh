#!/usr/bin/env bash
# The message id of a message that was deleted within the window for duplicates is known until the server restarts, and then forgotten.
# Expected: an id is known for the whole window, or only while its message is stored
# Seen: after a purge a repeat is a duplicate; after a restart within the window it is stored
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/log/publishing/publisher.ts
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
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 || exit 2
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const port = await new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
function start() {
  const child = spawn("usr/sbin/nats-server", ["-js", "-sd", "js", "-a", "127.0.0.1", "-p", port], { stdio: "ignore" });
  appendFileSync("pids", `${child.pid}\n`);
  return child;
}
async function killed(child) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

let server = start();
const open = async () => {
  const nc = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true });
  return { nc, js: jetstream(nc), jsm: await jetstreamManager(nc) };
};
const first = await open();
await first.jsm.streams.add({ name: "s", subjects: ["s"], duplicate_window: 3_600_000_000_000 });
await first.js.publish("s", "x", { msgID: "1" });
await first.jsm.streams.purge("s");
const before = (await first.js.publish("s", "x", { msgID: "1" })).duplicate;
await first.nc.close();
const ended = new Promise((resolve) => server.once("exit", resolve));
server.kill("SIGTERM");
await ended;
server = start();
const second = await open();
const after = (await second.js.publish("s", "x", { msgID: "1" })).duplicate;
console.log(`saw: a repeat after a purge is a duplicate: ${before}; after a restart, too: ${after}`);
process.exit(before && !after ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
