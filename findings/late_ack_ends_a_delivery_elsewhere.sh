#!/usr/bin/env bash
# An acknowledgement of a delivery that has timed out counts for the one that another worker has in hand: what that worker reports afterwards changes nothing, and the server confirms both.
# Expected: an acknowledgement belongs to the delivery that it answers; one that comes too late is refused
# Seen: a late ack removed a message of a work queue while the second worker had it, whose nak brought no further delivery; a late nak had the message delivered a third time meanwhile
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/log/subscriptions/handing_out.ts
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
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)];

await jsm.streams.add({ name: "jobs", subjects: ["jobs.>"], retention: "workqueue" });
async function worker(name) {
  const config = { durable_name: name, filter_subject: `jobs.${name}`, ack_policy: "explicit", ack_wait: 1_000_000_000 };
  await jsm.consumers.add("jobs", config);
  await js.publish(`jobs.${name}`, "x");
  const consumer = await js.consumers.get("jobs", name);
  const next = () => consumer.next({ expires: 3_000 });
  const first = await next();
  return { next, first, second: await next() };
}
const stored = async () => (await jsm.streams.info("jobs")).state.messages;

const acked = await worker("acked");
const confirmed = await acked.first.ackAck();
const left = await stored();
const also = await acked.second.ackAck();
await jsm.streams.purge("jobs");

const failed = await worker("failed");
await failed.first.ackAck();
failed.second.nak();
const third = await failed.next();

const impatient = await worker("impatient");
impatient.first.nak();
// the second delivery times out after a second
const early = await Promise.race([impatient.next(), sleep(500, null)]);
console.log(
  `saw: a late ack was confirmed: ${confirmed}, left ${left} messages, the second worker's was, too: ${also}; ` +
    `after a late ack and a nak came ${third?.info.deliveryCount ?? "nothing"}; after a late nak came delivery ${early?.info.deliveryCount}`,
);
process.exit(confirmed && left === 0 && also && third === null && early?.info.deliveryCount === 3 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
