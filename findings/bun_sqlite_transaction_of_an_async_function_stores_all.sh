#!/usr/bin/env bash
# `transaction` of `bun:sqlite` takes an async function and commits when it has returned its promise, at its first `await`: what it writes later commits statement by statement, and when it throws nothing is rolled back.
# Expected: the transaction lasts until the promise settles, or an async function is refused, as better-sqlite3, whose interface this is, does
# Seen: the promise rejects behind two inserts with an `await` between them; `inTransaction` is false behind the `await`, and both rows are stored; of a function without `await` none is
# In version: bun 1.4.4
# Catga: docs/recipes.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts bun@1.4.4 || exit 2
(cd node_modules/bun && node install.js >/dev/null)
cat >probe.mjs <<'EOF'
import { Database } from "bun:sqlite";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const db = new Database(":memory:");
db.run("CREATE TABLE entry (who TEXT)");
const insert = (who) => db.run("INSERT INTO entry VALUES (?)", [who]);
const stored = () => db.query("SELECT who FROM entry").all().map(({ who }) => who).join("+") || "nothing";

try {
  db.transaction(() => {
    insert("plain");
    throw new Error("taken back");
  })();
} catch { /* as it should */ }
const plain = stored();

let within;
const fate = await db.transaction(async () => {
  insert("first");
  await sleep(1);
  within = db.inTransaction;
  insert("second");
  throw new Error("taken back");
})().then(() => "resolved", () => "rejected");
console.log(`saw: plain: ${plain} stored; async: ${fate}, in a transaction behind the await: ${within}, ${stored()} stored`);
process.exit(`${plain} ${fate} ${within} ${stored()}` === "nothing rejected false first+second" ? 0 : 1);
EOF
echo "versions: bun $(node_modules/.bin/bun --version)"
node_modules/.bin/bun probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
