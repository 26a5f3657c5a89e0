#!/usr/bin/env bash
# `getBatch` of nats.js ends as complete although a message in the middle of its batch was lost on the way.
# Expected: an error: the answers carry the number that is pending
# Seen: 4 of 5 messages, and a normal end
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/log/log_reads.ts
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

await jsm.streams.add({ name: "s", subjects: ["s"], allow_direct: true });
for (let n = 1; n <= 5; n++) await js.publish("s", `${n}`);
async function read() {
  const found = [];
  const end = (async () => {
    for await (const message of await jsm.direct.getBatch("s", { seq: 1, batch: 10 })) found.push(message.string());
    return "ended";
  })().catch(({ name }) => name);
  return `${await end}; ${found.join(" ")}`;
}
const whole = await read();
// as a full socket buffer would: the third message never reaches the subscription
const subscribe = nc.subscribe.bind(nc);
nc.subscribe = (subject, options) => {
  let count = 0;
  return subscribe(subject, { ...options, callback: (...given) => void (++count !== 3 && options.callback(...given)) });
};
const broken = await read();
console.log(`saw: whole: ${whole}; with one lost: ${broken}`);
process.exit(whole === "ended; 1 2 3 4 5" && broken === "ended; 1 2 4 5" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
