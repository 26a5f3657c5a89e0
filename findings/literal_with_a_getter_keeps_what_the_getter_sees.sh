#!/usr/bin/env bash
# An object literal with a getter keeps what the getter sees, through all collections of the young generation: V8 makes a hidden class for each evaluation, which is old from its birth, and refers to the getter.
# Expected: an object that nothing refers to is freed by the next collection of the young generation, whether it has a getter or a method
# Seen: what the getter of a literal sees is there after four minor collections, and gone after a major one; nothing stays of literals with a method, or of objects of a class with a getter
# In version: Node 20.20 (V8 11.3), Deno 2.9.6 (V8 15.0)
# Catga: src/flow, docs/internals/measurements.md
set -eu
dir=$(mktemp -d)
cd "$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
cat >probe.mjs <<'EOF'
const OBJECTS = 1_000;

class Counted {
  constructor(items) {
    this.items = items;
  }
  get size() {
    return this.items.length;
  }
}

const makes = {
  getter: (items) => ({ get size() { return items.length; } }),
  method: (items) => ({ size: () => items.length }),
  class: (items) => new Counted(items),
};

/** How many bytes stay of each object after minor collections, and after a major one. */
function kept(make) {
  const makeAll = () => {
    for (let i = 0; i < OBJECTS; i++) make(Array.from({ length: 100 }, (_, n) => ({ n }))); // 4 kB
  };
  makeAll();
  gc();
  const before = process.memoryUsage().heapUsed;
  makeAll();
  for (let i = 0; i < 4; i++) gc({ type: "minor" });
  const minor = process.memoryUsage().heapUsed - before;
  gc();
  return [minor, process.memoryUsage().heapUsed - before].map((bytes) => Math.round(bytes / OBJECTS));
}

const [getter, method, ofClass] = [kept(makes.getter), kept(makes.method), kept(makes.class)];
console.log(`saw: ${getter[0]} bytes of each literal with a getter stay, ${getter[1]} after a major collection; with a method ${method[0]}; of a class ${ofClass[0]}`);
process.exit(getter[0] > 3_000 && getter[1] < 500 && method[0] < 1_000 && ofClass[0] < 1_000 ? 0 : 1);
EOF
echo "versions: node $(node --version)"
if node --expose-gc probe.mjs; then echo unchanged; else echo CHANGED; exit 1; fi
