#!/usr/bin/env bash
# `Deno.serve` sends the body of an answer to HEAD over HTTP/2: clients take that for an error of the protocol, and the answer is lost.
# Expected: no body, as RFC 9110 has it for HEAD, as over HTTP/1.1, and as `Bun.serve` does over both
# Seen: over HTTP/2 the stream of HEAD ended with PROTOCOL_ERROR (1) from Deno, and without an error for a response whose body is `null`; over HTTP/1.1, and from Bun over both, 200 without a body
# In version: deno 2.9.6, bun 1.4.4, Node 20
# Catga: src/http/edge_handler.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 || exit 2
openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem -out cert.pem 2>openssl.log || exit 2
cat >server.mjs <<'EOS'
import { readFileSync } from "node:fs";

const [cert, key] = ["cert.pem", "key.pem"].map((name) => readFileSync(name, "utf8"));
const answer = (request) => new Response(request.url.endsWith("/null") ? null : "hello");
const at = { port: 0, hostname: "127.0.0.1" };
const server = "Bun" in globalThis
  ? Bun.serve({ ...at, tls: { cert, key }, http2: true, fetch: answer })
  : Deno.serve({ ...at, cert, key, onListen() {} }, answer);
console.log(server.port ?? server.addr.port);
EOS
cat >probe.mjs <<'EOS'
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { connect } from "node:http2";
import { request } from "node:https";
import process from "node:process";

const overHttp2 = (port, path) =>
  new Promise((resolve, reject) => {
    const session = connect(`https://127.0.0.1:${port}`, { rejectUnauthorized: false }).on("error", reject);
    const stream = session.request({ ":method": "HEAD", ":path": path });
    stream.on("error", () => {}).on("close", () => {
      session.close();
      resolve(stream.rstCode);
    }).resume();
  });
const overHttp1 = (port, path) =>
  new Promise((resolve, reject) => {
    request({ port, path, method: "HEAD", host: "127.0.0.1", rejectUnauthorized: false, agent: false }, (response) => {
      response.resume().on("end", () => resolve(response.statusCode));
    }).on("error", reject).end();
  });
const outcomes = [];
for (const [name, ...args] of [["deno", "run", "-A"], ["bun"]]) {
  const server = spawn(`node_modules/.bin/${name}`, [...args, "server.mjs"], { stdio: ["ignore", "pipe", "inherit"] });
  appendFileSync("pids", `${server.pid}\n`);
  const port = Number(await new Promise((resolve) => server.stdout.once("data", resolve)));
  const [body, none] = [await overHttp2(port, "/"), await overHttp2(port, "/null")];
  outcomes.push(`${name}: HTTP/2 ${body}, null ${none}, HTTP/1.1 ${await overHttp1(port, "/")}`);
  server.kill("SIGKILL");
}
const text = outcomes.join("; ");
console.log(`saw: ${text}`);
process.exit(text === "deno: HTTP/2 1, null 0, HTTP/1.1 200; bun: HTTP/2 0, null 0, HTTP/1.1 200" ? 0 : 1);
EOS
echo "versions: node $(node --version), deno@2.9.6 bun@1.4.4"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
