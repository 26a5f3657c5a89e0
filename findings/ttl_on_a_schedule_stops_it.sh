#!/usr/bin/env bash
# A `Nats-TTL` header on a scheduled message is the ttl of the schedule, not of the message that it makes: it is gone before it is due.
# Expected: the produced message has the ttl
# Seen: of two schedules due at one moment the one with a ttl of 1 s never fires; the other does
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/log/publishing/schedule_write.ts
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
import { connect, headers } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const nc = await connect({ servers: process.env.NATS_URL, waitOnFirstConnect: true });
const [js, jsm] = [jetstream(nc), await jetstreamManager(nc)];
await jsm.streams.add({ name: "s", subjects: ["at.>", "due.>"], allow_msg_schedules: true, allow_msg_ttl: true });
const due = new Date(Date.now() + 4_000).toISOString();
for (const [name, ttl] of [["short", "1s"], ["plain", undefined]]) {
  const made = headers();
  made.set("Nats-Schedule", `@at ${due}`);
  made.set("Nats-Schedule-Target", `due.${name}`);
  if (ttl) made.set("Nats-TTL", ttl);
  await js.publish(`at.${name}`, "x", { headers: made });
}
const stored = async (subject) => (await jsm.streams.info("s", { subjects_filter: subject })).state.subjects?.[subject] ?? 0;
const until = Date.now() + 25_000;
while (await stored("due.plain") === 0 && Date.now() < until) await new Promise((resolve) => setTimeout(resolve, 50));
await new Promise((resolve) => setTimeout(resolve, 2_000));
const [short, plain] = [await stored("due.short"), await stored("due.plain")];
console.log(`saw: fired without a ttl: ${plain}; with a ttl of 1 s: ${short}`);
process.exit(plain === 1 && short === 0 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
