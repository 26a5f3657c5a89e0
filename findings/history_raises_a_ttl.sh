#!/usr/bin/env bash
# In a bucket with a history above 1 the server raises an entry's ttl to that of the markers.
# Expected: an entry lives for the ttl that it was written with
# Seen: with a history of 3 and markers of 6 s an entry of 1 s lives for 6 s; with a history of 1 for 1 s
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/bucket/bucket_stream.ts
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
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0 || exit 2
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
export NATS_URL=nats://127.0.0.1:$port
usr/sbin/nats-server -js -sd "$dir/js" -a 127.0.0.1 -p "$port" 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import { connect } from "@nats-io/transport-node";
import { Kvm } from "@nats-io/kv";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
async function life(history) {
  const kv = await new Kvm(nc).create(`h${history}`, { history, markerTTL: 6_000 });
  await kv.create("k", "v", "1s");
  const written = performance.now();
  while ((await kv.get("k"))?.operation === "PUT" && performance.now() - written < 20_000) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return performance.now() - written;
}
const [one, three] = await Promise.all([life(1), life(3)]);
console.log(`saw: an entry of 1 s lived for ${one.toFixed(0)} ms with a history of 1, ${three.toFixed(0)} ms with one of 3`);
process.exit(one < 5_000 && three > 5_500 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
