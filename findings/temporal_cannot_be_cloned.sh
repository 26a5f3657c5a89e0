#!/usr/bin/env bash
# Values of `Temporal` are global in Deno and Bun, and can be neither cloned nor posted to a worker; as JSON they are texts.
# Expected: what is part of the language can be copied by `structuredClone`, as a `Date` can
# Seen: `structuredClone` of an `Instant`, a `PlainDate` and a `Duration` throws a `DataCloneError` in both runtimes; a `Date` is cloned
# In version: deno 2.9.6, bun 1.4.4
# Catga: src/data
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 || exit 2
cat >probe.mjs <<'EOF'
const values = {
  Instant: Temporal.Instant.from("2026-11-27T10:00:00Z"),
  PlainDate: Temporal.PlainDate.from("2026-11-27"),
  Duration: Temporal.Duration.from("PT1H"),
  Date: new Date(0),
};
const outcomes = Object.entries(values).map(([name, value]) => {
  try {
    return `${name} ${structuredClone(value).constructor.name}`;
  } catch (error) {
    return `${name} ${error.name}`;
  }
});
const text = outcomes.join(", ");
console.log(`saw: ${text}`);
process.exit(text === "Instant DataCloneError, PlainDate DataCloneError, Duration DataCloneError, Date Date" ? 0 : 1);
EOF
echo "versions: node $(node --version), deno@2.9.6 bun@1.4.4"
(node_modules/.bin/deno run -A probe.mjs && node_modules/.bin/bun probe.mjs) &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
