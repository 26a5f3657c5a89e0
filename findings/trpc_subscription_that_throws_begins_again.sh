#!/usr/bin/env bash
# A tRPC subscription whose generator throws an error of the program is started again by the client, for as long as it throws: its caller gets the first items again and again, and no error. Only an error with a code of 4xx ends it.
# Expected: `onError` is called and the subscription ends, as a query ends
# Seen: a generator that yields 1 and 2 and throws an `Error` ran at least 3 times, its caller got 1, 2, 1, 2, 1, 2 and no `onError`; with `TRPCError` `CONFLICT` it ran once, and `onError` came
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
import { initTRPC, TRPCError } from "@trpc/server";
import { createHTTPServer } from "@trpc/server/adapters/standalone";
import { EventSource } from "eventsource";
import { once } from "node:events";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const t = initTRPC.create();
const runs = { plain: 0, conflict: 0 };
const throwing = (name, error) =>
  t.procedure.subscription(async function* () {
    runs[name]++;
    yield 1;
    yield 2;
    throw error;
  });
const router = t.router({
  plain: throwing("plain", new Error("a fault of the program")),
  conflict: throwing("conflict", new TRPCError({ code: "CONFLICT" })),
});
const server = createHTTPServer({ router });
server.listen(0, "127.0.0.1");
await once(server, "listening");
const url = `http://127.0.0.1:${server.address().port}`;
const client = createTRPCClient({ links: [httpSubscriptionLink({ url, EventSource })] });

async function received(name, isEnough) {
  const got = { items: [], errors: 0 };
  client[name].subscribe(undefined, { onData: (item) => got.items.push(item), onError: () => got.errors++ });
  while (!isEnough(got)) await sleep(50);
  return got;
}
const plain = await received("plain", ({ items, errors }) => items.length >= 6 || errors > 0);
const conflict = await received("conflict", ({ errors }) => errors > 0);
await sleep(4_000); // longer than its client waits before it connects again
console.log(`saw: Error: items ${plain.items.slice(0, 6)}, ${plain.errors} errors, ${runs.plain >= 3 ? "3 runs or more" : `${runs.plain} runs`}; CONFLICT: items ${conflict.items}, ${conflict.errors} error, ${runs.conflict} run`);
process.exit(`${plain.items.slice(0, 6)}` === "1,2,1,2,1,2" && plain.errors === 0 && conflict.errors === 1 && runs.conflict === 1 ? 0 : 1);
EOF
echo "versions: node $(node --version), @trpc/server@11.25.2, @trpc/client@11.25.2, eventsource@4.1.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
