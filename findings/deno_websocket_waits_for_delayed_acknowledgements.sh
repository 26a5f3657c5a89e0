#!/usr/bin/env bash
# Deno's `WebSocket` leaves Nagle's algorithm on, and has no option for it: small messages that are sent one after another wait for the peer's delayed acknowledgement, some 40 ms.
# Expected: acknowledgements of JetStream leave at once over `wsconnect`, as over TCP and as in Bun
# Seen: `consume()` with 100 in hand, each acknowledged: 2,300 messages/s over `wsconnect`, 41,000 by TCP in the same process; in Bun 54,000 and 53,000
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, deno 2.9.6, bun 1.4.4
# Catga: src/nats/connection/private.ts
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
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 deno@2.9.6 bun@1.4.4 || exit 2
free() {
  node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })'
}
port=$(free)
web=$(free)
export NATS_URL=nats://127.0.0.1:$port WEB_URL=ws://127.0.0.1:$web
cat >server.conf <<EOF
listen: "127.0.0.1:$port"
jetstream { store_dir: "$dir/js" }
websocket { listen: "127.0.0.1:$web", no_tls: true }
EOF
usr/sbin/nats-server -c server.conf 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import { AckPolicy, jetstream, jetstreamManager } from "@nats-io/jetstream";
import { connect, wsconnect } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 50 s"), process.exit(1)), 50_000).unref();

const COUNT = 2_000;
const runtime = globalThis.Deno ? "Deno" : "Bun";
const tcp = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const web = await wsconnect({ servers: process.env.WEB_URL, waitOnFirstConnect: true });
const manager = await jetstreamManager(tcp);
await manager.streams.add({ name: runtime, subjects: [runtime] });
for (let i = 0; i < COUNT; i += 200) {
  await Promise.all(Array.from({ length: 200 }, () => jetstream(tcp).publish(runtime, "x")));
}

let consumers = 0;
/** The messages that are handled a second: as `consume()` is, each acknowledged before the next. */
async function rate(connection) {
  const name = `c${consumers++}`;
  await manager.consumers.add(runtime, { durable_name: name, ack_policy: AckPolicy.Explicit });
  const consumer = await jetstream(connection).consumers.get(runtime, name);
  const start = performance.now();
  let left = COUNT;
  for await (const message of await consumer.consume({ max_messages: 100 })) {
    message.ack();
    if (--left === 0) break;
  }
  await connection.flush();
  return COUNT / (performance.now() - start) * 1_000;
}

const best = { tcp: 0, web: 0 };
for (let round = 0; round < 3; round++) {
  best.tcp = Math.max(best.tcp, await rate(tcp));
  best.web = Math.max(best.web, await rate(web));
}
console.log(`saw: ${runtime}: messages a second: ${best.web.toFixed(0)} over wsconnect, ${best.tcp.toFixed(0)} by TCP`);
const held = best.web < best.tcp / 5;
process.exit(held === (runtime === "Deno") ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), @nats-io/*@3.4.0, deno@2.9.6 bun@1.4.4"
(node_modules/.bin/deno run -A probe.mjs && node_modules/.bin/bun probe.mjs) &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
