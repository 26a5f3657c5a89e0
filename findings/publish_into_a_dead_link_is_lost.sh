#!/usr/bin/env bash
# What is published while nats.js is disconnected is accepted without an error and then thrown away.
# Expected: `publish` throws while there is no connection, or what it took is sent after the reconnect
# Seen: of 200 messages published during an outage next to none arrives, and one published after the reconnect does
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/connection/transport.ts, src/nats/connection/connection.ts
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
import { appendFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const port = await new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
function start() {
  const child = spawn("usr/sbin/nats-server", ["-js", "-sd", "js", "-a", "127.0.0.1", "-p", port], { stdio: "ignore" });
  appendFileSync("pids", `${child.pid}\n`);
  return child;
}
async function killed(child) {
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

let server = start();
const options = { servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 100 };
const [publisher, subscriber] = [await connect(options), await connect(options)];
const events = (nc) => {
  const seen = [];
  (async () => {
    for await (const { type } of nc.status()) seen.push(type);
  })();
  return seen;
};
const until = async (condition) => {
  while (!condition()) await sleep(20);
};
const [ofPublisher, ofSubscriber] = [events(publisher), events(subscriber)];
const arrived = [];
subscriber.subscribe("s", { callback: (_, message) => void arrived.push(message.string()) });
await subscriber.flush();
await killed(server);
await until(() => ofPublisher.includes("disconnect") && ofSubscriber.includes("disconnect"));
let thrown = 0;
for (let n = 0; n < 200; n++) {
  try {
    publisher.publish("s", `outage ${n}`);
  } catch {
    thrown++;
  }
  if (n % 10 === 9) await sleep(50);
}
server = start();
await until(() => ofPublisher.includes("reconnect") && ofSubscriber.includes("reconnect"));
await subscriber.flush();
while (!arrived.includes("after")) {
  publisher.publish("s", "after");
  await publisher.flush();
  await sleep(50);
}
await sleep(1_000);
const late = arrived.filter((text) => text !== "after").length;
console.log(`saw: of 200 published during the outage ${thrown} threw and ${late} arrived; one published later arrived`);
process.exit(thrown === 0 && late < 100 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
