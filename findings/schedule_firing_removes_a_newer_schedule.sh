#!/usr/bin/env bash
# When a schedule fires, the server removes whatever stands under its subject, also a newer schedule that was stored and acknowledged in the meantime.
# Expected: it removes the schedule that fired
# Seen: of schedules replaced around the moment they are due by ones that are due in an hour some are gone, acknowledged and not fired
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
await jsm.streams.add({ name: "s", subjects: ["at.>", "due.>"], allow_msg_schedules: true, max_msgs_per_subject: 1 });
const schedule = (name, at) => {
  const made = headers();
  made.set("Nats-Schedule", `@at ${new Date(at).toISOString()}`);
  made.set("Nats-Schedule-Target", `due.${name}`);
  return js.publish(`at.${name}`, "x", { headers: made, timeout: 20_000 });
};
const COUNT = 2_000;
let gone = 0;
for (let round = 0; round < 5 && gone === 0; round++) {
  const names = Array.from({ length: COUNT }, (_, n) => `${round}-${n}`);
  const due = Date.now() + 4_000;
  for (let n = 0; n < COUNT; n += 200) await Promise.all(names.slice(n, n + 200).map((name) => schedule(name, due)));
  while (Date.now() < due - 60) await new Promise((resolve) => setTimeout(resolve, 5));
  // acknowledged writes: each stands there from then on, due in an hour
  for (let n = 0; n < COUNT; n += 25) {
    await Promise.all(names.slice(n, n + 25).map((name) => schedule(name, due + 3_600_000)));
  }
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  const { state } = await jsm.streams.info("s", { subjects_filter: `at.>` });
  gone += names.filter((name) => state.subjects?.[`at.${name}`] === undefined).length;
}
console.log(`saw: ${gone} schedules that are due in an hour, acknowledged, are not there any more`);
process.exit(gone > 0 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
