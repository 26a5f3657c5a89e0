#!/usr/bin/env bash
# Deno downloads what a literal `import()` names, with all that it imports, although the import never runs.
# Expected: a package that is imported when it is needed is downloaded then
# Seen: after a run that skips `import("npm:ms@2.1.3")` the package lies in the cache; with a computed specifier it does not
# In version: deno 2.9.6, Node 20
# Catga: src/nats/connection/client_packages.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
mkdir tool programs
(cd tool && echo '{}' >package.json && npm install --silent --no-audit --no-fund deno@2.9.6) || exit 2
cat >programs/literal.mjs <<'EOF'
if (globalThis.never) await import("npm:ms@2.1.3");
EOF
cat >programs/computed.mjs <<'EOF'
const name = ["npm", "ms@2.1.3"].join(":");
if (globalThis.never) await import(name);
EOF
echo "versions: node $(node --version), deno@2.9.6"
# packages_after PROGRAM: those in a cache that was empty before the program ran
packages_after() {
  DENO_DIR="$dir/cache-$1" NO_COLOR=1 tool/node_modules/.bin/deno run --no-lock -A "programs/$1.mjs" >"$1.log" 2>&1 || return 2
  find "$dir/cache-$1/npm" -mindepth 2 -maxdepth 2 -printf '%f\n' 2>/dev/null || true
}
look() {
  local literal computed
  literal=$(packages_after literal) || { cat literal.log; return 2; }
  computed=$(packages_after computed) || { cat computed.log; return 2; }
  echo "saw: literal: ${literal:-none}; computed: ${computed:-none}"
  [ "$literal" = ms ] && [ -z "$computed" ]
}
look &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
