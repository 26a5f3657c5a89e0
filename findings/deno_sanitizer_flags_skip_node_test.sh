#!/usr/bin/env bash
# `deno test --sanitize-ops --sanitize-resources` checks tests of `Deno.test` alone: a leak in a test of `node:test` passes.
# Expected: the flags hold for all tests of the run, as both kinds run side by side in one file
# Seen: one timer that is left: the test of `Deno.test` fails with "Leaks detected", that of `node:test` passes
# In version: deno 2.9.6
# Catga: tools/sanitized/node_test.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 || exit 2
cat >own.test.mjs <<'EOF'
Deno.test("leaves a timer", () => void setTimeout(() => {}, 60_000));
EOF
cat >node.test.mjs <<'EOF'
import { it } from "node:test";
it("leaves a timer", () => void setTimeout(() => {}, 60_000));
EOF
look() {
  for kind in own node; do
    NO_COLOR=1 node_modules/.bin/deno test -A --no-check --sanitize-ops --sanitize-resources $kind.test.mjs >$kind.log 2>&1 || true
  done
  echo "saw: Deno.test: $(grep -E '[0-9]+ passed' own.log | tail -n 1); node:test: $(grep -E '[0-9]+ passed' node.log | tail -n 1)"
  grep -q 'Leaks detected' own.log && grep -q '1 failed' own.log && grep -q '1 passed | 0 failed' node.log
}
echo "versions: deno@2.9.6"
look &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
