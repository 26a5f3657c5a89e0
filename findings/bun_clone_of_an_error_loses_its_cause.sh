#!/usr/bin/env bash
# In Bun `structuredClone` of an error, and so what a worker is posted, has no `cause`; in Deno and Node it has.
# Expected: the clone has `name`, `message`, `stack` and `cause`, as in the HTML standard and in the other two
# Seen: the cause of the clone: Bun undefined, Deno and Node the message "the reason"; the message of the error itself is there in all
# In version: bun 1.4.4, deno 2.9.6, Node 20
# Catga: src/data/cause_text.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts bun@1.4.4 deno@2.9.6 || exit 2
(cd node_modules/bun && node install.js >/dev/null)
cat >probe.mjs <<'EOF'
const clone = structuredClone(new Error("failed", { cause: new Error("the reason") }));
console.log(`${clone.message}: ${clone.cause?.message}`);
EOF
(cd node_modules/deno && node install.cjs >/dev/null) || exit 2
echo "versions: node $(node --version), bun $(node_modules/.bin/bun --version), $(node_modules/.bin/deno --version | head -n 1)"
seen="Bun $(node_modules/.bin/bun probe.mjs); Deno $(DENO_NO_UPDATE_CHECK=1 node_modules/.bin/deno run probe.mjs); Node $(node probe.mjs)"
echo "saw: $seen"
if [ "$seen" = "Bun failed: undefined; Deno failed: the reason; Node failed: the reason" ]; then echo unchanged; else echo CHANGED; exit 1; fi
