/** A program for `explore` on threads that breaks no promise. */
import { command } from "../../mod.ts";
import type { ExploreOptions } from "../../src/testing/mod.ts";

const Add = command<number, number>("Add");

export default {
  handlers: Add.handle((n) => n + 1),
  workload: async ({ app }) => void await app.send(Add, 1),
} satisfies ExploreOptions;
