#!/usr/bin/env bash
# A Moleculer action gets the caller's `Date` and `Map` themselves when it is in the same process, and a text and an empty object when it is in another.
# Expected: the same values wherever the action runs
# Seen: the same call: `Date`, a `Map` with an entry; over NATS `String`, `Object` without an entry, and no error
# In version: moleculer 0.15.2, nats 2.29.3, nats-server 2.15.1, Node 20
# Catga: src/data/encoding.ts
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
npm install --silent --no-audit --no-fund moleculer@0.15.2 nats@2.29.3 || exit 2
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
export NATS_URL=nats://127.0.0.1:$port
usr/sbin/nats-server -js -sd "$dir/js" -a 127.0.0.1 -p "$port" 2>server.log &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import { ServiceBroker } from "moleculer";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

function broker(nodeID, transporter, serves) {
  const made = new ServiceBroker({ nodeID, transporter, logger: false });
  const handler = ({ params: { at, stock } }) => `${at.constructor.name}, ${stock.constructor.name} of ${stock.size ?? Object.keys(stock).length}`;
  if (serves) made.createService({ name: "shop", actions: { look: { handler } } });
  return made;
}
const params = () => ({ at: new Date(0), stock: new Map([["tea", 2]]) });
const alone = broker("alone", null, true);
await alone.start();
const local = await alone.call("shop.look", params());
await alone.stop();
const [server, client] = [broker("server", process.env.NATS_URL, true), broker("client", process.env.NATS_URL, false)];
await Promise.all([server.start(), client.start()]);
await client.waitForServices("shop", 20_000);
const remote = await client.call("shop.look", params());
console.log(`saw: in the same process ${local}; in another ${remote}`);
process.exit(local === "Date, Map of 1" && remote === "String, Object of 0" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), moleculer@0.15.2 nats@2.29.3"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
