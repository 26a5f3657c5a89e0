#!/usr/bin/env bash
# After a deadlock MariaDB has rolled the whole transaction back, and what its connection sends next commits by itself: a transaction of mysql2 that tries the statement again has stored its second half alone, and its `commit` succeeds. After a lock that was waited for too long the statement alone is rolled back, and the first half is stored with the rest.
# Expected: both errors leave the transaction in one state: all is rolled back, and what follows is refused until its end, as in PostgreSQL, or the statement alone is
# Seen: of an update of row 1 and one of row 2, which fails and is sent again: after the deadlock row 2 has it before the commit, and row 1 not, after it neither; after the lock's timeout, and without sending it again, row 1 and a later update of row 3 are stored
# In version: mariadbd 10.11.18, mysql2 3.24.6, Node 20
# Catga: docs/recipes.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts mysql2@3.24.6 || exit 2
mkdir -p apt/parts apt/lists/partial apt/archives/partial
sed '/^$/q; s/^Suites:.*/Suites: bookworm/' /etc/apt/sources.list.d/debian.sources >apt/bookworm.sources
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$PWD/apt/bookworm.sources" -o Dir::Etc::sourceparts="$PWD/apt/parts" \
    -o Dir::State::Lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
{ apt update && apt download mariadb-server-core=1:10.11.18-0+deb12u1 libaio1=0.3.113-4 libnuma1=2.0.16-1 liburing2=2.3-3 && for each in *.deb; do dpkg -x "$each" .; done; } || exit 2
chmod 755 "$dir"
export LD_LIBRARY_PATH="$dir/usr/lib/x86_64-linux-gnu"
# mariadbd refuses to run as root
as() { if [ "$(id -u)" = 0 ]; then exec setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; else exec "$@"; fi; }
mkdir data tmp
[ "$(id -u)" != 0 ] || chown 65534:65534 data tmp
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
as usr/sbin/mariadbd --no-defaults --datadir="$dir/data" --tmpdir="$dir/tmp" --lc-messages-dir="$dir/usr/share/mysql" \
  --skip-grant-tables --bind-address=127.0.0.1 --port="$port" --socket="$dir/tmp/socket" >mariadb.log 2>&1 &
echo $! >>pids; disown
cat >probe.mjs <<'EOF'
import mysql from "mysql2/promise";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const port = Number(process.argv[2]);
const open = () => mysql.createConnection({ host: "127.0.0.1", port, user: "root" });
let reader;
while (reader === undefined) reader = await open().catch(() => sleep(100));
await reader.query("CREATE DATABASE shop");
const [one, other] = [await open(), await open()];
for (const connection of [reader, one, other]) await connection.query("USE shop");
await reader.query("CREATE TABLE entry (id INT PRIMARY KEY, who TEXT) ENGINE=InnoDB");
const stored = async () => (await reader.query("SELECT id, who FROM entry WHERE who = 'one' ORDER BY id"))[0].map(({ id }) => id).join("+") || "none";
const write = (connection, id, who) => connection.query("UPDATE entry SET who = ? WHERE id = ?", [who, id]).then(() => "ok", ({ code }) => code);
const begin = async () => {
  await reader.query("DELETE FROM entry");
  await reader.query("INSERT INTO entry VALUES (1, ''), (2, ''), (3, ''), (4, ''), (5, '')");
  await one.beginTransaction();
  await other.beginTransaction();
};

await begin();
for (const id of [2, 4, 5]) await write(other, id, "other"); // it has changed more: the other transaction is the victim
await write(one, 1, "one");
const waits = write(other, 1, "other");
await sleep(300);
const deadlock = await write(one, 2, "one");
await waits;
await other.commit();
await write(one, 2, "one");
const before = await stored();
await one.commit();
const after = await stored();

await begin();
await one.query("SET innodb_lock_wait_timeout = 1");
await write(other, 2, "other");
await write(one, 1, "one");
const timeout = await write(one, 2, "one");
await write(one, 3, "one");
await one.commit();
await other.rollback();
console.log(`saw: ${deadlock}: rows ${before} stored before the commit, ${after} behind it; ${timeout}: rows ${await stored()} stored`);
process.exit(`${deadlock} ${before} ${after} ${timeout} ${await stored()}` === "ER_LOCK_DEADLOCK 2 2 ER_LOCK_WAIT_TIMEOUT 1+3" ? 0 : 1);
EOF
echo "versions: node $(node --version), mysql2@3.24.6, $(usr/sbin/mariadbd --version | sed "s/.*Ver //; s/ for.*//")"
node probe.mjs "$port" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
