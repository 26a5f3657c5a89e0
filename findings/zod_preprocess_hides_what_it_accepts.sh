#!/usr/bin/env bash
# The JSON Schema of the input of zod's `z.preprocess` is that of what comes after it, which its input need not fit.
# Expected: the input is unknown, as that of `z.unknown().transform(…)`, or cannot be described
# Seen: `{ type: "number" }` with `io: "input"`, though the text "7" is accepted
# In version: zod 4.6.7
# Catga: src/contract/declaration/contract_options.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{"type":"module"}' >package.json
npm install --silent --no-audit --no-fund zod@4.6.7 || exit 2
cat >probe.js <<'EOF'
import { z } from "zod";

const number = z.preprocess((value) => Number(value), z.number());
const piped = z.unknown().transform((value) => Number(value)).pipe(z.number());
const inputOf = (schema) => z.toJSONSchema(schema, { io: "input" }).type;
const accepts = number.safeParse("7").success && piped.safeParse("7").success;
console.log(`saw: preprocess is described as ${inputOf(number)}, transform as ${inputOf(piped)}; a text passes: ${accepts}`);
process.exit(inputOf(number) === "number" && inputOf(piped) === undefined && accepts ? 0 : 1);
EOF
echo "versions: node $(node --version), zod@4.6.7"
node probe.js &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
