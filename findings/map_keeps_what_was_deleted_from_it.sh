#!/usr/bin/env bash
# A `Map` that lives long keeps what was deleted from it, through all collections of the young generation: V8 links each old table of a `Map` to the next one, with all that it held when it was full.
# Expected: a value that was deleted from a `Map`, and that nothing else refers to, is freed by the next collection of the young generation
# Seen: of 1,000 values that were in a `Map` of 16 for a moment nearly all are there after four minor collections, and gone after a major one; nothing stays of values that are emptied when they are deleted
# In version: Node 20.20 (V8 11.3), Deno 2.9.6 (V8 15.0)
# Catga: src/flow, docs/internals/measurements.md
set -eu
dir=$(mktemp -d)
cd "$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
cat >probe.mjs <<'EOF'
const VALUES = 1_000;
const LIVE = 16;

/** How many bytes stay of each value after minor collections, and after a major one. */
function kept(empties) {
  const map = new Map();
  const churn = (from) => {
    for (let i = from; i < from + VALUES; i++) {
      map.set(i, { items: Array.from({ length: 100 }, (_, n) => ({ n })) }); // 4 kB
      const old = map.get(i - LIVE);
      if (empties && old !== undefined) old.items = undefined;
      map.delete(i - LIVE);
    }
  };
  churn(0);
  gc(); // the map is old from here on
  const before = process.memoryUsage().heapUsed;
  churn(VALUES);
  for (let i = 0; i < 4; i++) gc({ type: "minor" });
  const minor = process.memoryUsage().heapUsed - before;
  gc();
  return [minor, process.memoryUsage().heapUsed - before].map((bytes) => Math.round(bytes / VALUES));
}

kept(true); // compiles it
const [deleted, emptied] = [kept(false), kept(true)];
console.log(`saw: ${deleted[0]} bytes of each deleted value stay, ${deleted[1]} after a major collection; of emptied ones ${emptied[0]}`);
process.exit(deleted[0] > 3_000 && deleted[1] < 500 && emptied[0] < 1_000 ? 0 : 1);
EOF
echo "versions: node $(node --version)"
if node --expose-gc probe.mjs; then echo unchanged; else echo CHANGED; exit 1; fi
