#!/usr/bin/env bash
# A program over nats.js that esbuild bundles into one ES module does not start in Node and in Deno: its packages are CommonJS, which requires the runtime's modules while it runs.
# Expected: esbuild with `--platform=node --format=esm` makes a bundle that runs in Node, or fails to build
# Seen: the build has no warning; at the start `Dynamic require of "crypto" is not supported`; Bun runs it, and all run what `bun build` makes
# In version: esbuild 0.25.12, @nats-io/transport-node 3.4.0, deno 2.9.6, bun 1.4.4, Node 20
# Catga: docs/deploying.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund esbuild@0.25.12 @nats-io/transport-node@3.4.0 deno@2.9.6 bun@1.4.4 || exit 2
cat >probe.mjs <<'EOF'
import { connect } from "@nats-io/transport-node";
console.log(`starts: ${typeof connect}`);
EOF
echo "versions: node $(node --version), esbuild@0.25.12 @nats-io/transport-node@3.4.0 deno@2.9.6 bun@1.4.4"
starts() {
  for runtime in node "node_modules/.bin/deno run -A --no-lock" node_modules/.bin/bun; do
    $runtime "$1" 2>&1 | grep -oE 'starts: function|Dynamic require of' | head -n 1
  done | sed 's/starts: function/starts/; s/Dynamic.*/throws/' | tr '\n' ' '
}
both() {
  node_modules/.bin/esbuild probe.mjs --bundle --platform=node --format=esm --outfile=esbuild.mjs --log-level=warning 2>warnings
  node_modules/.bin/bun build probe.mjs --target=node --outfile=bun.mjs >bun.log
  seen="esbuild: $(starts esbuild.mjs)with $(wc -l <warnings) warnings; bun build: $(starts bun.mjs)"
  echo "saw: in node, deno and bun: $seen"
  [ "$seen" = "esbuild: throws throws starts with 0 warnings; bun build: starts starts starts " ]
}
both &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
