/**
 * Catga for the playground: `explore`, and the parts that every network in memory has, as static imports, so that they
 * become one file. What only some programs need stays behind `import()`: entities, workflows, streams. What no program
 * in a browser needs (NATS, files, signals, codecs) is left out by `tools/playground.ts`.
 *
 * @module
 */
import "../../../src/cluster/cluster.ts";
import "../../../src/log/log.ts";
import "../../../src/log/running/worker.ts";
import "../../../src/memory/event_log.ts";
import "../../../src/node/send_behaviors.ts";
import "../../../src/state/open_state.ts";

export * from "../../../mod.ts";
export { explore } from "../../../src/testing/explore.ts";
export { ExploreError } from "../../../src/testing/explore_error.ts";
export { BrokenPromise, mayHaveHappened } from "../../../src/testing/history.ts";
