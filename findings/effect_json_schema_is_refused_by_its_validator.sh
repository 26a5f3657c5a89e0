#!/usr/bin/env bash
# The JSON Schema that effect gives for the input of a schema describes a JSON form of it, which its validator refuses.
# Expected: what fits `jsonSchema.input` fits `validate` of the same schema, both by the Standard Schema interfaces
# Seen: `Schema.Date` is a text, `BigInt` a text of digits, `Undefined` null; `validate` takes a Date, a bigint, undefined
# In version: effect 4.1.0
# Catga: src/contract/schemas/json_schema.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{"type":"module"}' >package.json
npm install --silent --no-audit --no-fund effect@4.1.0 || exit 2
cat >probe.js <<'EOF'
import * as Schema from "effect/Schema";

const schema = Schema.Struct({ at: Schema.Date, n: Schema.BigInt, none: Schema.Undefined });
const described = Schema.toStandardJSONSchemaV1(schema)["~standard"].jsonSchema.input({ target: "draft-2020-12" });
const types = Object.values(described.properties).map(({ type }) => type).join();
const { validate } = Schema.toStandardSchemaV1(schema)["~standard"];
const issuesOf = async (value) => (await validate(value)).issues?.length ?? 0;
const asDescribed = await issuesOf({ at: "2026-01-01T00:00:00.000Z", n: "7", none: null });
const asTyped = await issuesOf({ at: new Date(0), n: 7n, none: undefined });
console.log(`saw: described as ${types}; issues of such a value: ${asDescribed}, of a typed one: ${asTyped}`);
process.exit(types === "string,string,null" && asDescribed === 3 && asTyped === 0 ? 0 : 1);
EOF
echo "versions: node $(node --version), effect@4.1.0"
node probe.js &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
