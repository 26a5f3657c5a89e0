#!/usr/bin/env bash
# `write` of Bun's and of Deno's own sockets takes what fits into the system's buffers, and says how much; unlike `node:net` they do not keep the rest.
# Expected: what was given to `write` is sent, sooner or later, or the write fails
# Seen: of 32 MB, written in one call to a peer that reads slowly, some MB arrive; by `node:net` all
# In version: deno 2.9.6, bun 1.4.4
# Catga: src/nats/connection/deno_transport.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 || exit 2
cat >probe.mjs <<'EOF'
import { createConnection, createServer } from "node:net";

const data = new Uint8Array(32 * 1024 * 1024);
const ways = {
  own: async (port) => {
    if (globalThis.Deno) return await (await Deno.connect({ hostname: "127.0.0.1", port })).write(data);
    return (await Bun.connect({ hostname: "127.0.0.1", port, socket: { data() {}, drain() {} } })).write(data);
  },
  "node:net": (port) => void createConnection(port, "127.0.0.1").write(data),
};
const arrived = {};
for (const [name, write] of Object.entries(ways)) {
  let [bytes, last] = [0, Date.now()];
  const server = createServer((socket) => {
    socket.pause();
    socket.on("data", (part) => [bytes, last] = [bytes + part.length, Date.now()]);
    setTimeout(() => socket.resume(), 500);
  });
  const port = await new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server.address().port)));
  await write(port);
  while (bytes < data.length && Date.now() - last < 4_000) await new Promise((resolve) => setTimeout(resolve, 50));
  arrived[name] = bytes;
}
const runtime = globalThis.Deno ? "Deno" : "Bun";
console.log(`saw: ${runtime}: of ${data.length} bytes arrived ${arrived.own} by its own socket, ${arrived["node:net"]} by node:net`);
process.exit(arrived.own < data.length && arrived["node:net"] === data.length ? 0 : 1);
EOF
echo "versions: node $(node --version), deno@2.9.6 bun@1.4.4"
(node_modules/.bin/deno run -A probe.mjs && node_modules/.bin/bun probe.mjs) &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
