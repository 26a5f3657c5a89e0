#!/usr/bin/env bash
# A batch of direct gets of one subject costs the server by what other subjects have stored between its messages: four that are 12,000 others apart take several times the processor of four that are side by side, or that are got by their sequences.
# Expected: the server finds the next message of a literal subject by its index, whatever other subjects have stored between
# Seen: processor of the server for four messages, mean of 200 times: 0.3 ms with four others between two of them, 2 to 4 ms with 12,000, 0.5 to 0.7 ms by four gets of a sequence
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/flow/stored/run_log.ts
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
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)];
const tick = 1_000 / Number(execFileSync("getconf", ["CLK_TCK"]));
/** Processor that the server has taken, in ms. */
const processor = () => {
  const [user, system] = readFileSync(`/proc/${process.env.SERVER}/stat`, "utf8").split(") ")[1].split(" ").slice(11, 13);
  return (Number(user) + Number(system)) * tick;
};
/** A stream in which each subject has four messages, and the other `subjects` a message each between two of them. */
async function fill(name, subjects) {
  await jsm.streams.add({ name, subjects: [`${name}.>`], allow_direct: true });
  for (let message = 0; message < 4; message++) {
    for (let from = 0; from < subjects; from += 500) {
      const to = Math.min(subjects, from + 500);
      await Promise.all(Array.from({ length: to - from }, (_, i) => js.publish(`${name}.${from + i}`, "x".repeat(250))));
    }
  }
}
async function cost(read) {
  const before = processor();
  for (let at = 0; at < 200; at++) await read(at);
  return (processor() - before) / 200;
}
async function batch(name, subject) {
  let found = 0;
  for await (const _ of await jsm.direct.getBatch(name, { seq: 1, batch: 1_000, next_by_subj: `${name}.${subject}` })) found++;
  if (found !== 4) throw new Error(`${found} messages`);
}
const FAR = 12_000;
await fill("near", 5);
await fill("far", FAR);
const near = await cost((at) => batch("near", at % 5));
const far = await cost((at) => batch("far", at));
const single = await cost(async (at) => {
  for (let message = 0; message < 4; message++) {
    const { subject } = await jsm.direct.getMessage("far", { seq: message * FAR + at + 1 });
    if (!subject.startsWith("far.")) throw new Error(subject);
  }
});
console.log(`saw: ms of the server for four messages: near ${near.toFixed(2)}, far ${far.toFixed(2)}, by sequence ${single.toFixed(2)}`);
process.exit(far > 2 * near && far > 2 * single ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
