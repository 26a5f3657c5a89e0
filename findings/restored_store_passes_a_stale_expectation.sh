#!/usr/bin/env bash
# A stream that lost its end, as one from a backup, gives the same sequences out again, and an append that expects the lost one is stored behind another writer's.
# Expected: an expectation passes only if the message that the writer has seen is the last one
# Seen: a writer stored message 4, the store went back to 3, another writer stored its own 4, and the first one's append that expects its 4 was stored
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/log/subscriptions/leases.ts, src/nats/reading/log_place.ts
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
import { appendFileSync, cpSync } from "node:fs";
import { createServer } from "node:net";
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const port = await new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});
let server;
async function start(store) {
  server = spawn("usr/sbin/nats-server", ["-js", "-sd", store, "-a", "127.0.0.1", "-p", port], { stdio: "ignore" });
  appendFileSync("pids", `${server.pid}\n`);
  const nc = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true });
  return { nc, js: jetstream(nc), jsm: await jetstreamManager(nc) };
}
async function stop(nc, signal) {
  await nc.close();
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill(signal);
  await ended;
}

const expecting = (lastSubjectSequence) => ({ expect: { lastSubjectSequence } });
let { nc, js, jsm } = await start("js");
await jsm.streams.add({ name: "s", subjects: ["s.>"] });
for (let n = 1; n <= 3; n++) await js.publish("s.a", String(n), expecting(n - 1));
await stop(nc, "SIGTERM");
cpSync("js", "backup", { recursive: true });
({ nc, js } = await start("js"));
const mine = (await js.publish("s.a", "mine", expecting(3))).seq;
await stop(nc, "SIGTERM");
({ nc, js, jsm } = await start("backup"));
const theirs = (await js.publish("s.a", "theirs", expecting(3))).seq;
const next = await js.publish("s.a", "mine, too", expecting(mine)).then(({ seq }) => `stored as ${seq}`, (error) => error.code);
console.log(`saw: my append is ${mine}; of the older store theirs is ${theirs}; my next one, expecting ${mine}: ${next}`);
process.exit(mine === theirs && next === `stored as ${mine + 1}` ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
