#!/usr/bin/env bash
# While `node:test` mocks timers, Deno holds every timer of the process, also of code that took `setTimeout` before.
# Expected: a library that keeps its own reference to `setTimeout` goes on in real time, as in Node and Bun
# Seen: 500 ms after `mock.timers.enable()` a timer of 50 ms, set by a reference taken before, has fired in Node and Bun; in Deno it fires by `mock.timers.tick` alone
# In version: deno 2.9.6, bun 1.4.4, Node 20
# Catga: src/testing/fake_timers_test.ts, docs/testing.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 || exit 2
cat >probe.mjs <<'EOF'
import { mock } from "node:test";
import { performance } from "node:perf_hooks";
import timers from "node:timers";
const { setTimeout, setImmediate } = timers;
let fired = false;
mock.timers.enable({ apis: ["setTimeout"] });
setTimeout(() => fired = true, 50);
const end = performance.now() + 500;
while (performance.now() < end) await new Promise((resolve) => setImmediate(resolve));
const byItself = fired;
mock.timers.tick(50);
console.log(JSON.stringify({ byItself, byTick: fired && !byItself }));
process.exit(0);
EOF
look() {
  node probe.mjs >node.log 2>/dev/null
  node_modules/.bin/bun probe.mjs >bun.log 2>/dev/null
  node_modules/.bin/deno run -A probe.mjs >deno.log 2>/dev/null
  echo "saw: node $(cat node.log); bun $(cat bun.log); deno $(cat deno.log)"
  grep -q '"byItself":true' node.log && grep -q '"byItself":true' bun.log && grep -q '"byItself":false,"byTick":true' deno.log
}
echo "versions: node $(node --version), deno@2.9.6, bun@1.4.4"
look &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
