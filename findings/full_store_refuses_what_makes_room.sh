#!/usr/bin/env bash
# A stream that is full and discards what is new refuses a rollup too, though it would replace what is stored by less.
# Expected: a message that replaces all others of the stream by a smaller one is stored
# Seen: error 10077, and the stream is as full as before
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/bucket/sweeper.ts
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
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
export NATS_URL=nats://127.0.0.1:$port
usr/sbin/nats-server -js -sd "$dir/js" -a 127.0.0.1 -p "$port" 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)];
import { headers } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

await jsm.streams.add({ name: "s", subjects: ["s"], max_bytes: 20_000, discard: "new", allow_rollup_hdrs: true });
let stored = 0;
while (await js.publish("s", "x".repeat(1_000)).then(() => true, () => false)) stored++;
const made = headers();
made.set("Nats-Rollup", "sub");
const outcome = await js.publish("s", "x".repeat(500), { headers: made }).then(() => "stored", (error) => error);
const { state } = await jsm.streams.info("s");
console.log(`saw: ${stored} messages fill it; the rollup: ${outcome.code ?? ""} ${outcome.message ?? outcome}; ${state.messages} there`);
process.exit(outcome.code === 10077 && state.messages === stored ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
