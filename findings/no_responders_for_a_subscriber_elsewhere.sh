#!/usr/bin/env bash
# "No responders" speaks of what the requester's server knows now: a subscriber whose subscription was acknowledged by another server of the cluster gets it too.
# Expected: after a `flush` of the subscriber a request from anywhere in the cluster finds it
# Seen: some first requests after the flush fail with "no responders"; the same request succeeds a moment later
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/cluster/wire/watchdog.ts
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
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const free = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
const nodes = {};
for (const name of ["a", "b", "c"]) nodes[name] = { port: await free(), route: await free() };
const routes = Object.values(nodes).map(({ route }) => `nats://127.0.0.1:${route}`).join();
function start(name) {
  const { port, route } = nodes[name];
  const own = ["-js", "-sd", `js-${name}`, "-n", name, "-a", "127.0.0.1", "-p", port];
  const cluster = ["--cluster_name", "c", "--cluster", `nats://127.0.0.1:${route}`, "--routes", routes];
  nodes[name].process = spawn("usr/sbin/nats-server", [...own, ...cluster], { stdio: "ignore" });
  appendFileSync("pids", `${nodes[name].process.pid}\n`);
}
for (const name of Object.keys(nodes)) start(name);
const servers = Object.values(nodes).map(({ port }) => `127.0.0.1:${port}`);
const dial = { waitOnFirstConnect: true, maxReconnectAttempts: -1, reconnectTimeWait: 100 };
const nc = await connect({ servers, ...dial });
const jsm = await jetstreamManager(nc, { checkAPI: false });
const js = jetstream(nc);
const until = async (attempt) => {
  for (;;) {
    const value = await attempt().catch(() => undefined);
    if (value) return value;
    await sleep(200);
  }
};

const [near, far] = await Promise.all(["a", "b"].map((name) =>
  connect({ servers: `127.0.0.1:${nodes[name].port}`, ...dial, ignoreClusterUpdates: true })
));
const reaches = (subject, timeout = 1_000) => far.request(subject, "", { timeout }).then(() => true, () => false);
near.subscribe("ready", { callback: (_, message) => message.respond("") });
await until(() => reaches("ready"));
let [tries, refused, later] = [0, 0, 0];
const end = Date.now() + 25_000;
while (refused < 3 && Date.now() < end) {
  // as many clients do: a new subject, acknowledged by the own server
  const subject = `node.${tries++}`;
  const subscription = near.subscribe(subject, { callback: (_, message) => message.respond("") });
  await near.flush();
  const error = await far.request(subject, "", { timeout: 5_000 }).then(() => undefined, (error) => error.message);
  if (/no responders/i.test(error ?? "")) {
    refused++;
    await until(() => reaches(subject));
    later++;
  }
  subscription.unsubscribe();
}
console.log(`saw: of ${tries} new subscribers ${refused} were "no responders" after their flush, ${later} of them answered a moment later`);
process.exit(refused > 0 && later === refused ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
