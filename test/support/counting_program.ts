/** A program for `explore` on threads: a counter in the memory of its process, which a kill sets back. */
import { command } from "../../mod.ts";
import type { ExploreOptions } from "../../src/testing/mod.ts";

const Count = command<void, number>("Count");

export default {
  nodes: 1,
  handlers: () => {
    let count = 0;
    return Count.handle(() => ++count);
  },
  workload: async ({ app }) => {
    for (let i = 0; i < 4; i++) await app.send(Count);
  },
  check: ({ history }) => {
    const counts = history.operations.flatMap(({ outcome }) => outcome?.type === "ok" ? [outcome.value as number] : []);
    if (counts.some((count, i) => i > 0 && count <= counts[i - 1])) throw new Error(`counted ${counts.join(", ")}`);
  },
} satisfies ExploreOptions;
