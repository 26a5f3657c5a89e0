#!/usr/bin/env bash
# Deno reads the files that a literal `import()` names, with all that they import, when a program starts, and keeps their text in memory, although the import never runs.
# Expected: files that are imported when they are needed cost nothing before
# Seen: with 200 files of 15 kB behind an `import()` that never runs, a start takes 1.4 to 1.5 times as long as with a computed specifier, and 3 MB more
# In version: deno 2.9.6, Node 20
# Catga: src/catga.ts, docs/internals/measurements.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
mkdir tool program
(cd tool && echo '{}' >package.json && npm install --silent --no-audit --no-fund deno@2.9.6) || exit 2
cat >program/literal.ts <<'EOF'
if (Deno.args[0] === "never") await import("./file_0.ts");
console.log(Deno.memoryUsage().rss);
EOF
cat >program/computed.ts <<'EOF'
const name = ["./file", "0.ts"].join("_");
if (Deno.args[0] === "never") await import(name);
console.log(Deno.memoryUsage().rss);
EOF
cat >probe.mjs <<'EOF'
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";

const FILES = 200;
for (let n = 0; n < FILES; n++) {
  const next = n + 1 < FILES ? `import "./file_${n + 1}.ts";\n` : "";
  const functions = Array.from({ length: 75 }, (_, i) =>
    `/** Function ${i} of file ${n}, which nobody calls: a comment of the usual length of a sentence or two. */\n` +
    `export function f${i}(value: number, other: string): string {\n  return \`\${value} \${other} ${i}\`;\n}\n`);
  writeFileSync(`program/file_${n}.ts`, next + functions.join(""));
}
const env = { ...process.env, DENO_DIR: "cache", DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" };

/** A start, in ms, and the resident memory of its process, in MB. */
function start(name) {
  const begun = performance.now();
  const args = ["run", "--no-lock", "--no-check", `program/${name}.ts`];
  const { status, stdout, stderr } = spawnSync("tool/node_modules/.bin/deno", args, { env, encoding: "utf8" });
  const ms = performance.now() - begun;
  if (status !== 0) {
    console.log(stderr);
    process.exit(2);
  }
  return { ms, megabytes: Number(stdout) / 1e6 };
}

const starts = { computed: [], literal: [] };
for (let round = 0; round < 16; round++) {
  for (const name of ["computed", "literal"]) {
    const seen = start(name);
    if (round > 0) starts[name].push(seen); // the first one compiles
  }
}
const least = (name, figure) => Math.min(...starts[name].map((seen) => seen[figure]));
const [ms, megabytes] = ["ms", "megabytes"].map((figure) => [least("computed", figure), least("literal", figure)]);
console.log(`saw: starts take ${ms.map((each) => each.toFixed(0)).join(" and ")} ms, ${
  megabytes.map((each) => each.toFixed(1)).join(" and ")
} MB: computed, literal`);
process.exit(ms[1] > 1.2 * ms[0] && megabytes[1] > megabytes[0] + 2 ? 0 : 1);
EOF
echo "versions: node $(node --version), deno@2.9.6"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
