#!/usr/bin/env bash
# Deno's `fetch` sends an empty `Blob` as a body of unknown length, in chunks, and every other body that is held in memory with its length: a server takes a POST of nothing for one with a body.
# Expected: `Content-Length: 0`, as the Fetch standard has it for a body whose length is known, and as Bun and Node send it
# Seen: `new Blob([])` came with `Transfer-Encoding: chunked` and no length from Deno, with `Content-Length: 0` from Bun and Node; `new Blob(["abc"])` with `Content-Length: 3` from all
# In version: deno 2.9.6, bun 1.4.4, Node 20
# Catga: src/client/mod.ts, src/http/request_input.ts
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund deno@2.9.6 bun@1.4.4 || exit 2
cat >post.mjs <<'EOS'
import process from "node:process";

const [url] = process.argv.slice(2);
for (const parts of [[], ["abc"]]) await (await fetch(url, { method: "POST", body: new Blob(parts) })).text();
process.exit();
EOS
cat >probe.mjs <<'EOS'
import { execFile } from "node:child_process";
import { createServer } from "node:http";
import { promisify } from "node:util";

let seen = [];
const server = createServer((request, response) => {
  const { "content-length": length, "transfer-encoding": coding } = request.headers;
  seen.push(`length ${length ?? "-"} coding ${coding ?? "-"}`);
  request.resume().on("end", () => response.end());
});
await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
const url = `http://127.0.0.1:${server.address().port}`;
const outcomes = [];
for (const [name, ...command] of [["deno", "deno", "run", "-A"], ["bun", "bun"], ["node", process.execPath]]) {
  const [program, ...args] = command;
  seen = [];
  await promisify(execFile)(name === "node" ? program : `node_modules/.bin/${program}`, [...args, "post.mjs", url]);
  outcomes.push(`${name}: empty ${seen[0]}, abc ${seen[1]}`);
}
const text = outcomes.join("; ");
console.log(`saw: ${text}`);
const known = "empty length 0 coding -, abc length 3 coding -";
const wanted = `deno: empty length - coding chunked, abc length 3 coding -; bun: ${known}; node: ${known}`;
process.exit(text === wanted ? 0 : 1);
EOS
echo "versions: node $(node --version), deno@2.9.6 bun@1.4.4"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
