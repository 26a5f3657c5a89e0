#!/usr/bin/env bash
# One subscriber that listens to everything, as `nats sub '>'` does, takes "no responders" away from all requests: they time out instead.
# Expected: a listener that answers nothing does not change what requesters get
# Seen: a request to nobody fails at once; with a tap on `>` it waits for its whole timeout
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: docs/cluster.md
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
const [nc, tap] = [await connect(options), await connect(options)];
const outcome = () => nc.request("nobody", "", { timeout: 3_000 }).then(() => "answered", ({ name, message }) => `${name}: ${message}`);
const alone = await outcome();
const listening = tap.subscribe(">", { callback: () => {} });
await tap.flush();
const tapped = await outcome();
listening.unsubscribe();
await tap.flush();
const again = await outcome();
console.log(`saw: alone ${alone}; with a tap ${tapped}; without it again ${again}`);
process.exit(/no responders/i.test(alone) && /timeout/i.test(tapped) && /no responders/i.test(again) ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
