#!/usr/bin/env bash
# Over an account's import of a service a requester gets the first of several answers, and no sign of the others: neither it nor the responder gets an error.
# Expected: all answers to the reply subject arrive, as within an account, or the requester is told that there were more
# Seen: of 5 answers 1 arrives, and publishing the others succeeds; with `response_type: stream` on the export all 5 arrive; the reply subject that the responder sees begins with `_R_.` in both cases
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/cluster/interop/plain_calls.ts
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
const replies = {};
for (const type of ["default", "stream"]) {
  const how = type === "stream" ? ", response_type: stream" : "";
  const port = await start(type, `accounts {
    B { users: [{ user: b, password: x }], exports: [{ service: "ask"${how} }] }
    A { users: [{ user: a, password: x }], imports: [{ service: { account: B, subject: "ask" } }] } }`);
  const b = await dial(port, { user: "b", pass: "x" });
  const a = await dial(port, { user: "a", pass: "x" });
  b.subscribe("ask", { callback: (_, message) => {
    replies[type] = message.reply.slice(0, 4);
    for (let n = 0; n < 5; n++) b.publish(message.reply, `${n}`);
  } });
  await b.flush();
  const inbox = "answers";
  got[type] = 0;
  a.subscribe(inbox, { callback: () => got[type]++ });
  a.publish("ask", "", { reply: inbox });
  await sleep(1_500);
}
console.log(`saw: answers ${JSON.stringify(got)}, reply subjects ${JSON.stringify(replies)}`);
process.exit(got.default === 1 && got.stream === 5 && replies.default === "_R_." && replies.stream === "_R_." ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
