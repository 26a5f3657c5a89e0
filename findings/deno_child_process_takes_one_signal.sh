#!/usr/bin/env bash
# In Deno a child of `node:child_process` that was sent one signal by `kill` is sent no other: `kill` gives false and the child stays as it is.
# Expected: a child that was stopped by `child.kill("SIGSTOP")` goes on after `child.kill("SIGCONT")`, as in Node
# Seen: "true false", and the child is still stopped; in Bun "true true", and it runs
# In version: deno 2.9.6; bun 1.4.4 as expected
# Catga: tools/nats_server.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 || exit 2
cat >probe.mjs <<'EOP'
import { spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readFileSync } from "node:fs";
import process from "node:process";

const child = spawn("sleep", ["50"]);
await once(child, "spawn");
appendFileSync("pids", `${child.pid}\n`);
const state = () => readFileSync(`/proc/${child.pid}/stat`, "utf8").split(") ")[1][0];
const stateIs = async (wanted) => {
  for (let turn = 0; turn < 100 && (state() === "T") !== wanted; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
};
const stopped = child.kill("SIGSTOP");
await stateIs(true);
const continued = child.kill("SIGCONT");
await stateIs(false);
console.log(stopped, continued, state() === "T" ? "stopped" : "runs");
process.kill(child.pid, "SIGKILL");
process.exit();
EOP
echo "versions: deno@2.9.6 bun@1.4.4"
{ node_modules/.bin/deno run -A probe.mjs >deno && node_modules/.bin/bun probe.mjs >bun; } &
echo $! >>pids
wait $! || exit 2
echo "saw: $(cat deno) in Deno, $(cat bun) in Bun"
if [ "$(cat deno)" = "true false stopped" ] && [ "$(cat bun)" = "true true runs" ]; then echo unchanged; else echo CHANGED; exit 1; fi
