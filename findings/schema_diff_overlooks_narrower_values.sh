#!/usr/bin/env bash
# `json-schema-diff` finds no difference when a schema gets a narrower enum, another pattern or a format.
# Expected: `removalsFound`: values that were valid are not any more
# Seen: a removed enum member, `^a` to `^b` and a new `format` are no difference to it; a new `minLength` is
# In version: json-schema-diff 1.0.0, Node 20
# Catga: docs/upgrading.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund json-schema-diff@1.0.0 || exit 2
cat >probe.mjs <<'EOF'
import differ from "json-schema-diff";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

const schema = (more) => ({ type: "object", properties: { a: { type: "string", ...more } }, required: ["a"] });
const cases = {
  "a removed enum member": [{ enum: ["x", "y"] }, { enum: ["x"] }],
  "another pattern": [{ pattern: "^a" }, { pattern: "^b" }],
  "a new format": [{}, { format: "email" }],
  "a new minLength": [{}, { minLength: 3 }],
};
const found = {};
for (const [name, [before, after]] of Object.entries(cases)) {
  const result = await differ.diffSchemas({ sourceSchema: schema(before), destinationSchema: schema(after) });
  found[name] = result.removalsFound;
}
console.log(`saw: values removed, by its word: ${Object.entries(found).map(([name, removed]) => `${name}: ${removed}`).join("; ")}`);
process.exit(Object.values(found).join() === "false,false,false,true" ? 0 : 1);
EOF
echo "versions: node $(node --version), json-schema-diff@1.0.0"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
