/** `explore` over workflows that are cancelled, told and skipped. */
import { assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { explore } from "@catga/catga/testing";
import { exploredByThisRuntime } from "../support/of_this_runtime.ts";
import { EXPLORED_WORKFLOWS } from "./explored_workflows.ts";

const PLAYED = exploredByThisRuntime(2);

describe("explore over workflows", () => {
  for (const [name, program] of Object.entries(EXPLORED_WORKFLOWS)) {
    it(`${name}: ${PLAYED.seeds} seeds from ${PLAYED.seed} break no promise`, { timeout: 600_000 }, async () => {
      assertEquals((await explore({ ...program, ...PLAYED })).seeds, PLAYED.seeds);
    });
  }
});
