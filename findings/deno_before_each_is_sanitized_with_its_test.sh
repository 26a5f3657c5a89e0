#!/usr/bin/env bash
# What `Deno.test.beforeEach` opens counts as a leak of each test, though the hook that closes it has yet to run.
# Expected: hooks are outside of what the sanitizers compare, so that `afterAll` may close what `beforeEach` opened
# Seen: an empty test fails with `Leaks detected`: the interval was "started in this test"
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
test_with() {
  cat >"$1_test.js" <<EOF
let interval;
Deno.test.$1(() => {
  interval ??= setInterval(() => {}, 1_000);
});
Deno.test.afterAll(() => clearInterval(interval));
Deno.test({ name: "nothing", sanitizeOps: true, sanitizeResources: true, fn() {} });
EOF
}
test_with beforeEach
test_with beforeAll
echo "versions: deno@2.9.6"
outcome() {
  NO_COLOR=1 node_modules/.bin/deno test "$1_test.js" >"$1.log" 2>&1
  grep -E '^(ok|FAILED) \|' "$1.log" | cut -d'|' -f1 | tr -d ' '
}
compare() {
  each=$(outcome beforeEach)
  all=$(outcome beforeAll)
  echo "saw: an interval of beforeEach: $each; of beforeAll: $all"
  [ "$each" = FAILED ] && [ "$all" = ok ] && grep -q 'started in this test' beforeEach.log
}
compare &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
