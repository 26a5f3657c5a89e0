#!/usr/bin/env bash
# Within an atomic batch a second message of a subject cannot expect the first: expectations are compared with what is stored before the batch.
# Expected: the expectation of the sequence that the first message of the batch will get passes, or at least that of the one before the batch
# Seen: both are refused, and nothing is stored; two subjects with an expectation each are stored
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/log/log_stream.ts
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

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)];
import { headers } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

await jsm.streams.add({ name: "s", subjects: ["s.>"], allow_atomic: true });
let batches = 0;
async function batch(...messages) {
  const id = `batch-${++batches}`;
  let answer;
  for (const [index, [subject, expected]] of messages.entries()) {
    const made = headers();
    made.set("Nats-Batch-Id", id);
    made.set("Nats-Batch-Sequence", `${index + 1}`);
    made.set("Nats-Expected-Last-Subject-Sequence", `${expected}`);
    if (index === messages.length - 1) made.set("Nats-Batch-Commit", "1");
    if (index < messages.length - 1) await nc.request(subject, "x", { headers: made, timeout: 10_000 });
    else answer = (await nc.request(subject, "x", { headers: made, timeout: 10_000 })).json();
  }
  return answer.error ? answer.error.err_code : `stored up to ${answer.seq}`;
}
const apart = await batch(["s.a", 0], ["s.b", 0]);
const chained = await batch(["s.c", 0], ["s.c", 3]);
const equal = await batch(["s.d", 0], ["s.d", 0]);
const { state } = await jsm.streams.info("s");
console.log(`saw: two subjects: ${apart}; one twice, the second expecting the first: ${chained}; both expecting none: ${equal}; stored ${state.messages}`);
process.exit(apart === "stored up to 2" && typeof chained === "number" && typeof equal === "number" && state.messages === 2 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
