import { describeTrials } from "./trial_suite.ts";

await describeTrials("bench of entities and workflows", [
  {
    what: "entities: commands and loading",
    section: "entities",
    tables: [
      "entities",
      "entities-processor",
      "entities-steady",
      "entities-alone",
      "entities-together",
      "entities-load",
    ],
    only: "deno",
  },
  {
    what: "workflows: runs, resuming and waking",
    section: "workflows",
    tables: ["workflows", "workflows-latency", "workflows-processor", "workflows-resume", "workflows-wake"],
    only: "deno",
  },
  { what: "many runs that sleep", section: "workflows-growth", tables: ["workflows-growth-memory"], only: "bun" },
  {
    what: "runs that answer, show where they are and begin anew",
    section: "answers",
    tables: ["answers-one", "answers-many", "answers-view", "answers-again", "answers-watch"],
    only: "deno",
  },
  {
    what: "a file beside memory and by hand",
    section: "file",
    tables: [
      "file-workflows",
      "file-events",
      "file-entities",
      "file-disk",
      "file-start",
      "file-idle",
      "file-idle-writes",
    ],
    only: "bun",
  },
]);
