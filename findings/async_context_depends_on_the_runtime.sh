#!/usr/bin/env bash
# In which `AsyncLocalStorage` a callback runs differs between Node, Deno and Bun: in Deno the data of a socket of `node:net` comes in none, in Deno and Bun a listener of `AbortSignal.timeout`, in Bun what handles a rejection.
# Expected: a callback runs in the context that registered it, in all three, as timers and promises do
# Seen: socket data: Node and Bun of the caller of connect, Deno none; AbortSignal.timeout: Node of who listens, Deno and Bun none; a message port: Deno of who listens, Node and Bun none; an unhandled rejection: Node and Deno of the promise, Bun none; cancel of a stream: Node and Deno of the caller, Bun of who made it
# In version: deno 2.9.6, bun 1.4.4, Node 20
# Catga: src/data/async_context.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 || exit 2
cat >probe.mjs <<'EOF'
import { AsyncLocalStorage } from "node:async_hooks";
import { connect, createServer } from "node:net";
import process from "node:process";

const context = new AsyncLocalStorage();
const seen = {};
setInterval(() => {}, 1_000); // Node does not wait for AbortSignal.timeout
/** Resolves when the callback, which is made in the context "made", has noted in which it runs. */
const noted = (what, register) =>
  new Promise((resolve) => {
    const note = () => (seen[what] ??= context.getStore() ?? "none", resolve());
    context.run("made", () => register(note));
  });

await noted("timer", (note) => setTimeout(note, 1));
await noted("promise", (note) => new Promise((resolve) => setTimeout(resolve, 1)).then(note));
const server = createServer((socket) => socket.end("x"));
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
await noted("socket", (note) => connect(server.address().port, "127.0.0.1").on("data", note));
server.close();
await noted("timeout", (note) => AbortSignal.timeout(20).addEventListener("abort", note));
const { port1, port2 } = new MessageChannel();
const received = noted("port", (note) => port1.onmessage = note);
port2.postMessage("x");
await received;
port1.close();
await noted("rejection", (note) => {
  process.once("unhandledRejection", note);
  Promise.reject(new Error("nobody handles it"));
});
let stream;
const cancelled = noted("cancel", (note) => stream = new ReadableStream({ cancel: note }));
context.run("caller", () => stream.cancel());
await cancelled;
console.log(Object.entries(seen).map((entry) => entry.join(" ")).join(", "));
process.exit();
EOF
echo "versions: node $(node --version), deno@2.9.6 bun@1.4.4"
same="timer made, promise made"
node=$(node probe.mjs) deno=$(node_modules/.bin/deno run -A probe.mjs) bun=$(node_modules/.bin/bun probe.mjs)
echo "saw: Node: $node; Deno: $deno; Bun: $bun"
if [ "$node" = "$same, socket made, timeout made, port none, rejection made, cancel caller" ] &&
  [ "$deno" = "$same, socket none, timeout none, port made, rejection made, cancel caller" ] &&
  [ "$bun" = "$same, socket made, timeout none, port none, rejection none, cancel made" ]; then echo unchanged; else echo CHANGED; exit 1; fi
