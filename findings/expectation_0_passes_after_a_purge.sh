#!/usr/bin/env bash
# `Nats-Expected-Last-Subject-Sequence: 0` means that nothing stands there now, not that nothing ever did: after a purge it passes again.
# Expected: a write that expects a subject without history is refused once the subject had messages
# Seen: the second creation succeeds after a purge, and after expiry
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/entities/entity_stream.ts
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

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)];

await jsm.streams.add({ name: "s", subjects: ["s.>"], allow_msg_ttl: true });
const create = (subject, ttl) =>
  js.publish(subject, "x", { expect: { lastSubjectSequence: 0 }, ...(ttl ? { ttl } : {}) }).then(() => "stored", (error) => error.code);
const [first, second] = [await create("s.a"), await create("s.a")];
await jsm.streams.purge("s", { filter: "s.a" });
const purged = await create("s.a");
await create("s.b", "1s");
let expired;
const until = Date.now() + 15_000;
while ((expired = await create("s.b")) !== "stored" && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
console.log(`saw: created: ${first}; again: ${second}; after a purge: ${purged}; after expiry: ${expired}`);
process.exit(second === 10071 && purged === "stored" && expired === "stored" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
