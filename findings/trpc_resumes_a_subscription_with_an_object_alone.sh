#!/usr/bin/env bash
# A tRPC subscription whose input is no object begins anew after each lost connection, though its items are `tracked`: the server puts the id that comes with the new connection into the input, leaves it out where that is a text or a number, and reports nothing.
# Expected: the id reaches the procedure whatever its input is, or `tracked` is refused where it cannot
# Seen: items 1 and 2, a cut, then with the input `{ room: "a" }` 3 and 4, with the input "a" 1 and 2 again, though its second request has `Last-Event-ID: 2`
# In version: @trpc/server 11.25.2, @trpc/client 11.25.2, eventsource 4.1.0, Node 20
# Catga: docs/migrating/trpc.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @trpc/server@11.25.2 @trpc/client@11.25.2 eventsource@4.1.0 typescript@5.9.3 || exit 2
cat >probe.mjs <<'EOF'
import { createTRPCClient, httpSubscriptionLink } from "@trpc/client";
import { initTRPC, tracked } from "@trpc/server";
import { createHTTPServer } from "@trpc/server/adapters/standalone";
import { EventSource } from "eventsource";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const t = initTRPC.create();
const router = t.router({
  items: t.procedure.input((input) => input).subscription(async function* ({ input, signal }) {
    const last = Number(input.lastEventId ?? 0);
    for (let n = last + 1; n <= last + 2; n++) yield tracked(String(n), n);
    await new Promise((resolve) => signal.addEventListener("abort", resolve));
  }),
});
const sockets = new Set();
const server = createHTTPServer({ router });
const headers = new Set();
server.on("request", ({ headers: sent }) => headers.add(sent["last-event-id"] ?? "none"));
server.on("connection", (socket) => sockets.add(socket));
server.listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}`;
const client = createTRPCClient({ links: [httpSubscriptionLink({ url, EventSource })] });

async function received(input) {
  const items = [];
  const subscription = client.items.subscribe(input, { onData: ({ data }) => items.push(data), onError: (error) => items.push(error) });
  while (items.length < 2) await sleep(50);
  for (const socket of sockets) socket.destroy();
  while (items.length < 4) await sleep(50);
  subscription.unsubscribe();
  const ids = [...headers].join("+");
  headers.clear();
  return `${items.join(",")} (Last-Event-ID: ${ids})`;
}
const object = await received({ room: "a" });
const text = await received("a");
console.log(`saw: with an object ${object}, with a text ${text}`);
process.exit(object.startsWith("1,2,3,4 ") && text === "1,2,1,2 (Last-Event-ID: none+2)" ? 0 : 1);
EOF
echo "versions: node $(node --version), @trpc/server@11.25.2, @trpc/client@11.25.2, eventsource@4.1.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
