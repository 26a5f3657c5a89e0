#!/usr/bin/env bash
# A message that a stream of retention `interest` acknowledged and dropped, because nobody consumed it yet, is known by its id: the repeat that comes when there is a consumer is a "duplicate", and is not stored.
# Expected: what is not stored is no duplicate, or what nobody takes is not acknowledged with a sequence
# Seen: published before the first consumer: `seq: 1`, nothing stored; published again with one: `duplicate: true`, and nothing to deliver; a message with another id is delivered
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/stream/stream_settings.ts
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
await make("jobs", { subjects: ["job"], retention: "interest" });
const publish = async (id) => {
  const head = headers();
  head.set("Nats-Msg-Id", id);
  return (await nc.request("job", "x", { headers: head })).json();
};
const first = await publish("order-7");
await api("CONSUMER.CREATE.jobs.worker", { stream_name: "jobs", config: { durable_name: "worker", ack_policy: "explicit" } });
const repeat = await publish("order-7");
const other = await publish("order-8");
const { num_pending } = await api("CONSUMER.INFO.jobs.worker", {});
console.log(`saw: first ${JSON.stringify(first)}, repeat ${JSON.stringify(repeat)}, another ${JSON.stringify(other)}; pending ${num_pending}`);
process.exit(first.seq === 1 && !first.duplicate && repeat.duplicate && !other.duplicate && num_pending === 1 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
