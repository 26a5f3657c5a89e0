#!/usr/bin/env bash
# A subscription that nats-server refuses because of a limit of subscriptions looks open in nats.js, and is missing until the next reconnect, also when a reload has raised the limit; the error does not say which one it is.
# Expected: the subscription ends with an error, as one without a permission does, or it exists once there is room
# Seen: 5 subscriptions of an account that may have 3: an error of the connection without a subject; all 5 are open, 3 get messages, also after the limit was raised
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/connection/refused_subscriptions.ts
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
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
export NATS_URL=nats://a:p@127.0.0.1:$port CONFIG=nats.conf
echo 'accounts { A { users: [{ user: a, password: p }], limits: { max_subs: 3 } } }' >nats.conf
usr/sbin/nats-server -c nats.conf -a 127.0.0.1 -p "$port" 2>server.log &
echo $! >>pids; disown
export SERVER=$!
cat >probe.mjs <<'EOF'
import { readFileSync, writeFileSync } from "node:fs";
import { connect } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 60 s"), process.exit(1)), 60_000).unref();

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const reloads = () => readFileSync("server.log", "utf8").split("Reloaded server configuration").length;
const reload = async (config) => {
  const before = reloads();
  writeFileSync(process.env.CONFIG, config);
  process.kill(Number(process.env.SERVER), "SIGHUP");
  while (reloads() === before) await pause(20);
  await nc.flush();
};

const { hostname, port } = new URL(process.env.NATS_URL);
const nc = await connect({ servers: `${hostname}:${port}`, user: "a", pass: "p", waitOnFirstConnect: true });
const errors = [];
void (async () => {
  for await (const status of nc.status()) if (status.type === "error") errors.push(status.error.message);
})();
const got = new Set();
const subjects = ["a", "b", "c", "d", "e"];
const subscriptions = subjects.map((subject) => nc.subscribe(subject, { callback: () => got.add(subject) }));
const count = async () => {
  got.clear();
  for (const subject of subjects) nc.publish(subject);
  await nc.flush();
  await nc.flush();
  return got.size;
};
const before = await count();
await reload("accounts { A { users: [{ user: a, password: p }] } }");
await pause(2_000);
const after = await count();
const open = subscriptions.filter((each) => !each.isClosed()).length;
console.log(`saw: "${errors[0]}"; ${open} of 5 are open; got messages: ${before}, with the limit raised ${after}`);
process.exit(before === 3 && after === 3 && open === 5 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
