#!/usr/bin/env bash
# Deno's sanitizers of tests report a timer that was unref'ed, and pass a socket of `node:net` that is left open.
# Expected: an open socket, which keeps a process alive, is a leak; a timer that does not is none
# Seen: with `sanitizeOps` and `sanitizeResources` the test with the socket passes, and the one with the timer fails
# In version: deno 2.9.6
# Catga: CONTRIBUTING.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 || exit 2
cat >probe.test.mjs <<'EOF'
import { createConnection, createServer } from "node:net";
import { setTimeout as after } from "node:timers";

// made outside of the tests: only what a test opens counts
const server = createServer(() => {}).listen(0, "127.0.0.1");
await new Promise((resolve) => server.once("listening", resolve));
const sanitizers = { sanitizeOps: true, sanitizeResources: true };
Deno.test({ name: "leaves a socket", ...sanitizers }, async () => {
  const socket = createConnection(server.address().port, "127.0.0.1");
  await new Promise((resolve) => socket.once("connect", resolve));
});
Deno.test({ name: "leaves an unref'ed timer", ...sanitizers }, () => {
  after(() => {}, 60_000).unref();
});
EOF
echo "versions: node $(node --version), deno@2.9.6"
results() {
  NO_COLOR=1 node_modules/.bin/deno test -A --no-check probe.test.mjs >test.log 2>&1 || true
  echo "saw: $(grep -E '^leaves .* \.\.\. ' test.log | sed 's/ (.*//' | paste -sd ';')"
  grep -q '^leaves a socket \.\.\. ok' test.log && grep -q 'timer \.\.\. FAILED' test.log
}
results &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
