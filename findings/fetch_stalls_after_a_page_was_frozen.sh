#!/usr/bin/env bash
# In Chromium the body of a `fetch` that is open while its page is frozen never goes on when the page is: `read()` waits for ever, without an error, and what the server sends from then on is lost to it.
# Expected: the body goes on when the page does, as that of `EventSource` and of `XMLHttpRequest`
# Seen: of 3 events before the freeze, 10 meanwhile and 10 after it `fetch` had 3 when `EventSource` and `XMLHttpRequest` had 23, and 5 s later. A body that ended meanwhile arrived if it had 2,000,000 bytes, not with 2,200,000: what stays open stalls whatever its size, and what ends stalls above about 2 MiB
# In version: chromium 147.0.0 of @sparticuz/chromium
# Catga: src/client/mod.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; }' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts bun@1.4.4 @sparticuz/chromium@147.0.0 || exit 2
(cd node_modules/bun && node install.js >/dev/null)
cat >path.mjs <<'EOF'
import chromium from "@sparticuz/chromium";
console.log(await chromium.executablePath());
EOF
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync, mkdtempSync } from "node:fs";
import { createServer } from "node:http";

setTimeout(() => (console.log("saw: nothing within 55 s"), process.exit(1)), 55_000).unref();

const PAGE = `<script>
  const seen = { fetch: "", source: "", xhr: "" };
  const ended = {};
  for (const size of [2_000_000, 2_200_000]) {
    fetch("/body?" + size).then((response) => {
      ended[size] = "no";
      return response.text();
    }).then(() => ended[size] = "yes");
  }
  (async () => {
    const reader = (await fetch("/events?1")).body.getReader();
    for (;;) seen.fetch += new TextDecoder().decode((await reader.read()).value);
  })().catch((error) => seen.fetch += error);
  new EventSource("/events?2").onmessage = ({ data }) => seen.source += "data: " + data;
  const request = new XMLHttpRequest();
  request.open("GET", "/events?3");
  request.onprogress = () => seen.xhr = request.responseText;
  request.send();
  let frozen = false;
  document.addEventListener("freeze", () => frozen = true);
  const ends = () => Object.values(ended).join();
  const counts = () => Object.values(seen).map((text) => text.split("data: ").length - 1).join();
</script>`;

const open = new Set();
const bodies = new Set();
let sent = 0;
const send = (count, to = open) => {
  for (let n = 0; n < count; n++) for (const response of to) response.write(`data: ${++sent}\n\n`);
};
const server = createServer((request, response) => {
  if (request.url.startsWith("/body")) {
    response.write("1");
    return bodies.add(() => response.end("2".repeat(request.url.split("?")[1] - 1)));
  }
  if (!request.url.startsWith("/events")) return response.setHeader("content-type", "text/html").end(PAGE);
  response.writeHead(200, { "content-type": "text/event-stream" });
  open.add(response);
  send(3, [response]);
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));

const options = ["--headless", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0"];
const profile = `--user-data-dir=${mkdtempSync(process.cwd() + "/profile-")}`;
const browser = spawn(process.argv[2], [...options, profile, `http://127.0.0.1:${server.address().port}/`], {
  stdio: ["ignore", "ignore", "pipe"],
});
appendFileSync("pids", `${browser.pid}\n`);
let said = "";
browser.stderr.on("data", (text) => said += text);
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
while (!/listening on ws:\S+\s/.test(said)) await sleep(20);
const port = new URL(/listening on (ws:\S+)/.exec(said)[1]).port;
let page;
while (page === undefined) {
  page = (await (await fetch(`http://127.0.0.1:${port}/json`)).json()).find(({ type }) => type === "page");
}
const socket = new WebSocket(page.webSocketDebuggerUrl);
await new Promise((resolve) => socket.onopen = resolve);
const waiting = new Map();
socket.onmessage = ({ data }) => {
  const { id, result } = JSON.parse(data);
  waiting.get(id)?.(result);
};
let calls = 0;
const call = (method, params = {}) => {
  socket.send(JSON.stringify({ id: ++calls, method, params }));
  return new Promise((resolve) => waiting.set(calls, resolve));
};
const value = async (expression) => (await call("Runtime.evaluate", { expression, returnByValue: true })).result.value;
while (await value("counts() + ends()") !== "3,3,3no,no") await sleep(20);
await call("Page.setWebLifecycleState", { state: "frozen" });
while (!await value("frozen")) await sleep(20);
send(10);
for (const end of bodies) end();
await sleep(300);
const meanwhile = await value("counts()");
await call("Page.setWebLifecycleState", { state: "active" });
send(10);
while (!(await value("counts()")).endsWith("23,23")) await sleep(20);
await sleep(5_000);
const then = await value("counts()");
const ended = await value("ends()");
console.log(`saw: events of fetch, EventSource and XMLHttpRequest: frozen ${meanwhile}, 5 s after they had all ${then}`);
console.log(`saw: bodies of 2,000,000 and 2,200,000 bytes that ended while the page was frozen arrived: ${ended}`);
process.exit(`${meanwhile} ${then} ${ended}` === "3,3,3 3,23,23 yes,no" ? 0 : 1);
EOF
echo "versions: bun@1.4.4 @sparticuz/chromium@147.0.0"
node_modules/.bin/bun probe.mjs "$(node path.mjs)" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
