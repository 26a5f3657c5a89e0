#!/usr/bin/env bash
# `new SimpleSpanProcessor(exporter)`, the form of version 2 of OpenTelemetry's SDK, is accepted by version 3, which exports nothing then: it wants `{ exporter }`.
# Expected: spans are exported, or the constructor throws
# Seen: no error, and no span; with `{ exporter }` each span
# In version: @opentelemetry/sdk-trace 3.1.1, @opentelemetry/api 1.10, Node 20
# Catga: docs/observability.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund @opentelemetry/sdk-trace@3.1.1 || exit 2
cat >probe.mjs <<'EOF'
import { InMemorySpanExporter, SimpleSpanProcessor, TracerProvider } from "@opentelemetry/sdk-trace";

setTimeout(() => (console.log("saw: nothing within 100 s"), process.exit(1)), 100_000).unref();

async function spans(given) {
  const exporter = new InMemorySpanExporter();
  const provider = new TracerProvider({ spanProcessors: [new SimpleSpanProcessor(given(exporter))] });
  for (let n = 0; n < 3; n++) provider.getTracer("shop").startSpan("order").end();
  await new Promise((resolve) => setTimeout(resolve, 500));
  return exporter.getFinishedSpans().length;
}
const silent = await spans((exporter) => exporter);
const right = await spans((exporter) => ({ exporter }));
console.log(`saw: of 3 spans an exporter as the argument gets ${silent}, one in { exporter } ${right}`);
process.exit(silent === 0 && right === 3 ? 0 : 1);
EOF
echo "versions: node $(node --version), @opentelemetry/sdk-trace@3.1.1"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
