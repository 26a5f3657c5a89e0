#!/usr/bin/env bash
# The options of `jetstream()` given to a second connection carry the inbox prefix of the first one: the function writes it into them.
# Expected: an object of options is read, and may be shared by connections
# Seen: of two users with inboxes of their own, the watch of the second one ends without an entry, for it subscribes in the inbox of the first one; with options of its own it gets the entry
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/stream/jetstream.ts
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
cat >server.conf <<EOF
listen: "127.0.0.1:$port"
jetstream { store_dir: "$dir/js" }
accounts { A {
  jetstream: enabled
  users: [
    { user: one, password: p, permissions: { publish: ">", subscribe: "_INBOX_one.>" } }
    { user: two, password: p, permissions: { publish: ">", subscribe: "_INBOX_two.>" } }
  ]
} }
EOF
usr/sbin/nats-server -c server.conf 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import { connect } from "@nats-io/transport-node";
import { jetstream } from "@nats-io/jetstream";
import { Kvm } from "@nats-io/kv";

setTimeout(() => (console.log("saw: nothing within 50 s"), process.exit(1)), 50_000).unref();

const connected = (user) =>
  connect({ servers: process.env.NATS_URL, user, pass: "p", inboxPrefix: `_INBOX_${user}`, waitOnFirstConnect: true });
const [one, two] = [await connected("one"), await connected("two")];
const options = { timeout: 5_000 };
const bucket = await new Kvm(jetstream(one, options)).create("prices");
await bucket.put("tea", "420");

async function watched(js) {
  const kv = await new Kvm(js).open("prices");
  const watch = await kv.watch();
  const late = new Promise((resolve) => setTimeout(resolve, 3_000, "nothing in 3 s"));
  const first = watch[Symbol.asyncIterator]().next().then(({ value }) => value?.string() ?? "its end");
  return await Promise.race([first, late]).catch(({ name, message }) => `${name}: ${message}`);
}
const own = await watched(jetstream(two, { timeout: 5_000 })).catch(({ name }) => name);
const shared = await watched(jetstream(two, options)).catch(({ name }) => name);
console.log(`saw: the watch of the second user: ${own} with options of its own, ${shared} with those of the first`);
console.log(`the options have become ${JSON.stringify(options)}`);
process.exit(own === "420" && shared !== "420" && options.watcherPrefix === "_INBOX_one" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0 @nats-io/kv@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
