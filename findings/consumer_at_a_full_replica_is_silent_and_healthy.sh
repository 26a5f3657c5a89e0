#!/usr/bin/env bash
# A consumer at a server of three whose store is full delivers no message that this server could not store, and heartbeats as if all were well.
# Expected: the consumer moves to a server that has the messages, or a warning or an error reaches the reader
# Seen: all 600 appends are acknowledged; readers at the full server get the first 200, then heartbeats every 500 ms, and their consumers say that nothing is pending
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/reading/log_delivery.ts
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
import { appendFileSync, writeFileSync } from "node:fs";
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
  const limit = name === "c" ? ", max_file_store: 2000000" : "";
  writeFileSync(`${name}.conf`, `jetstream { store_dir: "js-${name}"${limit} }`);
  const own = ["-c", `${name}.conf`, "-n", name, "-a", "127.0.0.1", "-p", port];
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

const { cluster } = await jsm.streams.info("s");
if (cluster.leader === "c") await nc.request("$JS.API.STREAM.LEADER.STEPDOWN.s");
const seen = {};
const places = {};
for (let n = 0; n < 12 || !Object.values(places).includes("c"); n++) {
  const subject = `deliver.${n}`;
  const of = seen[subject] = { delivered: 0, heartbeats: 0 };
  nc.subscribe(subject, { callback: (_, { headers }) => void (headers?.code === 100 ? of.heartbeats++ : of.delivered++) });
  const info = await until(() => jsm.consumers.add("s", {
    ...{ name: `r${n}`, deliver_subject: subject, ack_policy: "none", num_replicas: 1 },
    ...{ deliver_policy: "all", idle_heartbeat: 500_000_000, inactive_threshold: 60_000_000_000 },
  }));
  places[subject] = info.cluster.leader;
}
let stored = 0;
const payload = new Uint8Array(10_000);
for (let n = 0; n < 600; n++) {
  await until(async () => (await js.publish(`s.${n}`, payload)).seq);
  stored++;
}
const healthy = () => Object.values(seen).every(({ heartbeats }) => heartbeats >= 5);
for (let n = 0; n < 100 && !healthy(); n++) await sleep(200);
let [elsewhere, full, pending] = [0, 0, 0];
let first = 0;
for (const [subject, { delivered }] of Object.entries(seen)) {
  if (places[subject] !== "c") {
    if (delivered === stored) elsewhere++;
    continue;
  }
  const { num_pending, cluster } = await until(() => jsm.consumers.info("s", `r${subject.split(".")[1]}`));
  if (cluster.leader === "c" && delivered < stored) full++;
  first = Math.max(first, delivered);
  pending += num_pending;
}
console.log(
  `saw: ${stored} stored; all of them at ${elsewhere} readers of other servers; at ${full} readers of the full one ` +
    `the first ${first}, ${pending} pending; heartbeats at ${healthy() ? "all" : "some"}`,
);
process.exit(healthy() && full > 0 && pending === 0 && elsewhere + full === Object.keys(places).length ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
