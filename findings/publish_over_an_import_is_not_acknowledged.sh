#!/usr/bin/env bash
# A message that another account's stream stores over an import of a stream is not acknowledged to its publisher; over an import of a service it is.
# Expected: the acknowledgement reaches who published, whichever kind of import the message took
# Seen: 10 of 10 published messages are stored both ways; over the import of a service 10 are acknowledged, over that of a stream none, without an error
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: docs/topologies.md
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
import { appendFileSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 60 s"), process.exit(1)), 60_000).unref();

const free = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
async function start(name, config) {
  const port = await free();
  writeFileSync(`${name}.conf`, `server_name: ${name}\nlisten: "127.0.0.1:${port}"\n${config}\n`);
  const child = spawn("usr/sbin/nats-server", ["-c", `${name}.conf`], { stdio: "ignore" });
  appendFileSync("pids", `${child.pid}\n`);
  return port;
}
const dial = (port, options) =>
  connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 100, maxReconnectAttempts: -1, ...options });

const got = {};
for (const kind of ["service", "stream"]) {
  // a service is exported by the account that has the stream, a stream of messages by the one that publishes
  const [ofStream, ofPublisher] = kind === "service"
    ? ['exports: [{ service: "log.>" }]', 'imports: [{ service: { account: B, subject: "log.>" } }]']
    : ['imports: [{ stream: { account: A, subject: "log.>" } }]', 'exports: [{ stream: "log.>" }]'];
  const port = await start(kind, `jetstream { store_dir: "js-${kind}" }
    accounts {
      B { jetstream: enabled, users: [{ user: b, password: x }], ${ofStream} }
      A { users: [{ user: a, password: x }], ${ofPublisher} } }`);
  const b = await dial(port, { user: "b", pass: "x" });
  const a = await dial(port, { user: "a", pass: "x" });
  const api = async (call, body) => (await b.request(`$JS.API.${call}`, JSON.stringify(body ?? {}))).json();
  while ((await api("STREAM.CREATE.log", { name: "log", subjects: ["log.>"] }).catch(() => ({ error: 1 }))).error) await sleep(100);
  let acknowledged = 0;
  for (let n = 0; n < 10; n++) await a.request(`log.${n}`, "x", { timeout: 500 }).then(() => acknowledged++, () => {});
  got[kind] = [(await api("STREAM.INFO.log")).state.messages, acknowledged];
}
console.log(`saw: stored and acknowledged over a service ${got.service}, over a stream ${got.stream}`);
process.exit(`${got.service}` === "10,10" && `${got.stream}` === "10,0" ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
