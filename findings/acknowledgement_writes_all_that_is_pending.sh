#!/usr/bin/env bash
# Each acknowledgement has nats-server write the place of its consumer with all messages that still await theirs, some 8 bytes each: with 60,000 of them one acknowledgement writes half a megabyte.
# Expected: an acknowledgement is written by itself, or with others, whatever else is under way
# Seen: what the server wrote for each of 20 acknowledgements, 200 ms apart: 15 to 25 kB with 3,000 pending, 0.4 to 0.5 MB with 62,000
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
export SERVER=$!
echo $SERVER >>pids; disown
cat >probe.mjs <<'EOF'
import { readFileSync } from "node:fs";
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)];
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const written = () => Number(/^wchar: (\d+)$/m.exec(readFileSync(`/proc/${process.env.SERVER}/io`, "utf8"))[1]);

const MANY = 60_000;
const ACKS = 20;
await jsm.streams.add({ name: "orders", subjects: ["orders"] });
for (let i = 0; i < MANY + 2_000; i += 1_000) {
  await Promise.all(Array.from({ length: 1_000 }, () => js.publish("orders", "x")));
}
/** Bytes that the server writes for an acknowledgement while so many messages, or some more, await theirs. */
async function cost(pending) {
  const durable_name = `with-${pending}`;
  await jsm.consumers.add("orders", { durable_name, ack_policy: "explicit", ack_wait: 3_600e9, max_ack_pending: -1 });
  const consumer = await js.consumers.get("orders", durable_name);
  const held = [];
  const messages = await consumer.consume({ max_messages: 3_000 });
  for await (const message of messages) if (held.push(message) === pending) break;
  await messages.close();
  let before = -1;
  for (let now = written(); now - before > 100_000; now = written()) { // until it has written what it gave out
    before = now;
    await sleep(1_000);
  }
  before = written();
  for (const message of held.slice(0, ACKS)) {
    await message.ackAck();
    await sleep(200);
  }
  await sleep(1_000);
  const { num_ack_pending } = await consumer.info();
  return { bytes: Math.round((written() - before) / ACKS), num_ack_pending };
}
const few = await cost(100);
const many = await cost(MANY);
console.log(`saw: bytes written for an acknowledgement: ${few.bytes} with ${few.num_ack_pending} others pending, ${many.bytes} with ${many.num_ack_pending}`);
process.exit(few.bytes < 80_000 && many.bytes > 250_000 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
