#!/usr/bin/env bash
# A message for a stream that exists under one name at a leaf node and at its hub, each with a JetStream domain, is stored in both, and its publisher gets two acknowledgements.
# Expected: domains separate JetStreams, so that a publisher at the leaf reaches the stream of the leaf alone
# Seen: of 20 messages published at the leaf 20 are in each of the two streams, and 40 acknowledgements come, half of each domain; what is published to a subject below `$KV.` stays at the leaf
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/connection/store_domain.ts
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

const link = await free();
const hub = await dial(await start("hub", `jetstream { store_dir: "js-hub", domain: hub }\nleafnodes { listen: "127.0.0.1:${link}" }`));
const remote = `leafnodes { reconnect: 1, remotes: [{ url: "nats://127.0.0.1:${link}" }] }`;
const leaf = await dial(await start("leaf", `jetstream { store_dir: "js-leaf", domain: leaf }\n${remote}`));
hub.subscribe("linked", { callback: (_, message) => message.respond() });
while (await leaf.request("linked", "", { timeout: 500 }).then(() => false, () => true)) await sleep(100);
const api = async (nc, call, body) => (await nc.request(`$JS.API.${call}`, JSON.stringify(body ?? {}))).json();
for (const nc of [hub, leaf]) {
  for (const [name, subject] of [["log", "log.>"], ["KV_b", "$KV.b.>"]]) {
    while ((await api(nc, `STREAM.CREATE.${name}`, { name, subjects: [subject] }).catch(() => ({ error: 1 }))).error) await sleep(100);
  }
}
await sleep(1_000); // the interest of the streams crosses the link
const domains = {};
leaf.subscribe("answers", { callback: (_, message) => { const { domain } = message.json(); domains[domain] = (domains[domain] ?? 0) + 1; } });
for (let n = 0; n < 20; n++) {
  leaf.publish("log.a", `${n}`, { reply: "answers" });
  leaf.publish("$KV.b.k", `${n}`);
}
await leaf.flush();
await sleep(2_000);
const count = async (nc, name) => (await api(nc, `STREAM.INFO.${name}`)).state.messages;
const [logs, kvs] = [[await count(hub, "log"), await count(leaf, "log")], [await count(hub, "KV_b"), await count(leaf, "KV_b")]];
console.log(`saw: log at hub and leaf ${logs}, bucket ${kvs}, acknowledgements ${JSON.stringify(domains)}`);
process.exit(`${logs}` === "20,20" && `${kvs}` === "0,20" && domains.hub === 20 && domains.leaf === 20 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
