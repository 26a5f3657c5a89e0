#!/usr/bin/env bash
# A test of `node:test` that skips itself while it runs counts as passed in Deno.
# Expected: it is reported as skipped, as Node does
# Seen: `t.skip()`: Node says 1 skipped; `deno test` says 1 passed, 0 ignored
# In version: deno 2.9.6, Node 20
# Catga: tools/style_rules.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 || exit 2
cat >probe.test.mjs <<'EOF'
import { test } from "node:test";
test("needs a database", (t) => {
  t.skip("there is none");
});
EOF
echo "versions: node $(node --version), deno@2.9.6"
counts() {
  NO_COLOR=1 node_modules/.bin/deno test -A --no-check probe.test.mjs >deno.log 2>&1
  node --test --test-reporter=tap probe.test.mjs >node.log 2>&1
  echo "saw: node: $(grep -E '^# skipped' node.log | tail -n 1); deno: $(grep -E '[0-9]+ passed' deno.log | tail -n 1)"
  grep -q '^# skipped 1' node.log && grep -q ' 1 passed' deno.log && ! grep -q '1 ignored' deno.log
}
counts &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
