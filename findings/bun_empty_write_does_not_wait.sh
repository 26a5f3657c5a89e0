#!/usr/bin/env bash
# In Bun the callback of an empty write to `process.stdout` is called before what was written before it has left.
# Expected: callbacks of writes are called in their order, so that `process.stdout.write("", () => process.exit())` cuts nothing
# Seen: of 1 MB, written before to a pipe that is read 2 s later, 65536 bytes arrive; in Deno all
# In version: bun 1.4.4; deno 2.9.6 as expected
# Catga: src/cli/main.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 || exit 2
cat >probe.mjs <<'EOF'
import process from "node:process";

process.stdout.write("x".repeat(1_000_000));
process.stdout.write("", () => process.exit());
EOF
echo "versions: deno@2.9.6 bun@1.4.4"
{ node_modules/.bin/bun probe.mjs | { sleep 2; wc -c; } >bun && node_modules/.bin/deno run -A probe.mjs | { sleep 2; wc -c; } >deno; } &
echo $! >>pids
wait $! || exit 2
echo "saw: of 1000000 bytes arrived $(tr -d ' ' <bun) in Bun, $(tr -d ' ' <deno) in Deno"
if [ "$(tr -d ' ' <bun)" -lt 1000000 ] && [ "$(tr -d ' ' <deno)" -eq 1000000 ]; then echo unchanged; else echo CHANGED; exit 1; fi
