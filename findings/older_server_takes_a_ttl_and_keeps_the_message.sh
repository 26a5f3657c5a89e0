#!/usr/bin/env bash
# nats-server 2.10 creates a stream with `allow_msg_ttl`, stores a message with a `Nats-TTL`, and never removes it: it leaves out what it does not know, in the answer too, where nobody looks.
# Expected: a setting that the server does not know is refused
# Seen: a message with a ttl of 1 s, 4 s later: 2.10 has it, 2.15 does not; the answer of 2.10 to the creation has no `allow_msg_ttl`, and is no error
# In version: nats-server 2.10.27 and 2.15.1, @nats-io/* 3.4.0, Node 20
# Catga: src/nats/stream/owned_stream.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @nats-io/transport-node@3.4.0 || exit 2
mkdir -p apt/parts
for each in "older trixie 2.10.27-1+b2" "newer forky 2.15.1-1"; do
  read -r name suite version <<<"$each"
  mkdir -p "$name" "apt/$name/lists/partial" "apt/$name/archives/partial"
  sed "/^$/q; s/^Suites:.*/Suites: $suite/" /etc/apt/sources.list.d/debian.sources >"apt/$name.sources"
  apt() {
    apt-get -qq -o Dir::Etc::sourcelist="$PWD/apt/$name.sources" -o Dir::Etc::sourceparts="$PWD/apt/parts" \
      -o Dir::State::Lists="$PWD/apt/$name/lists" -o Dir::Cache="$PWD/apt/$name" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
  }
  { apt update && apt download "nats-server=$version" && dpkg -x nats-server_"$version"_*.deb "$name"; } || exit 2
done
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, headers } from "@nats-io/transport-node";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const free = () =>
  new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
async function left(version) {
  const port = await free();
  const args = ["-js", "-a", "127.0.0.1", "-p", port, "-sd", `store-${version}`];
  const child = spawn(`${version}/usr/sbin/nats-server`, args, { stdio: "ignore" });
  appendFileSync("pids", `${child.pid}\n`);
  const connection = await connect({ servers: `127.0.0.1:${port}`, waitOnFirstConnect: true, reconnectTimeWait: 100 });
  const api = async (call, body) => (await connection.request(`$JS.API.${call}`, JSON.stringify(body ?? {}))).json();
  const settings = { name: "log", subjects: ["log"], allow_msg_ttl: true };
  let made;
  do made = await api("STREAM.CREATE.log", settings).catch(() => sleep(100)); while (made === undefined);
  const ttl = headers();
  ttl.set("Nats-TTL", "1s");
  const stored = (await connection.request("log", "x", { headers: ttl })).json();
  await sleep(4_000);
  const { state } = await api("STREAM.INFO.log");
  return `${made.error ? "refused" : `allow_msg_ttl ${made.config.allow_msg_ttl}`}, seq ${stored.seq}, ${state.messages} left`;
}
const [older, newer] = await Promise.all([left("older"), left("newer")]);
console.log(`saw: older: ${older}; newer: ${newer}`);
process.exit(older === "allow_msg_ttl undefined, seq 1, 1 left" && newer === "allow_msg_ttl true, seq 1, 0 left" ? 0 : 1);
EOF
echo "versions: $(older/usr/sbin/nats-server --version), $(newer/usr/sbin/nats-server --version), node $(node --version), @nats-io/transport-node@3.4.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
