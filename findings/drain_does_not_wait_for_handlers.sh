#!/usr/bin/env bash
# `drain()` of a NATS connection resolves while an async handler still runs; its answer, given later, is lost though `respond()` returns true.
# Expected: a drain waits until the handlers of what was received have answered, or `respond()` says that the connection is closed
# Seen: the drain is over while the handler waits for 1 s, `respond()` returns true, and the requester times out
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/node/drain.ts
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
import { connect } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const options = { servers: process.env.NATS_URL, waitOnFirstConnect: true };
const [server, client] = [await connect(options), await connect(options)];
let answered;
let received;
const arrived = new Promise((resolve) => received = resolve);
server.subscribe("work", {
  callback: async (_, message) => {
    received();
    await new Promise((resolve) => setTimeout(resolve, 1_000));
    answered = message.respond("done");
  },
});
await server.flush();
const outcome = client.request("work", "", { timeout: 4_000 }).then((reply) => reply.string(), (error) => error.name);
await arrived;
await server.drain();
const pending = answered === undefined;
const result = await outcome;
console.log(`saw: drain over while the handler ran: ${pending}; respond() returned ${answered}; the request: ${result}`);
process.exit(pending && answered === true && result === "TimeoutError" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
