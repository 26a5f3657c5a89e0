#!/usr/bin/env bash
# nats-server reads each byte of a JetStream store when it starts, also after a clean shutdown, though it has an index on disk; when it was killed, three times.
# Expected: a start reads the index, and what is newer than it
# Seen: of a stream of 100 MB a start read 1.0 times its bytes after a shutdown, and 3.0 times after a kill behind some appends
# In version: nats-server 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: docs/production.md
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
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { connect } from "@nats-io/transport-node";
import { jetstream, jetstreamManager } from "@nats-io/jetstream";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const [port, folder] = process.argv.slice(2);
const bytesOf = (path) => statSync(path).isDirectory() ? readdirSync(path).reduce((sum, name) => sum + bytesOf(join(path, name)), 0) : statSync(path).size;
let server;
let nc;
async function start() {
  server = spawn("usr/sbin/nats-server", ["-js", "-sd", folder, "-a", "127.0.0.1", "-p", port], { stdio: "ignore" });
  appendFileSync("pids", `${server.pid}\n`);
  nc = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true });
  for (;;) { // until the stream is there
    try {
      return { js: jetstream(nc), jsm: await jetstreamManager(nc) };
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
const append = async (js, many) => {
  for (let i = 0; i < many; i += 500) await Promise.all(Array.from({ length: 500 }, (_, at) => js.publish(`orders.${at % 100}`, "x".repeat(2_000))));
};
/** Ends the server, starts it again, and gives what it read, as a part of its store. */
async function restart(signal) {
  await nc.close();
  const ended = new Promise((resolve) => server.once("exit", resolve));
  server.kill(signal);
  await ended;
  const bytes = bytesOf(folder);
  const { js, jsm } = await start();
  const { state } = await jsm.streams.info("orders");
  const read = Number(/^rchar: (\d+)$/m.exec(readFileSync(`/proc/${server.pid}/io`, "utf8"))[1]);
  return { js, messages: state.messages, times: read / bytes };
}
const { js, jsm } = await start();
await jsm.streams.add({ name: "orders", subjects: ["orders.>"] });
await append(js, 50_000);
const shut = await restart("SIGTERM");
await append(shut.js, 1_000);
const killed = await restart("SIGKILL");
await nc.close();
console.log(`saw: read at a start: ${shut.times.toFixed(2)} times the store after a shutdown, ${killed.times.toFixed(2)} times after a kill; messages ${shut.messages}, ${killed.messages}`);
process.exit(shut.times > 0.8 && shut.times < 1.6 && killed.times > 1.8 && shut.messages === 50_000 && killed.messages === 51_000 ? 0 : 1);
EOF
echo "versions: $(usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0 @nats-io/jetstream@3.4.0"
node probe.mjs "$port" "$dir/js" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
