#!/usr/bin/env bash
# The revisions of a KV bucket start at 1 again when it is made anew, so they are no fencing tokens over the loss of a bucket.
# Expected: a revision that was given out is not given out again
# Seen: a bucket in memory, 50 writes, a restart of the server: the next write has revision 1
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/stream/owned_stream.ts
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
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0 || exit 2
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { Kvm } from "@nats-io/kv";

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
const options = { servers: `127.0.0.1:${port}`, waitOnFirstConnect: true };
const write = async (times) => {
  const nc = await connect(options);
  const kv = await new Kvm(nc).create("locks", { storage: "memory" });
  let revision = 0;
  for (let n = 0; n < times; n++) revision = await kv.put("holder", `${n}`);
  await nc.close();
  return revision;
};
const before = await write(50);
await killed(server);
server = start();
const after = await write(1);
console.log(`saw: the last revision before the restart ${before}, the first one after it ${after}`);
process.exit(before === 50 && after === 1 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
