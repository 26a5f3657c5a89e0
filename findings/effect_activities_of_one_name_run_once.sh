#!/usr/bin/env bash
# Two activities of one name in a run of `@effect/workflow` are one: the second does not run, and has the result of the first. A loop that makes an activity for each item does the first item, and reports that one for all.
# Expected: each is a step of its own, or the second use of a name is refused
# Seen: of charges for x, y and z, made in a loop under one name, x ran, and the three results are x; with a name for each all ran. The engine in memory
# In version: @effect/workflow 0.19.1, effect 3.22.1, Node 20
# Catga: docs/migrating/temporal.md, docs/workflows.md
set -eu
dir=$(mktemp -d)
cd "$dir"
touch pids
trap 'xargs -r kill -KILL <pids 2>/dev/null || true; rm -rf "$dir"' EXIT
trap 'exit 2' INT TERM
echo '{}' >package.json
npm install --silent --no-audit --no-fund --ignore-scripts @effect/workflow@0.19.1 effect@3.22.1 @effect/experimental@0.61.1 @effect/platform@0.97.1 @effect/rpc@0.76.2 || exit 2
cat >probe.mjs <<'EOF'
import { Activity, Workflow, WorkflowEngine } from "@effect/workflow";
import { Effect, Layer, Schema } from "effect";

setTimeout(() => (console.log("saw: nothing within 45 s"), process.exit(1)), 45_000).unref();

const Charges = Workflow.make({
  name: "Charges",
  payload: { id: Schema.String, ownNames: Schema.Boolean },
  success: Schema.Array(Schema.String),
  idempotencyKey: ({ id }) => id,
});
const charged = [];
const layer = Charges.toLayer(Effect.fn(function* ({ ownNames }) {
  const results = [];
  for (const item of ["x", "y", "z"]) {
    results.push(yield* Activity.make({
      name: ownNames ? `charge ${item}` : "charge",
      success: Schema.String,
      execute: Effect.sync(() => (charged.push(item), item)),
    }));
  }
  return results;
})).pipe(Layer.provideMerge(WorkflowEngine.layerMemory));
const run = (id, ownNames) => Effect.runPromise(Charges.execute({ id, ownNames }).pipe(Effect.provide(layer), Effect.scoped));

const one = await run("one", false);
const ranForOne = charged.splice(0).join("+");
const own = await run("own", true);
console.log(`saw: one name: ran ${ranForOne}, results ${one.join("+")}; own names: ran ${charged.join("+")}, results ${own.join("+")}`);
process.exit(ranForOne === "x" && one.join() === "x,x,x" && charged.join() === "x,y,z" && own.join() === "x,y,z" ? 0 : 1);
EOF
echo "versions: node $(node --version), @effect/workflow@0.19.1, effect@3.22.1"
node probe.mjs &
echo $! >>pids
if wait $!; then echo unchanged; else echo CHANGED; exit 1; fi
