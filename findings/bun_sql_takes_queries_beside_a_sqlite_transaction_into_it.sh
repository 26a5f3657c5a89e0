#!/usr/bin/env bash
# A query of Bun's `SQL` on SQLite that is sent while `sql.begin` is open, by whatever part of the program, belongs to that transaction: it resolves, and its row is gone if the transaction is rolled back.
# Expected: it waits for the transaction, as a second `begin` does, or goes over a connection of its own, as with PostgreSQL
# Seen: an insert beside a transaction that is rolled back resolves, and no row is stored
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
import { SQL } from "bun";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const sql = new SQL("sqlite://entries.db");
await sql`CREATE TABLE entry (who TEXT)`;
const [within, beside] = await Promise.allSettled([
  sql.begin(async (tx) => {
    await tx`INSERT INTO entry VALUES ('within')`;
    await sleep(300);
    throw new Error("taken back");
  }),
  sleep(100).then(() => sql`INSERT INTO entry VALUES ('beside')`),
]);
const rows = (await sql`SELECT who FROM entry`).map(({ who }) => who).join("+") || "nothing";
console.log(`saw: the transaction ${within.status}, the insert beside it ${beside.status}: ${rows} stored`);
process.exit(`${within.status} ${beside.status} ${rows}` === "rejected fulfilled nothing" ? 0 : 1);
EOF
echo "versions: bun $(node_modules/.bin/bun --version)"
node_modules/.bin/bun probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
