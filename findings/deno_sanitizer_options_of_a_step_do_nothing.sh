#!/usr/bin/env bash
# The sanitizer options of a step, `t.step({ sanitizeOps })`, have no effect in Deno; those of its test decide alone.
# Expected: as documented: each step has its own, and by default those of its parent
# Seen: a timer that a step leaves open fails the test with `sanitizeOps: false` in the step; passes with `true` there
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
cat >off_test.js <<'EOF'
Deno.test({
  name: "a test with the sanitizer",
  sanitizeOps: true,
  fn: async (t) => {
    await t.step({ name: "a step without it", sanitizeOps: false, fn: () => void setTimeout(() => {}, 50) });
  },
});
EOF
cat >on_test.js <<'EOF'
Deno.test({
  name: "a test without the sanitizer",
  sanitizeOps: false,
  fn: async (t) => {
    await t.step({ name: "a step with it", sanitizeOps: true, fn: () => void setTimeout(() => {}, 50) });
  },
});
EOF
echo "versions: deno@2.9.6"
outcome() {
  NO_COLOR=1 node_modules/.bin/deno test "$1" >"$1.log" 2>&1
  grep -E '^(ok|FAILED) \|' "$1.log" | cut -d'|' -f1 | tr -d ' '
}
compare() {
  off=$(outcome off_test.js)
  on=$(outcome on_test.js)
  echo "saw: off in the step: $off; on in the step: $on"
  [ "$off" = FAILED ] && [ "$on" = ok ] && grep -q 'Leaks detected' off_test.js.log
}
compare &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
