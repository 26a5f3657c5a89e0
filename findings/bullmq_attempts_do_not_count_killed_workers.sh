#!/usr/bin/env bash
# A BullMQ job whose workers are killed fails for good after its second run, whatever its `attempts` say: these count errors that are thrown.
# Expected: a job with 10 attempts runs ten times before it fails
# Seen: two runs, each ended by a kill of its worker, then `failed` with "job stalled more than allowable limit"
# In version: bullmq 6.7.0, ioredis 5.11.1, redis-server 7.0.15, Node 20
# Catga: docs/log.md, src/log/subscriptions/suspicion.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund bullmq@6.7.0 ioredis@5.11.1 || exit 2
mkdir -p apt/parts apt/lists/partial apt/archives/partial
sed '/^$/q; s/^Suites:.*/Suites: bookworm/' /etc/apt/sources.list.d/debian.sources >apt/bookworm.sources
apt() {
  apt-get -qq -o Dir::Etc::sourcelist="$PWD/apt/bookworm.sources" -o Dir::Etc::sourceparts="$PWD/apt/parts" \
    -o Dir::State::Lists="$PWD/apt/lists" -o Dir::Cache="$PWD/apt" -o Acquire::Languages=none -o APT::Sandbox::User=root "$@"
}
{ apt update && apt download redis-tools=5:7.0.15-1~deb12u7 redis-server=5:7.0.15-1~deb12u7 liblzf1 libjemalloc2; } || exit 2
for package in *.deb; do dpkg -x "$package" .; done
export LD_LIBRARY_PATH=$(echo "$PWD"/usr/lib/*-linux-gnu)
port=$(node -e 'require("net").createServer().listen(0, "127.0.0.1", function () { console.log(this.address().port); this.close() })')
export REDIS_PORT=$port
usr/bin/redis-server --port "$port" --bind 127.0.0.1 --save "" >redis.log &
echo $! >>pids; disown
until usr/bin/redis-cli -p "$port" ping >/dev/null 2>&1; do sleep 0.1; done
cat >probe.mjs <<'EOF'
import { spawn } from "node:child_process";
import { appendFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Job, Queue, Worker } from "bullmq";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const connection = { host: "127.0.0.1", port: Number(process.env.REDIS_PORT), maxRetriesPerRequest: null };
if (process.argv[2] === "worker") {
  const run = async () => {
    console.log("run");
    await sleep(60_000);
  };
  new Worker("pay", run, { connection, lockDuration: 1_000, stalledInterval: 1_000 });
} else {
  const queue = new Queue("pay", { connection });
  const { id } = await queue.add("order", {}, { attempts: 10 });
  const failed = async () => await (await Job.fromId(queue, id)).getState() === "failed";
  let runs = 0;
  const end = Date.now() + 45_000;
  while (Date.now() < end && !await failed()) {
    const worker = spawn(process.execPath, ["probe.mjs", "worker"], { stdio: ["ignore", "pipe", "inherit"] });
    appendFileSync("pids", `${worker.pid}\n`);
    const [before, started] = [runs, Date.now()];
    worker.stdout.on("data", () => runs++);
    while (runs === before && Date.now() - started < 20_000 && !await failed()) await sleep(100);
    worker.kill("SIGKILL");
  }
  const job = await Job.fromId(queue, id);
  console.log(`saw: ${runs} runs, then ${await job.getState()}: ${job.failedReason}`);
  process.exit(runs === 2 && /stalled/.test(job.failedReason ?? "") ? 0 : 1);
}
EOF
echo "versions: node $(node --version), bullmq@6.7.0 ioredis@5.11.1"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
