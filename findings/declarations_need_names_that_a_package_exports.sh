#!/usr/bin/env bash
# TypeScript cannot write the declaration of an exported value whose inferred type a package uses without exporting its name: the program that uses the package does not compile.
# Expected: a type that inference finds can be written down
# Seen: TS2742 of TypeScript 5.9 with `declaration: true`; none without it, and none once the package exports the name
# In version: typescript 5.9.3, Node 20
# Catga: src/contract
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund typescript@5.9.3 || exit 2
cat >probe.mjs <<'EOF'
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

// a package with one entry, that returns a type which it does not export
const folder = "node_modules/cache-of-a-package";
mkdirSync(`${folder}/lib`, { recursive: true });
const manifest = { name: "cache-of-a-package", version: "1.0.0", exports: { ".": { types: "./lib/mod.d.ts" } } };
writeFileSync(`${folder}/package.json`, JSON.stringify(manifest));
writeFileSync(`${folder}/lib/entry.d.ts`, "export interface Entry<T> { readonly value: T; }\n");
const entry = (more) =>
  writeFileSync(`${folder}/lib/mod.d.ts`, `import type { Entry } from "./entry.js";\nexport declare function entryOf<T>(value: T): Entry<T>;\n${more}`);
writeFileSync("program.ts", 'import { entryOf } from "cache-of-a-package";\nexport const first = entryOf(1);\n');
function errors(...options) {
  const given = ["--module", "nodenext", "--target", "es2022", "--outDir", "out", ...options, "program.ts"];
  try {
    execFileSync("node_modules/.bin/tsc", given, { stdio: ["ignore", "pipe", "pipe"] });
    return "none";
  } catch (error) {
    return [...`${error.stdout}`.matchAll(/TS\d+/g)].join();
  }
}
entry("");
const [plain, declared] = [errors(), errors("--declaration")];
entry('export type { Entry } from "./entry.js";\n');
const named = errors("--declaration");
console.log(`saw: without declarations: ${plain}; with: ${declared}; once it is exported: ${named}`);
process.exit(plain === "none" && declared === "TS2742" && named === "none" ? 0 : 1);
EOF
echo "versions: node $(node --version), typescript@5.9.3"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
