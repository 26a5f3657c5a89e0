#!/usr/bin/env bash
# A responder that was frozen gets requests after their requester has given up: NATS carries no deadline.
# Expected: a request whose requester timed out is not delivered any more
# Seen: a request with 1 s to live, sent while the responder was stopped, is handled once it runs again
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/cluster/wire/received_frames.ts
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
export NATS_URL=nats://127.0.0.1:$port
usr/sbin/nats-server -js -sd "$dir/js" -a 127.0.0.1 -p "$port" 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { connect } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const program = `
  import { connect } from "@nats-io/transport-node";
  const nc = await connect({ servers: process.env.NATS_URL });
  nc.subscribe("work", { callback: (_, message) => { nc.publish("ran", message.data); message.respond("ok"); } });
  await nc.flush();
  console.log("ready");`;
const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const ran = [];
nc.subscribe("ran", { callback: (_, message) => void ran.push(message.string()) });
await nc.flush();
const responder = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: ["ignore", "pipe", "inherit"] });
appendFileSync("pids", `${responder.pid}\n`);
await new Promise((resolve) => responder.stdout.once("data", resolve));
responder.kill("SIGSTOP");
const sent = performance.now();
const outcome = await nc.request("work", "late", { timeout: 1_000 }).then(() => "answered", (error) => error.name);
await new Promise((resolve) => setTimeout(resolve, 2_000));
const before = ran.length;
responder.kill("SIGCONT");
while (ran.length === 0 && performance.now() - sent < 20_000) await new Promise((resolve) => setTimeout(resolve, 20));
const after = performance.now() - sent;
console.log(`saw: the request: ${outcome}; handled ${ran.length} times, ${after.toFixed(0)} ms after it was sent`);
process.exit(outcome === "TimeoutError" && before === 0 && ran.includes("late") ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
