#!/usr/bin/env bash
# Queues that start a waiting task from the end of the one before it run it with the `AsyncLocalStorage` of that other caller.
# Expected: a task sees the context in which it was queued
# Seen: of three callers' tasks in p-queue, async, fastq and bottleneck all run as the first caller; p-limit and async-mutex keep each its own
# In version: p-queue 9.3.5, async 3.2.6, fastq 1.20.3, bottleneck 2.19.5, p-limit 7.3.3, async-mutex 0.5.0, Node 20
# Catga: src/dispatch
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund p-queue@9.3.5 async@3.2.6 fastq@1.20.3 bottleneck@2.19.5 p-limit@7.3.3 async-mutex@0.5.0 || exit 2
cat >probe.mjs <<'EOF'
import { AsyncLocalStorage } from "node:async_hooks";
import async from "async";
import { Mutex } from "async-mutex";
import Bottleneck from "bottleneck";
import fastq from "fastq";
import pLimit from "p-limit";
import PQueue from "p-queue";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const run = async (task) => await task();
const queues = {
  "p-queue": new PQueue({ concurrency: 1 }),
  async: async.queue(run, 1),
  fastq: fastq.promise(run, 1),
  bottleneck: new Bottleneck({ maxConcurrent: 1 }),
  "p-limit": pLimit(1),
  "async-mutex": new Mutex(),
};
const ways = {
  "p-queue": (task) => queues["p-queue"].add(task),
  async: (task) => queues.async.pushAsync(task),
  fastq: (task) => queues.fastq.push(task),
  bottleneck: (task) => queues.bottleneck.schedule(task),
  "p-limit": (task) => queues["p-limit"](task),
  "async-mutex": (task) => queues["async-mutex"].runExclusive(task),
};
const user = new AsyncLocalStorage();
const results = {};
for (const [name, queue] of Object.entries(ways)) {
  const ran = await Promise.all(["ann", "bob", "cyd"].map((caller) =>
    user.run(caller, () =>
      queue(async () => {
        await new Promise((resolve) => setTimeout(resolve, 5));
        return user.getStore();
      }))
  ));
  results[name] = ran.join(" ");
}
console.log(`saw: tasks of ann, bob, cyd ran as ${Object.entries(results).map(([name, users]) => `${name}: ${users}`).join("; ")}`);
const mixed = ["p-queue", "async", "fastq", "bottleneck"].every((name) => results[name] === "ann ann ann");
process.exit(mixed && results["p-limit"] === "ann bob cyd" && results["async-mutex"] === "ann bob cyd" ? 0 : 1);
EOF
echo "versions: node $(node --version), p-queue@9.3.5 async@3.2.6 fastq@1.20.3 bottleneck@2.19.5 p-limit@7.3.3 async-mutex@0.5.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
