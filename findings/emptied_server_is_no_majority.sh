#!/usr/bin/env bash
# A server of three that comes back with an empty store does not count for an election: with it and one whole server running, and the third away, nobody leads.
# Expected: two of three running servers are a majority, as they are when the second one has only missed the last messages
# Seen: no leader for 20 s; with the third server back there is one, and all messages are there; two servers that keep their stores have a leader within seconds
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: docs/state.md, test/processes/server_trio.ts
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
import { once } from "node:events";
import { appendFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const free = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
const nodes = {};
for (const name of ["a", "b", "c"]) nodes[name] = { port: await free(), route: await free() };
const routes = Object.values(nodes).map(({ route }) => `nats://127.0.0.1:${route}`).join();
function start(name) {
  const { port, route } = nodes[name];
  const own = ["-js", "-sd", `js-${name}`, "-n", name, "-a", "127.0.0.1", "-p", port];
  const cluster = ["--cluster_name", "c", "--cluster", `nats://127.0.0.1:${route}`, "--routes", routes];
  nodes[name].process = spawn("usr/sbin/nats-server", [...own, ...cluster], { stdio: "ignore" });
  appendFileSync("pids", `${nodes[name].process.pid}\n`);
}
async function kill(name) {
  const gone = once(nodes[name].process, "exit");
  nodes[name].process.kill("SIGKILL");
  await gone;
}
for (const name of Object.keys(nodes)) start(name);
const servers = Object.values(nodes).map(({ port }) => `127.0.0.1:${port}`);
const nc = await connect({ servers, waitOnFirstConnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
const jsm = await jetstreamManager(nc, { checkAPI: false, timeout: 1_000 });
const js = jetstream(nc, { timeout: 1_000 });
const until = async (attempt, ms = 90_000) => {
  for (const end = Date.now() + ms; Date.now() < end;) {
    const value = await attempt().catch(() => undefined);
    if (value) return value;
    await sleep(200);
  }
};
const publish = async (count) => {
  for (let n = 0; n < count; n++) await until(() => js.publish("s", "x", { msgID: `${Math.random()}` }));
};
const led = async () => {
  const info = await jsm.streams.info("s");
  return info.cluster.leader && info;
};
const inSync = async () => {
  const info = await led();
  return info && info.cluster.replicas.every(({ current, offline }) => current && !offline) && info;
};
// One server misses five messages and is back, and so is the second one, with its store or without; the leader stays away.
const round = async (emptied) => {
  const { cluster: { leader } } = await until(inSync);
  const [second, missing] = Object.keys(nodes).filter((name) => name !== leader);
  await kill(missing);
  await publish(5);
  await kill(leader);
  await kill(second);
  if (emptied) rmSync(`js-${second}`, { recursive: true });
  start(second);
  start(missing);
  const began = Date.now();
  const during = await until(led, emptied ? 20_000 : 30_000);
  const took = Date.now() - began;
  start(leader);
  const { state: { messages } } = await until(inSync);
  return { led: during !== undefined, took, messages };
};
await until(() => jsm.streams.add({ name: "s", subjects: ["s"], num_replicas: 3 }));
await publish(10);
const kept = await round(false);
const emptied = await round(true);
const text = ({ led, took }) => led ? `a leader after ${took} ms` : `no leader for ${took} ms`;
console.log(`saw: both with their stores: ${text(kept)}; one emptied: ${text(emptied)}`);
console.log(`with the third server back: ${kept.messages} and ${emptied.messages} messages`);
process.exit(kept.led && !emptied.led && kept.messages >= 15 && emptied.messages >= kept.messages + 5 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
