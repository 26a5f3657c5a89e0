#!/usr/bin/env bash
# A schedule that was replaced by a plain message under its subject, as one would take it back, fires after all if the server is killed before it is due; not if it is shut down.
# Expected: the last message of a subject is what counts, before and after a restart
# Seen: due after a SIGKILL: the replaced schedule fired, the one that was replaced with a rollup did not; after a SIGTERM neither did
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
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
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
let server;
async function start(store) {
  server = spawn("usr/sbin/nats-server", ["-js", "-sd", store, "-a", "127.0.0.1", "-p", port], { stdio: "ignore" });
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

async function firedAfter(signal) {
  const first = await start(signal);
  await first.jsm.streams.add({
    ...{ name: "s", subjects: ["at.>", "due.>"] },
    ...{ allow_msg_schedules: true, allow_rollup_hdrs: true },
  });
  const due = Date.now() + 6_000;
  for (const name of ["kept", "replaced", "rolled"]) await first.js.publish(`at.${name}`, "x", scheduled(due, `due.${name}`));
  await first.js.publish("at.replaced", "taken back");
  const rollup = headers();
  rollup.set("Nats-Rollup", "sub");
  await first.js.publish("at.rolled", "taken back", { headers: rollup });
  await stop(first.nc, signal);
  const { nc, jsm } = await start(signal);
  const fired = async () =>
    Object.keys((await jsm.streams.info("s", { subjects_filter: "due.>" })).state.subjects ?? {}).sort().join(" ");
  while (!(await fired()).includes("due.kept") && Date.now() < due + 12_000) await sleep(200);
  await sleep(1_500);
  const all = await fired();
  await stop(nc, "SIGKILL");
  return all;
}
const killed = await firedAfter("SIGKILL");
const ended = await firedAfter("SIGTERM");
console.log(`saw: fired after a SIGKILL: ${killed}; after a SIGTERM: ${ended}`);
process.exit(killed === "due.kept due.replaced" && ended === "due.kept" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
