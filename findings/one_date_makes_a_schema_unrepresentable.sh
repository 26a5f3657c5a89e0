#!/usr/bin/env bash
# One member that JSON Schema cannot express makes `z.toJSONSchema` throw for the whole schema; with `unrepresentable: "any"` that member becomes `{}`, which accepts everything.
# Expected: a schema of the rest, or of what the member is as JSON
# Seen: an object with one `z.date()` among its members throws; with "any" the member has no rule at all
# In version: zod 4.6.7, Node 20
# Catga: src/contract
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund zod@4.6.7 || exit 2
cat >probe.mjs <<'EOF'
import { z } from "zod";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const order = z.object({ id: z.string(), lines: z.array(z.object({ sku: z.string() })), at: z.date() });
let thrown = "";
try {
  z.toJSONSchema(order);
} catch (error) {
  thrown = error.message;
}
const { properties } = z.toJSONSchema(order, { unrepresentable: "any" });
console.log(`saw: throws "${thrown}"; with "any" the date is ${JSON.stringify(properties.at)}`);
process.exit(thrown !== "" && JSON.stringify(properties.at) === "{}" ? 0 : 1);
EOF
echo "versions: node $(node --version), zod@4.6.7"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
