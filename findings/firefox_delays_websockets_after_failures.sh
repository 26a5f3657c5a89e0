#!/usr/bin/env bash
# Firefox delays each `WebSocket` to a host and port to which one has failed, more with each failure: a client that tries again every 100 ms is held back for seconds, whatever its own pauses are, also when the server is back.
# Expected: `new WebSocket` connects at once, and the pauses are the program's, as in Chromium (147): its ninth refused attempt took some 10 ms
# Seen: of nine attempts to a closed port, each made when the one before it had failed, the first took 10 ms, the second 250, the ninth 4 s; then a server listened there, and it saw a connection no sooner than 3 s after the tenth `new WebSocket`
# In version: Firefox 153.8.0esr, Node 20
# Catga: docs/http.md
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

setTimeout(() => (console.log("saw: nothing within 55 s"), process.exit(1)), 55_000).unref();

const page = (port) => `<script>
  const open = () => new Promise((resolve) => {
    const begun = performance.now();
    const end = () => resolve(Math.round(performance.now() - begun));
    new WebSocket("ws://127.0.0.1:${port}/").onerror = end;
  });
  (async () => {
    const times = [];
    for (let n = 0; n < 9; n++) times.push(await open());
    await fetch("/times?" + times);
    await open();
  })();
</script>`;
let tell, arrive;
const times = new Promise((resolve) => tell = resolve);
const arrived = new Promise((resolve) => arrive = resolve);
const target = createServer();
target.on("connection", (socket) => socket.on("error", () => {})).on("upgrade", (_, socket) => (socket.destroy(), arrive()));
await new Promise((resolve) => target.listen(0, "127.0.0.1", resolve));
const { port } = target.address();
await new Promise((resolve) => target.close(resolve));
const server = createServer((request, response) => {
  response.writeHead(200, { "content-type": "text/html" });
  if (!request.url.startsWith("/times")) return response.end(page(port));
  target.listen(port, "127.0.0.1", () => {
    tell([...request.url.slice(7).split(",").map(Number), performance.now()]);
    response.end();
  });
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
mkdirSync("profile");
const options = ["--headless", "--no-remote", "--profile", "profile", `http://127.0.0.1:${server.address().port}/`];
appendFileSync("pids", `${spawn(process.argv[2], options, { stdio: "ignore", env: { ...process.env, HOME: process.cwd() } }).pid}\n`);
const taken = await times;
const back = taken.pop();
await arrived;
const waited = Math.round(performance.now() - back);
console.log(`saw: attempts to a closed port took ${taken.join(", ")} ms, and the next one to an open port ${waited} ms`);
process.exit(taken[8] > 2_000 && taken[8] > 5 * taken[1] && waited > 2_000 ? 0 : 1);
EOF
echo "versions: $("$firefox" --version), node $(node --version)"
node probe.mjs "$firefox" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
