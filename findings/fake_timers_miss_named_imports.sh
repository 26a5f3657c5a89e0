#!/usr/bin/env bash
# Fake timers fake `Date`, `performance` and the global `setTimeout`, but not a `setTimeout` that a module imported by name from `node:timers`: the clock runs ahead, and the timer does not fire.
# Expected: a library's timers follow the fake clock, whichever way it got them
# Seen: after 5 s of fake time timers of 1 s have fired by the global and by the default import of `node:timers`, and not by its named one
# In version: @sinonjs/fake-timers 15.5.0 (those of sinon), Node 20
# Catga: src/ports, docs/testing.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund @sinonjs/fake-timers@15.5.0 || exit 2
cat >probe.mjs <<'EOF'
import FakeTimers from "@sinonjs/fake-timers";
import timers, { setTimeout as imported } from "node:timers";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const clock = FakeTimers.install();
const fired = [];
setTimeout(() => fired.push("global"), 1_000);
timers.setTimeout(() => fired.push("default import"), 1_000);
imported(() => fired.push("named import"), 1_000);
const [date, time] = [Date.now(), performance.now()];
await clock.tickAsync(5_000);
const passed = [Date.now() - date, performance.now() - time];
const before = fired.join(", ");
clock.uninstall();
console.log(`saw: Date and performance went on by ${passed.join(" and ")} ms; fired: ${before}`);
process.exit(passed.join() === "5000,5000" && before === "global, default import" ? 0 : 1);
EOF
echo "versions: node $(node --version), @sinonjs/fake-timers@15.5.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
