#!/usr/bin/env bash
# A mirror keeps what a ttl or a rollup has removed from its origin, unless it was made with `allow_msg_ttl` and `allow_rollup_hdrs` itself: each stream carries out the headers that its own settings allow, and copies the others.
# Expected: a mirror has what its origin has, or its creation is refused or takes the settings over
# Seen: five messages with a ttl of 3 s, five of one subject and a rollup over them: when the origin has 1 message, so has a mirror with its settings, and one without them has 11; its creation, and its lag, say nothing
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: docs/topologies.md
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
import { connect, headers } from "@nats-io/transport-node";

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
const make = async (name, config) => {
  while ((await api(`STREAM.CREATE.${name}`, { name, ...config }).catch(() => ({ error: 1 }))).error) await sleep(100);
};
const publish = async (subject, name, value) => {
  const head = headers();
  head.set(name, value);
  return (await nc.request(subject, "x", { headers: head })).json();
};
await make("locks", { subjects: ["lock.*"], allow_msg_ttl: true, allow_rollup_hdrs: true });
await make("plain", { mirror: { name: "locks" } });
await make("same", { mirror: { name: "locks" }, allow_msg_ttl: true, allow_rollup_hdrs: true });
for (let n = 0; n < 5; n++) await publish(`lock.${n}`, "Nats-TTL", "3s");
for (let n = 0; n < 5; n++) await nc.request("lock.rolled", "x");
const messages = async (name) => (await api(`STREAM.INFO.${name}`, {})).state.messages;
while (await messages("plain") < 10 || await messages("same") < 10) await sleep(50);
await publish("lock.rolled", "Nats-Rollup", "sub");
while (await messages("locks") > 1 || await messages("same") > 1) await sleep(200);
await sleep(2_000);
const seen = [await messages("locks"), await messages("same"), await messages("plain")];
console.log(`saw: messages in the origin ${seen[0]}, in a mirror with its settings ${seen[1]}, in one without them ${seen[2]}`);
process.exit(`${seen}` === "1,1,11" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
