#!/usr/bin/env bash
# Deno parses the graph of modules in a JSR package's metadata at each start, although it uses the graph for the first one alone: a program that needs one file of a large package pays for all.
# Expected: a start from the cache costs what the files cost that it loads
# Seen: a program that imports one file of one line takes 108 ms to start if the metadata have 3,000 more files with 7 imports each (2 MB), 22 ms if not
# In version: deno 2.9.6, Node 20
# Catga: jsr.json
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
mkdir tool
(cd tool && echo '{}' >package.json && npm install --silent --no-audit --no-fund deno@2.9.6) || exit 2
echo 'import "jsr:@one/small@1.0.0"; console.log("ran");' >small.ts
echo 'import "jsr:@one/large@1.0.0"; console.log("ran");' >large.ts
cat >probe.mjs <<'EOF'
import { spawnSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { createServer } from "node:http";

// a registry with two packages, whose only difference is the metadata of files that nobody imports
const source = "export const one = 1;\n";
const checksum = `sha256-${createHash("sha256").update(source).digest("hex")}`;
const dependency = (of, line) => ({
  ...{ type: "static", kind: "import", specifier: `./file_${of}.ts` },
  specifierRange: [[line, 20], [line, 40]],
});
const files = Array.from({ length: 3_000 }, (_, n) => n);
const graphs = {
  small: { "/mod.ts": {} },
  large: {
    "/mod.ts": {},
    ...Object.fromEntries(files.map((n) => [
      `/file_${n}.ts`,
      { dependencies: [1, 2, 3, 4, 5, 6, 7].map((line) => dependency((n + line) % files.length, line)) },
    ])),
  },
};
const answers = Object.fromEntries(Object.entries(graphs).flatMap(([name, moduleGraph2]) => [
  [`/@one/${name}/meta.json`, JSON.stringify({ scope: "one", name, latest: "1.0.0", versions: { "1.0.0": {} } })],
  [
    `/@one/${name}/1.0.0_meta.json`,
    JSON.stringify({ manifest: { "/mod.ts": { size: source.length, checksum } }, exports: { ".": "./mod.ts" }, moduleGraph2 }),
  ],
  [`/@one/${name}/1.0.0/mod.ts`, source],
]));
const registry = createServer(({ url }, answer) => {
  const found = answers[url];
  answer.writeHead(found === undefined ? 404 : 200, {
    "content-type": url.endsWith(".ts") ? "text/typescript" : "application/json",
  });
  answer.end(found);
});
await new Promise((listening) => registry.listen(0, "127.0.0.1", listening));
const env = {
  ...process.env,
  ...{ JSR_URL: `http://127.0.0.1:${registry.address().port}/`, DENO_DIR: "cache", DENO_NO_UPDATE_CHECK: "1", NO_COLOR: "1" },
};
const command = ["tool/node_modules/.bin/deno", ["run", "--no-lock", "--no-check"]];

/** The first start downloads; it must not block this process, which is the registry. */
function first(name) {
  return new Promise((done) => {
    const child = spawn(command[0], [...command[1], `${name}.ts`], { env, stdio: "inherit" });
    child.once("close", (code) => code === 0 ? done() : process.exit(2));
  });
}

/** A start from the cache, in ms. */
function start(name) {
  const begun = performance.now();
  const { status } = spawnSync(command[0], [...command[1], "--cached-only", `${name}.ts`], { env });
  if (status !== 0) process.exit(2);
  return performance.now() - begun;
}

for (const name of ["small", "large"]) await first(name);
registry.close();
const least = { small: Infinity, large: Infinity };
for (let round = 0; round < 15; round++) {
  for (const name of ["small", "large"]) least[name] = Math.min(least[name], start(name));
}
console.log(`saw: a start from the cache takes ${least.small.toFixed(0)} and ${least.large.toFixed(0)} ms`);
process.exit(least.large > 1.5 * least.small ? 0 : 1);
EOF
echo "versions: node $(node --version), deno@2.9.6"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
