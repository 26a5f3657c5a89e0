#!/usr/bin/env bash
# In Firefox an `EventSource` whose server is away when it reconnects ends for good: the first connection that is refused sets `readyState` to CLOSED, so a restart of a server ends the feeds of all open pages.
# Expected: it tries again every `retry` ms until the server is back, with `Last-Event-ID`, as in Chromium (147)
# Seen: of a server that is away for 3 s, with `retry: 300`: states 0 and 2 at two errors, and no request in 6 s after the server was back; one whose connection was cut while the server went on connected again with its id
# In version: Firefox 153.8.0esr, Node 20
# Catga: src/client/mod.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; }' EXIT
trap 'exit 2' INT TERM
# the Firefox of the system, if it is this one, or else with all that it needs in the folder
firefox=$(command -v firefox-esr || true)
if [ "$("$firefox" --version 2>/dev/null)" != "Mozilla Firefox 153.8.0esr" ]; then
  mkdir -p apt/lists/partial apt/archives/partial root
  : >apt/status
  apt() {
    apt-get -qq -o Dir::State::Lists="$PWD/apt/lists" -o Dir::State::status="$PWD/apt/status" -o Dir::Cache="$PWD/apt" \
      -o Acquire::Languages=none -o APT::Sandbox::User=root -o Debug::NoLocking=1 "$@"
  }
  apt update && apt install --no-install-recommends --download-only -y firefox-esr=153.8.0esr-1~deb12u1 >apt.log || exit 2
  for each in apt/archives/*.deb; do case $each in */libc6_*) ;; *) dpkg -x "$each" root ;; esac; done
  firefox=$dir/root/usr/lib/firefox-esr/firefox-esr
  export LD_LIBRARY_PATH="$dir/root/usr/lib/x86_64-linux-gnu:$dir/root/lib/x86_64-linux-gnu"
fi
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync, mkdirSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 55 s"), process.exit(1)), 55_000).unref();

const page = (port) => `<script>
  const source = new EventSource("http://127.0.0.1:${port}/");
  source.onerror = () => fetch("/state?" + source.readyState);
</script>`;
const sockets = new Set();
const ids = [];
const feed = createServer((request, response) => {
  ids.push(request.headers["last-event-id"] ?? "none");
  response.writeHead(200, { "content-type": "text/event-stream", "access-control-allow-origin": "*" });
  response.write(`retry: 300\nid: ${ids.length}\ndata: x\n\n`);
});
feed.on("connection", (socket) => sockets.add(socket.on("error", () => {})));
const cut = () => {
  for (const socket of sockets) socket.destroy();
  sockets.clear();
};
const until = async (what) => {
  while (!what()) await sleep(20);
  await sleep(500); // the page has handled it
};
await new Promise((resolve) => feed.listen(0, "127.0.0.1", resolve));
const { port } = feed.address();
const states = [];
const server = createServer((request, response) => {
  if (request.url.startsWith("/state")) states.push(request.url.slice(7));
  response.writeHead(200, { "content-type": "text/html" }).end(page(port));
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
mkdirSync("profile");
const options = ["--headless", "--no-remote", "--profile", "profile", `http://127.0.0.1:${server.address().port}/`];
appendFileSync("pids", `${spawn(process.argv[2], options, { stdio: "ignore", env: { ...process.env, HOME: process.cwd() } }).pid}\n`);
await until(() => ids.length === 1);
cut();
await until(() => ids.length === 2);
const cutOnce = `${states} ${ids}`;
states.length = 0;
feed.close();
cut();
await until(() => states.length >= 2);
await sleep(2_500);
await new Promise((resolve) => feed.listen(port, "127.0.0.1", resolve));
await sleep(6_000);
console.log(`saw: cut: state and ids ${cutOnce}; away: states ${states}; requests after it was back: ${ids.length - 2}`);
process.exit(`${cutOnce} ${states} ${ids.length}` === "0 none,1 0,2 2" ? 0 : 1);
EOF
echo "versions: $("$firefox" --version), node $(node --version)"
node probe.mjs "$firefox" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
