#!/usr/bin/env bash
# A direct get, the default of KV buckets, may not see the write that was acknowledged just before it: any replica answers, also one that lags.
# Expected: who has an acknowledgement reads at least what it wrote
# Seen: on three servers some direct gets after the own acknowledgement are stale; reads by STREAM.MSG.GET, from the leader, are not
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/log/log_reads.ts
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
for (const name of Object.keys(nodes)) start(name);
const servers = Object.values(nodes).map(({ port }) => `127.0.0.1:${port}`);
const dial = { waitOnFirstConnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 100 };
const nc = await connect({ servers, ...dial });
const jsm = await jetstreamManager(nc, { checkAPI: false });
const js = jetstream(nc);
const until = async (attempt) => {
  for (;;) {
    const value = await attempt().catch(() => undefined);
    if (value) return value;
    await sleep(200);
  }
};
await until(() => jsm.streams.add({ name: "s", subjects: ["s.>"], num_replicas: 3, allow_direct: true }));

let [writes, direct, leader] = [0, 0, 0];
const end = Date.now() + 30_000;
while (Date.now() < end && (direct < 3 || writes < 200)) {
  const { seq } = await until(() => js.publish("s.k", `${writes}`));
  const query = { last_by_subj: "s.k" };
  const [any, led] = await Promise.all([jsm.direct.getMessage("s", query), jsm.streams.getMessage("s", query)].map((read) => read.catch(() => undefined)));
  writes++;
  if (any === null || any?.seq < seq) direct++;
  if (led === null || led?.seq < seq) leader++;
}
console.log(`saw: of ${writes} writes ${direct} were missed by a direct get, ${leader} by the leader`);
process.exit(direct > 0 && leader < direct ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
