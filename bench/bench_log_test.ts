import { describeTrials, WITH_POSTGRES } from "./trial_suite.ts";

await describeTrials("bench of the log", [
  // bench_trees_test.ts runs it in Deno
  {
    what: "what catga check reads",
    section: "check",
    tables: ["check", "check-runs", "check-memory"],
    only: "bun",
  },
  {
    what: "the log: publishing, handling, catching up, read models",
    section: "log",
    tables: [
      "log-publish",
      "log-publish-ids",
      "log-publish-alone",
      "log-handled",
      "log-latency",
      "log-batches",
      ...WITH_POSTGRES ? ["log-postgres"] : [],
      "log-behind",
      "log-behind-memory",
      "log-model",
      "log-takeover",
      "log-cut",
      "log-cut-twice",
    ],
    only: "deno",
  },
]);
