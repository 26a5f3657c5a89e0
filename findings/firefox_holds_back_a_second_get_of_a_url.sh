#!/usr/bin/env bash
# In Firefox a `fetch` of a URL waits while another one of the same URL, in any tab, has not got its whole answer: of two pages that follow one stream by GET the second has nothing as long as the first is open, also with `cache-control: no-store` in the answer.
# Expected: both are sent at once, as in Chromium and WebKitGTK, and as two `EventSource` are; or the second goes on when the head of the answer says that it is not stored
# Seen: answers whose body ends 4 s after its head, with `no-store`: the second GET reached the server when the first had ended, its head came 4 s later than the first's; at once with the option `cache: "no-store"`, and with POST
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

setTimeout(() => (console.log("saw: nothing within 55 s"), process.exit(1)), 55_000).unref();

const PAGE = `<script>(async () => {
  for (const [name, options] of [["plain", {}], ["option", { cache: "no-store" }], ["post", { method: "POST" }]]) {
    await Promise.all([1, 2].map(async () => (await fetch("/slow?" + name, options)).text()));
  }
  await fetch("/done");
})();</script>`;
/** What happens to the requests of each URL, in order. */
const happened = { plain: [], option: [], post: [] };
let tell;
const done = new Promise((resolve) => tell = resolve);
const server = createServer((request, response) => {
  response.setHeader("content-type", request.url.startsWith("/slow") ? "text/event-stream" : "text/html");
  response.setHeader("cache-control", "no-store");
  if (request.url === "/done") tell();
  if (!request.url.startsWith("/slow")) return response.end(PAGE);
  const list = happened[request.url.slice(6)];
  list.push("begins");
  response.write("data: 1\n\n");
  setTimeout(() => (list.push("ends"), response.end("data: 2\n\n")), 4_000);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
mkdirSync("profile");
const options = ["--headless", "--no-remote", "--profile", "profile", `http://127.0.0.1:${server.address().port}/`];
appendFileSync("pids", `${spawn(process.argv[2], options, { stdio: "ignore", env: { ...process.env, HOME: process.cwd() } }).pid}\n`);
await done;
const seen = Object.entries(happened).map(([name, list]) => `${name}: ${list.join(" ")}`).join("; ");
console.log(`saw: ${seen}`);
const together = "begins begins ends ends";
process.exit(seen === `plain: begins ends begins ends; option: ${together}; post: ${together}` ? 0 : 1);
EOF
echo "versions: $("$firefox" --version), node $(node --version)"
node probe.mjs "$firefox" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
