#!/usr/bin/env bash
# Where clocks change, cron libraries run one job at different moments, or not at all: a nightly job of the hour that is left out comes at three times or never, and where clocks change by half an hour an hourly job has 30 or 90 minutes between two runs, or ends with an error.
# Expected: one answer for `30 2 * * *` in Berlin and `0 * * * *` on Lord Howe Island, as for any other day
# Seen: 29 March 2026 in Berlin, 02:30 of which there is none: croner and cron 03:00, cron-parser 03:30, node-cron not that day. 5 April on Lord Howe: croner has 90 minutes between two runs, cron 60 and 30, cron-parser throws "loop limit exceeded" for the whole list
# In version: croner 11.0.1, cron-parser 5.10.6, cron 4.4.0, node-cron 4.6.0, Node 20
# Catga: src/data/cron.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts croner@11.0.1 cron-parser@5.10.6 cron@4.4.0 node-cron@4.6.0 || exit 2
cat >probe.mjs <<'EOF'
import { CronTime } from "cron";
import { CronExpressionParser } from "cron-parser";
import { Cron } from "croner";
import { createTask } from "node-cron";

const libraries = {
  croner: (pattern, timezone, from, count) => new Cron(pattern, { timezone, paused: true }).nextRuns(count, from),
  "cron-parser": (pattern, tz, currentDate, count) => {
    const runs = CronExpressionParser.parse(pattern, { tz, currentDate });
    return Array.from({ length: count }, () => runs.next().toDate());
  },
  cron: (pattern, zone, from, count) => {
    const time = new CronTime(pattern, zone);
    return Array.from({ length: count }, () => from = time.getNextDateFrom(from, zone).toJSDate());
  },
};
const runs = (pattern, zone, from, count) =>
  Object.entries(libraries).map(([name, list]) => {
    try {
      return `${name} ${list(pattern, zone, new Date(from), count).map((at) => at.toISOString().slice(11, 16)).join(" ")}`;
    } catch (error) {
      return `${name} throws ${error.message}`;
    }
  });
const berlin = runs("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00Z", 2);
const island = runs("0 * * * *", "Australia/Lord_Howe", "2026-04-04T13:30Z", 4);
// node-cron computes from now alone: its clock is set
const RealDate = Date;
const now = RealDate.parse("2026-03-28T12:00Z");
globalThis.Date = class extends RealDate {
  constructor(...args) {
    super(...(args.length ? args : [now]));
  }
  static now = () => now;
};
const task = createTask("30 2 * * *", () => {}, { timezone: "Europe/Berlin" });
await task.start();
const next = task.getNextRun().toISOString().slice(5, 16);
await task.destroy();
console.log(`saw: Berlin: ${berlin.join(", ")}, node-cron first ${next}; Lord Howe: ${island.join(", ")}`);
const expected = [
  "croner 01:00 00:30,cron-parser 01:30 00:30,cron 01:00 00:30",
  "croner 14:00 15:30 16:30 17:30,cron-parser throws Invalid expression, loop limit exceeded,cron 14:00 15:00 15:30 16:30",
  "03-30T00:30",
];
process.exit([berlin, island, next].join() === expected.join() ? 0 : 1);
EOF
echo "versions: node $(node --version), croner@11.0.1 cron-parser@5.10.6 cron@4.4.0 node-cron@4.6.0"
if node probe.mjs; then echo unchanged; else echo CHANGED; exit 1; fi
