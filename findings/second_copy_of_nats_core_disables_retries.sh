#!/usr/bin/env bash
# With a second copy of nats-core in a program `js.publish` does not retry any more: errors are recognised by `instanceof`.
# Expected: a copy of the same version behaves the same, or refuses a connection of the other
# Seen: four retries to a subject without a stream take 250 ms each with one copy, and end at once with two
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/connection/nats_error.ts
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
mkdir second
echo '{}' >second/package.json
npm install --silent --no-audit --no-fund --prefix second @nats-io/jetstream@3.4.0 || exit 2
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
export NATS_URL=nats://127.0.0.1:$port
usr/sbin/nats-server -js -sd "$dir/js" -a 127.0.0.1 -p "$port" 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import { createRequire } from "node:module";
import { connect } from "@nats-io/transport-node";
import * as own from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const other = createRequire(new URL("second/", import.meta.url))("@nats-io/jetstream");
const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
async function attempts({ jetstream }) {
  const started = performance.now();
  const error = await jetstream(nc).publish("nobody", "x", { retries: 4 }).then(() => undefined, (error) => error);
  return { error: error?.name, ms: performance.now() - started };
}
await attempts(own);
const [one, two] = [await attempts(own), await attempts(other)];
const text = ({ error, ms }) => `${error} after ${ms.toFixed(0)} ms`;
console.log(`saw: one copy: ${text(one)}; two copies: ${text(two)}`);
process.exit(one.error === "JetStreamNotEnabled" && one.ms > 300 && two.error !== one.error ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
