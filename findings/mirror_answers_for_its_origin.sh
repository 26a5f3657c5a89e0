#!/usr/bin/env bash
# A mirror in the same account answers direct gets of the stream that it mirrors, also with "not found" for what it does not keep, and also if it was made with `mirror_direct: false`.
# Expected: a direct get of a stream is answered by a server that has the stream; a mirror answers under its own name, or if it was asked to
# Seen: one server, a mirror with a filter that keeps none of 20 messages: about half of 200 direct gets of them by the origin's name are "not found", none by STREAM.MSG.GET; the mirror's settings say `mirror_direct: true`
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/stream/direct_reads.ts
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
import { appendFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 60 s"), process.exit(1)), 60_000).unref();

const free = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
async function start(name, config) {
  const port = await free();
  writeFileSync(`${name}.conf`, `server_name: ${name}\nlisten: "127.0.0.1:${port}"\n${config}\n`);
  const child = spawn("usr/sbin/nats-server", ["-c", `${name}.conf`], { stdio: "ignore" });
  appendFileSync("pids", `${child.pid}\n`);
  return port;
}
const dial = (port, options) =>
  connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 100, maxReconnectAttempts: -1, ...options });

const port = await start("a", 'jetstream { store_dir: "js" }');
const nc = await dial(port);
const api = async (call, body) => (await nc.request(`$JS.API.${call}`, JSON.stringify(body))).json();
while ((await api("STREAM.CREATE.s", { name: "s", subjects: ["s.>"], allow_direct: true }).catch(() => ({ error: 1 }))).error) await sleep(100);
for (let n = 0; n < 20; n++) await nc.request(`s.${n}`, "x");
const mirror = { name: "s", filter_subject: "s.other" };
const { config } = await api("STREAM.CREATE.m", { name: "m", mirror, mirror_direct: false });
for (let n = 0; n < 20; n++) { // the mirror answers once it has caught up
  await nc.request("s.other", "x");
  await sleep(50);
}
let [direct, leader] = [0, 0];
for (let n = 0; n < 200; n++) {
  const query = JSON.stringify({ last_by_subj: `s.${n % 20}` });
  const found = await nc.request("$JS.API.DIRECT.GET.s", query);
  if (found.headers?.code === 404) direct++;
  if ((await nc.request("$JS.API.STREAM.MSG.GET.s", query)).json().error) leader++;
}
console.log(`saw: ${direct} of 200 direct gets were "not found", ${leader} of the leader; mirror_direct: ${config.mirror_direct}`);
process.exit(direct > 50 && direct < 150 && leader === 0 && config.mirror_direct ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
