#!/usr/bin/env bash
# A reload that changes `max_payload` is not told to clients that are connected: a message that is too large by now ends the connection, and a limit that was raised is refused by the client until it connects again.
# Expected: a new INFO for each client, as for servers that join a cluster; or the client that was told 1,048,576 gets an error for the message alone
# Seen: after a reload to 65,536 bytes the client publishes 100,000 and is disconnected; after one to 1,000,000 it refuses 100,000 by itself
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/connection/transport.ts, docs/errors.md
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
export NATS_URL=nats://127.0.0.1:$port CONFIG=nats.conf
echo 'max_payload: 1000000' >nats.conf
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

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true, reconnectTimeWait: 50 });
const events = [];
void (async () => {
  for await (const { type } of nc.status()) events.push(type);
})();
await reload("max_payload: 65536");
const told = nc.info.max_payload;
nc.publish("a", new Uint8Array(100_000));
while (!events.includes("reconnect")) await pause(20);
const learnt = nc.info.max_payload;
await reload("max_payload: 1000000");
await pause(500);
let refused = false;
try {
  nc.publish("a", new Uint8Array(100_000));
} catch (error) {
  refused = error.message.includes("max_payload");
}
console.log(
  `saw: lowered: told ${told}, a message of 100,000 bytes: ${events.includes("disconnect") ? "disconnected" : "ok"}, ` +
    `then told ${learnt}; raised: told ${nc.info.max_payload}, a message ${refused ? "refused by the client" : "ok"}`,
);
process.exit(told === 1_000_000 && learnt === 65_536 && nc.info.max_payload === 65_536 && refused ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
