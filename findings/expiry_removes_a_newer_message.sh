#!/usr/bin/env bash
# With replicas, the expiry of a message removes a newer message of its subject that was stored in between, although that was acknowledged and has a ttl of its own.
# Expected: a message that replaced an expiring one, by its sequence, and was acknowledged, is there until its own ttl ends
# Seen: of 20 messages that are replaced while two of three servers are stopped, and whose ttl ends before these go on, all replacements are acknowledged then, and gone at once, below a marker of the expiry; without faults it is a matter of milliseconds
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/state/store/leased_entry.ts
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
for (const [name, { port, route }] of Object.entries(nodes)) {
  const own = ["-js", "-sd", `js-${name}`, "-n", name, "-a", "127.0.0.1", "-p", port];
  const cluster = ["--cluster_name", "c", "--cluster", `nats://127.0.0.1:${route}`, "--routes", routes];
  const server = spawn("usr/sbin/nats-server", [...own, ...cluster], { stdio: "ignore" });
  nodes[name].pid = server.pid;
  appendFileSync("pids", `${server.pid}\n`);
}
const servers = Object.values(nodes).map(({ port }) => `127.0.0.1:${port}`);
const nc = await connect({ servers, waitOnFirstConnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 100 });
const jsm = await jetstreamManager(nc, { checkAPI: false });
const until = async (attempt) => {
  for (;;) {
    const value = await attempt().catch(() => undefined);
    if (value) return value;
    await sleep(200);
  }
};
const settings = { max_msgs_per_subject: 1, allow_msg_ttl: true, subject_delete_marker_ttl: 60e9, allow_rollup_hdrs: true };
await until(() => jsm.streams.add({ name: "s", subjects: ["s.>"], num_replicas: 3, ...settings }));
const { leader } = (await jsm.streams.info("s")).cluster;
const followers = Object.keys(nodes).filter((name) => name !== leader).map((name) => nodes[name].pid);
// The others do not run for a while: what is published to the leader meanwhile is acknowledged when they run again.
const led = await connect({ servers: `127.0.0.1:${nodes[leader].port}` });
const js = jetstream(led, { timeout: 20_000 });
const seen = { acknowledged: 0, gone: 0, markers: 0 };
const subjects = Array.from({ length: 20 }, (_, n) => `s.${n}`);
const old = await Promise.all(subjects.map((subject) => js.publish(subject, "old", { ttl: "4s" })));
await sleep(2_000);
for (const pid of followers) process.kill(pid, "SIGSTOP");
const replacing = subjects.map((subject, n) =>
  js.publish(subject, "new", { ttl: "1h", expect: { lastSubjectSequence: old[n].seq } }).catch(() => undefined)
);
await sleep(2_700);
for (const pid of followers) process.kill(pid, "SIGCONT");
const replaced = await Promise.all(replacing);
await sleep(1_000);
for (const [n, subject] of subjects.entries()) {
  if (replaced[n] === undefined) continue;
  seen.acknowledged++;
  const found = await until(() => jsm.streams.getMessage("s", { last_by_subj: subject }));
  if (found.seq === replaced[n].seq) continue;
  seen.gone++;
  if (found.header.get("Nats-Marker-Reason") === "MaxAge") seen.markers++;
}
console.log(`saw: ${seen.acknowledged} acknowledged, ${seen.gone} gone, ${seen.markers} below a marker of an expiry`);
process.exit(seen.acknowledged > 0 && seen.gone === seen.acknowledged && seen.markers === seen.gone ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
