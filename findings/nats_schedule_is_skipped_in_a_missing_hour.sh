#!/usr/bin/env bash
# A cron schedule of nats-server in a time zone does not fire on the day whose clocks leave its hour out.
# Expected: one firing that day, as croner, cron-parser and cron have it: a job of 02:30 runs at 03:00 or 03:30 when there is no 02:30
# Seen: in a zone that changes while the server runs, of jobs that are stored some seconds before: of 02:00:05, where 02:00:00 is 03:00:00, no firing, of 03:00:05 one 5 s after the change
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/data/cron.ts
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
npm install --silent --no-audit --no-fund @nats-io/transport-node@3.4.0 || exit 2
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync, mkdirSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, headers } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 58 s"), process.exit(1)), 58_000).unref();

/** When the clocks change: in 8 to 38 s, at a half minute. */
const change = Math.ceil((Date.now() / 1_000 + 8) / 30) * 30;
/** A zone file (RFC 9636) with one change: from one local time, in seconds of the day, to another one. */
function zone(from, to) {
  let before = (from - change % 86_400 + 86_400) % 86_400;
  if (before > 43_200) before -= 86_400;
  const type = (seconds, name) => {
    const bytes = Buffer.alloc(6);
    bytes.writeInt32BE(seconds);
    bytes[5] = name;
    return bytes;
  };
  const part = (moment) => {
    const head = Buffer.alloc(44);
    head.write("TZif2");
    [1, 2, 8].forEach((count, n) => head.writeUInt32BE(count, 32 + 4 * n));
    const types = [type(before, 0), type(before + to - from, 4)];
    return Buffer.concat([head, moment, Buffer.from([1]), ...types, Buffer.from("AAA\0BBB\0")]);
  };
  const [short, long] = [Buffer.alloc(4), Buffer.alloc(8)];
  short.writeInt32BE(change);
  long.writeBigInt64BE(BigInt(change));
  return Buffer.concat([part(short), part(long), Buffer.from("\n\n")]);
}
mkdirSync("zones/Test", { recursive: true });
writeFileSync("zones/Test/Spring", zone(7_200, 10_800));

const free = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
const port = await free();
writeFileSync("a.conf", `listen: "127.0.0.1:${port}"\njetstream { store_dir: "js" }\n`);
const env = { ...process.env, ZONEINFO: `${process.cwd()}/zones` };
appendFileSync("pids", `${spawn("usr/sbin/nats-server", ["-c", "a.conf"], { stdio: "ignore", env }).pid}\n`);
const nc = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
const api = async (call, body) => (await nc.request(`$JS.API.${call}`, JSON.stringify(body))).json();
const config = { name: "s", subjects: ["at.*", "fired.*"], allow_msg_schedules: true, allow_rollup_hdrs: true };
while ((await api("STREAM.CREATE.s", config).catch(() => ({ error: 1 }))).error) await sleep(100);
const jobs = { left: ["5 0 2 * * *", "Spring"], next: ["5 0 3 * * *", "Spring"] };
for (const [name, [pattern, place]] of Object.entries(jobs)) {
  const head = headers();
  head.set("Nats-Schedule", pattern);
  head.set("Nats-Schedule-Time-Zone", `Test/${place}`);
  head.set("Nats-Schedule-Target", `fired.${name}`);
  const { error } = (await nc.request(`at.${name}`, "x", { headers: head })).json();
  if (error) throw new Error(JSON.stringify(error));
}
while (Date.now() / 1_000 < change + 8) await sleep(100);
const fired = { left: [], next: [] };
const { state } = await api("STREAM.INFO.s", {});
for (let seq = 1; seq <= state.last_seq; seq++) {
  const { message } = await api("STREAM.MSG.GET.s", { seq });
  if (message?.subject.startsWith("fired.")) fired[message.subject.slice(6)].push(Math.round(Date.parse(message.time) / 1_000 - change));
}
const seen = Object.entries(fired).map(([name, times]) => `${name}: ${times.join(" ") || "none"}`).join(", ");
console.log(`saw: firings, in seconds from the change: ${seen}`);
process.exit(seen === "left: none, next: 5" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
