#!/usr/bin/env bash
# A fraction of a second in a ttl is cut: an entry written with 1.9 s expires after 1.0 s.
# Expected: it lives for 1.9 s, or the ttl is refused, as one below 1 s is
# Seen: `kv.create(key, value, "1900ms")` succeeds, and the entry is gone before 1.9 s are over
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/bucket/key_value_store.ts
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
const kv = await new Kvm(nc).create("b", { markerTTL: 60_000 });
let least = Infinity;
for (let attempt = 0; attempt < 5 && least >= 1_900; attempt++) {
  const started = performance.now(); // before the write: the server's clock starts later
  await kv.create(`k${attempt}`, "v", "1900ms");
  while ((await kv.get(`k${attempt}`))?.operation === "PUT") await new Promise((resolve) => setTimeout(resolve, 20));
  least = Math.min(least, performance.now() - started);
}
console.log(`saw: an entry of 1,900 ms was gone after ${least.toFixed(0)} ms`);
await nc.close();
process.exit(least < 1_900 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
