#!/usr/bin/env bash
# A schedule that is due while the store is full does not fire when there is room again, though later ones do: only a restart of the server has it fire.
# Expected: what could not be stored when it was due is tried again, or is lost
# Seen: of schedules that were due in a full store none had fired some seconds after there was room and a later one had; after a restart all had
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/log/publishing/overdue_schedules.ts
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
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, headers } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const port = await new Promise((resolve) => {
  const probe = createServer().listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => resolve(port));
  });
});

writeFileSync("server.conf", `listen: "127.0.0.1:${port}"\njetstream { store_dir: "js", max_file_store: 2097152 }\n`);
let server;
async function start() {
  server = spawn("usr/sbin/nats-server", ["-c", "server.conf"], { stdio: "ignore" });
  appendFileSync("pids", `${server.pid}\n`);
  const nc = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true });
  return { nc, js: jetstream(nc), jsm: await jetstreamManager(nc) };
}
async function stop(nc, signal) {
  await nc.close();
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill(signal);
  await ended;
}

function scheduled(due, target) {
  const made = headers();
  made.set("Nats-Schedule", `@at ${new Date(due).toISOString()}`);
  made.set("Nats-Schedule-Target", target);
  return { headers: made };
}

const fired = async (jsm) => {
  const subjects = (await jsm.streams.info("s", { subjects_filter: "due.>" })).state.subjects ?? {};
  return { during: Object.keys(subjects).filter((to) => to !== "due.later").length, later: "due.later" in subjects };
};
const { nc, js, jsm } = await start();
await jsm.streams.add({ name: "s", subjects: ["at.>", "due.>"], allow_msg_schedules: true });
await jsm.streams.add({ name: "fill", subjects: ["fill"] });
const due = Date.now() + 4_000;
for (let n = 0; n < 5; n++) await js.publish(`at.${n}`, "x", scheduled(due, `due.${n}`));
await js.publish("at.later", "x", scheduled(due + 8_000, "due.later"));
let refusal;
for (const size of [100_000, 1_000, 10]) {
  refusal = undefined;
  while (refusal === undefined) await js.publish("fill", "x".repeat(size)).catch((error) => refusal = error.code);
}
await sleep(due + 2_000 - Date.now());
const full = await fired(jsm);
await jsm.streams.purge("fill");
while (!(await fired(jsm)).later && Date.now() < due + 20_000) await sleep(200);
await sleep(2_000);
const room = await fired(jsm);
await stop(nc, "SIGTERM");
const again = await start();
while ((await fired(again.jsm)).during < 5 && Date.now() < due + 45_000) await sleep(200);
const restarted = await fired(again.jsm);
console.log(
  `saw: full: ${refusal}; of 5 fired then ${full.during}, with room ${room.during} (a later one: ${room.later}), restarted ${restarted.during}`,
);
process.exit(full.during === 0 && room.during === 0 && room.later && restarted.during === 5 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
