#!/usr/bin/env bash
# A job of bunqueue's embedded mode gets the object itself that was given to `add`, with its `Map`, and with what a former attempt changed in it; after a restart of the process the same job gets what was stored, a plain object for the `Map`, and without the change.
# Expected: an attempt gets what is stored, whichever process runs it
# Seen: first attempt: Map, 0 changes; second, in the same process: Map, 1 change; third, after a kill: Object, 0 changes; the caller's object has the changes of both attempts
# In version: bunqueue 2.9.5, bun 1.4.4
# Catga: docs/migrating/bullmq.md, docs/messages.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts bunqueue@2.9.5 bun@1.4.4 || exit 2
(cd node_modules/bun && node install.js >/dev/null)
cat >probe.mjs <<'EOF'
import { Queue, Worker } from "bunqueue/client";
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const options = { embedded: true, dataPath: "jobs.db" };
if (process.argv[2] === "first") {
  const data = { rooms: new Map([["a", 1]]), changes: [] };
  let attempts = 0;
  new Worker("queue", async (job) => {
    console.log(`${job.data.rooms.constructor.name} ${job.data.changes.length}`);
    job.data.changes.push("one");
    if (++attempts === 1) throw new Error("again");
    console.log(`own ${data.changes.length}`);
    await sleep(600_000);
  }, options);
  await new Queue("queue", options).add("job", data, { attempts: 10, backoff: 100, durable: true });
  await sleep(600_000);
}
const child = spawn(process.execPath, ["probe.mjs", "first"], { stdio: ["ignore", "pipe", "ignore"] });
appendFileSync("pids", `${child.pid}\n`);
let text = "";
for await (const chunk of child.stdout) {
  text += chunk;
  if (text.includes("own")) break;
}
child.kill("SIGKILL");
await sleep(200);
const later = await new Promise((resolve) =>
  new Worker("queue", async ({ data }) => resolve(`${data.rooms.constructor.name} ${data.changes.length}`), options)
);
const [first, second, own] = text.trim().split("\n");
console.log(`saw: first ${first}, second ${second}, caller's object ${own.split(" ")[1]} changes; after a kill ${later}`);
process.exit([first, second, own, later].join() === "Map 0,Map 1,own 2,Object 0" ? 0 : 1);
EOF
echo "versions: bun $(node_modules/.bin/bun --version), bunqueue@2.9.5"
node_modules/.bin/bun probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
