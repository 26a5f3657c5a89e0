#!/usr/bin/env bash
# In Firefox a `ReadableStream` that is given to `fetch` as a body is sent as the text "[object ReadableStream]": the server gets 23 bytes, and the page its answer, without an error.
# Expected: the bytes of the stream are sent, or `fetch` throws, as Chromium does over HTTP/1.1 (`ERR_H2_OR_QUIC_REQUIRED`)
# Seen: a POST of a stream of "hello" with `duplex: "half"`: the server received "[object ReadableStream]" as text/plain, and `fetch` resolved with 200; a `Blob` of the same bytes arrived as "hello"
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
  const stream = () => new ReadableStream({
    start(to) {
      to.enqueue(new TextEncoder().encode("hello"));
      to.close();
    },
  });
  const said = [];
  for (const body of [stream(), new Blob(["hello"])]) {
    said.push(await fetch("/upload", { method: "POST", body, duplex: "half" }).then(({ status }) => status, String));
  }
  await fetch("/done?" + said);
})();</script>`;
const received = [];
let tell;
const done = new Promise((resolve) => tell = resolve);
const server = createServer(async (request, response) => {
  response.setHeader("content-type", "text/html");
  if (request.url === "/") return response.end(PAGE);
  if (request.url.startsWith("/done")) tell(request.url.slice(6));
  let text = "";
  for await (const data of request) text += data;
  if (request.url === "/upload") received.push(text);
  response.end();
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
mkdirSync("profile");
const options = ["--headless", "--no-remote", "--profile", "profile", `http://127.0.0.1:${server.address().port}/`];
appendFileSync("pids", `${spawn(process.argv[2], options, { stdio: "ignore", env: { ...process.env, HOME: process.cwd() } }).pid}\n`);
const said = await done;
console.log(`saw: of a stream and of a Blob the server received ${received.join(" and ")}; fetch said ${said}`);
process.exit(`${received} ${said}` === "[object ReadableStream],hello 200,200" ? 0 : 1);
EOF
echo "versions: $("$firefox" --version), node $(node --version)"
node probe.mjs "$firefox" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
