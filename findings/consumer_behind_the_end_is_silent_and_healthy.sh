#!/usr/bin/env bash
# A consumer that resumes behind the end of a stream that was made anew delivers nothing of what is stored there, and heartbeats as if all were well.
# Expected: its creation is refused, or a warning or error reaches the reader
# Seen: new messages below the start are never delivered; heartbeats arrive every 500 ms
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/reading/log_place.ts
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
const settings = { name: "log", subjects: ["log.>"] };
await jsm.streams.add(settings);
let next = 1;
for (let n = 0; n < 100; n++) next = (await js.publish("log.a", `old ${n}`)).seq + 1;
await jsm.streams.delete("log");
await jsm.streams.add(settings);
let [delivered, heartbeats] = [0, 0];
nc.subscribe("deliver", { callback: (_, message) => void (message.headers?.code === 100 ? heartbeats++ : delivered++) });
await jsm.consumers.add("log", {
  ...{ name: "reader", deliver_subject: "deliver", ack_policy: "none", idle_heartbeat: 500_000_000 },
  ...{ deliver_policy: "by_start_sequence", opt_start_seq: next },
});
for (let n = 0; n < 5; n++) await js.publish("log.a", `new ${n}`);
const until = Date.now() + 20_000;
while (heartbeats < 5 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
console.log(`saw: a consumer from ${next} on; 5 stored since the stream was remade; ${delivered} delivered, ${heartbeats} heartbeats`);
process.exit(delivered === 0 && heartbeats >= 5 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
