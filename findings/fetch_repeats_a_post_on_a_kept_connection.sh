#!/usr/bin/env bash
# `fetch` of Deno and of Chromium sends a POST again, without a word, when a connection that it kept breaks before the answer, though the server has received the request; the caller sees the second answer.
# Expected: a POST is sent once, and without an answer `fetch` rejects, as in Node and Bun
# Seen: of one POST whose kept connection was closed 100 ms after it had arrived the server received 2 from Deno, which resolved with 200, and 1 from Node and Bun, which rejected; with a Blob for its body 1 from Deno, too; Chromium 2
# In version: deno 2.9.6, bun 1.4.4, chromium 147.0.0 of @sparticuz/chromium, Node 20
# Catga: src/client/mod.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir" 2>/dev/null || { sleep 1; rm -rf "$dir"; }' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts deno@2.9.6 bun@1.4.4 @sparticuz/chromium@147.0.0 || exit 2
(cd node_modules/deno && node install.cjs >/dev/null)
(cd node_modules/bun && node install.js >/dev/null)
cat >client.mjs <<'EOF'
import process from "node:process";

const [url, kind] = process.argv.slice(2);
await (await fetch(`${url}/keep`)).text();
const body = kind === "blob" ? new Blob(["x"]) : "x";
const answer = await fetch(`${url}/charge`, { method: "POST", body }).then(({ status }) => status, () => "rejected");
console.log(answer);
process.exit();
EOF
cat >probe.mjs <<'EOF'
import { execFile, spawn } from "node:child_process";
import { appendFileSync, mkdtempSync } from "node:fs";
import { createServer } from "node:net";
import { promisify } from "node:util";
import chromium from "@sparticuz/chromium";

setTimeout(() => (console.log("saw: nothing within 55 s"), process.exit(1)), 55_000).unref();

const PAGE = `<script>(async () => {
  await (await fetch("/keep")).text();
  const answer = await fetch("/charge", { method: "POST", body: "x" }).then(({ status }) => status, () => "rejected");
  await fetch("/done?" + answer);
})();</script>`;

/** A server that closes the connection of the first POST 100 ms after it has arrived, and what has arrived. */
async function server() {
  const seen = { posts: 0 };
  let tell;
  const done = new Promise((resolve) => tell = resolve);
  const listening = createServer((socket) => {
    socket.on("error", () => {}); // the other side is gone
    let text = "";
    socket.on("data", (data) => {
      text += data;
      const end = text.indexOf("\r\n\r\n") + 4;
      const length = Number(/^content-length: (\d+)/im.exec(text)?.[1] ?? 0);
      if (end < 4 || text.length < end + length) return;
      const [method, path] = text.split(" ");
      text = "";
      if (method === "POST" && ++seen.posts === 1) return setTimeout(() => socket.destroy(), 100);
      const body = path === "/page" ? PAGE : "ok";
      socket.write(`HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: ${body.length}\r\n\r\n${body}`);
      if (path.startsWith("/done")) tell(path.slice(6));
    });
  });
  await new Promise((resolve) => listening.listen(0, "127.0.0.1", resolve));
  return { seen, done, url: `http://127.0.0.1:${listening.address().port}` };
}

const results = [];
for (
  const [name, command, ...rest] of [
    ["Node", "node", "client.mjs", "text"],
    ["Bun", "node_modules/.bin/bun", "client.mjs", "text"],
    ["Deno", "node_modules/.bin/deno", "run", "-A", "client.mjs", "text"],
    ["Deno with a Blob", "node_modules/.bin/deno", "run", "-A", "client.mjs", "blob"],
  ]
) {
  const { seen, url } = await server();
  const { stdout } = await promisify(execFile)(command, [...rest.slice(0, -1), url, rest.at(-1)]);
  results.push(`${name} ${seen.posts} ${stdout.trim()}`);
}
const { seen, done, url } = await server();
const options = ["--headless", "--no-sandbox", "--disable-gpu", `--user-data-dir=${mkdtempSync(process.cwd() + "/profile-")}`];
const browser = spawn(await chromium.executablePath(), [...options, `${url}/page`], { stdio: "ignore" });
appendFileSync("pids", `${browser.pid}\n`);
const answer = await done;
results.push(`Chromium ${seen.posts} ${answer}`);
console.log(`saw: POSTs that arrived, and what fetch said: ${results.join(", ")}`);
const expected = ["Node 1 rejected", "Bun 1 rejected", "Deno 2 200", "Deno with a Blob 1 rejected", "Chromium 2 200"];
process.exit(results.join() === expected.join() ? 0 : 1);
EOF
echo "versions: node $(node --version), deno@2.9.6 bun@1.4.4 @sparticuz/chromium@147.0.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
