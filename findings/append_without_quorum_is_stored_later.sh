#!/usr/bin/env bash
# An append that times out because there is no quorum is stored when the quorum returns.
# Expected: what could not be replicated when it was asked for is dropped
# Seen: two of three servers are stopped for some seconds; all appends that timed out meanwhile are in the stream afterwards
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/log/pending_appends.ts
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
await until(() => jsm.streams.add({ name: "s", subjects: ["s.>"], num_replicas: 3 }));

let [timedOut, stored] = [0, 0];
for (let round = 0; round < 4 && stored === 0; round++) {
  const { cluster } = await until(() => jsm.streams.info("s"));
  const writer = await connect({ servers: `127.0.0.1:${nodes[cluster.leader].port}`, ...dial, ignoreClusterUpdates: true });
  const followers = Object.keys(nodes).filter((name) => name !== cluster.leader);
  for (const name of followers) nodes[name].process.kill("SIGSTOP");
  const subjects = Array.from({ length: 20 }, (_, n) => `s.${round}-${n}`);
  const expect = { lastSubjectSequence: 0 };
  const outcomes = await Promise.all(subjects.map((subject) =>
    jetstream(writer, { timeout: 1_500 }).publish(subject, "x", { expect }).then(() => "stored", ({ name }) => name)
  ));
  for (const name of followers) nodes[name].process.kill("SIGCONT");
  const unknown = subjects.filter((_, n) => outcomes[n] === "TimeoutError");
  timedOut += unknown.length;
  await sleep(2_000);
  const { state } = await until(() => jsm.streams.info("s", { subjects_filter: `s.>` }));
  stored += unknown.filter((subject) => state.subjects?.[subject]).length;
}
console.log(`saw: ${timedOut} appends timed out; ${stored} of them are in the stream`);
process.exit(stored > 0 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
