#!/usr/bin/env bash
# The `retry` of oRPC's `ClientRetryPlugin` is a number for the whole life of an event iterator: a stream that was resumed well that often ends with an error at the next cut, however many items came in between.
# Expected: an attempt that brought items begins the count anew, as `EventSource` reconnects without end
# Seen: with `retry: 3` and a cut after each 100 items 400 items come in order, over 4 connections, and the 4th cut is an error of the caller
# In version: @orpc/server 1.16.1, @orpc/client 1.16.1, Node 20
# Catga: docs/migrating/orpc.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @orpc/server@1.16.1 @orpc/client@1.16.1 || exit 2
cat >probe.mjs <<'EOF'
import { createORPCClient } from "@orpc/client";
import { RPCLink } from "@orpc/client/fetch";
import { ClientRetryPlugin } from "@orpc/client/plugins";
import { os, withEventMeta } from "@orpc/server";
import { RPCHandler } from "@orpc/server/node";
import { once } from "node:events";
import { createServer } from "node:http";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

let connections = 0;
const router = {
  items: os.handler(async function* ({ lastEventId }) {
    connections++;
    const last = Number(lastEventId ?? 0);
    for (let n = last + 1; n <= last + 100; n++) yield withEventMeta({ n }, { id: String(n) });
    throw new Error("cut");
  }),
};
const handler = new RPCHandler(router);
const server = createServer((request, response) => handler.handle(request, response, { context: {} }));
server.listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}`;
const client = createORPCClient(new RPCLink({ url, plugins: [new ClientRetryPlugin({ default: { retry: 3, retryDelay: 10 } })] }));
let count = 0;
let isInOrder = true;
let end = "no end";
try {
  for await (const { n } of await client.items()) {
    isInOrder &&= n === ++count;
    if (count === 1_000) break;
  }
} catch (error) {
  end = `an error (${error.message})`;
}
console.log(`saw: ${count} items, in order: ${isInOrder}, over ${connections} connections, then ${end}`);
process.exit(count === 400 && isInOrder && connections === 4 && end.startsWith("an error") ? 0 : 1);
EOF
echo "versions: node $(node --version), @orpc/server@1.16.1, @orpc/client@1.16.1"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
