#!/usr/bin/env bash
# A message of a work queue that reached `max_deliver` stays in the stream, where no worker is given it, not with a higher limit either: only a new consumer is.
# Expected: it is removed, or is given out again once the limit is raised
# Seen: after two of two deliveries 1 was stored and none awaited an acknowledgement; with `max_deliver: 10` nothing came but a new message; a new consumer was given the old one, as a first delivery
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/log/subscriptions/handing_out.ts, docs/log.md
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

await jsm.streams.add({ name: "jobs", subjects: ["jobs"], retention: "workqueue" });
await jsm.consumers.add("jobs", { durable_name: "w", ack_policy: "explicit", max_deliver: 2 });
const consumer = await js.consumers.get("jobs", "w");
const next = async () => await consumer.next({ expires: 2_000 });
await js.publish("jobs", "old");
let deliveries = 0;
for (let message = await next(); message !== null; message = await next()) {
  deliveries++;
  message.nak();
}
const awaiting = (await consumer.info()).num_ack_pending;
const stored = (await jsm.streams.info("jobs")).state.messages;
await jsm.consumers.update("jobs", "w", { max_deliver: 10 });
const raised = await next();
await js.publish("jobs", "new");
const after = await next();
after?.ack();
await jsm.consumers.delete("jobs", "w");
await jsm.consumers.add("jobs", { durable_name: "another", ack_policy: "explicit" });
const found = await (await js.consumers.get("jobs", "another")).next({ expires: 2_000 });
console.log(
  `saw: ${deliveries} deliveries; stored ${stored}, awaiting ${awaiting}; with a higher limit: ${raised?.string() ?? "nothing"}, ` +
    `then ${after?.string()}; another consumer: ${found?.string()}, delivery ${found?.info.deliveryCount}`,
);
process.exit(
  deliveries === 2 && stored === 1 && awaiting === 0 && raised === null && after?.string() === "new" &&
    found?.string() === "old" && found.info.deliveryCount === 1
    ? 0
    : 1,
);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
