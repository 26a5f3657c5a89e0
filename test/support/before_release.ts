/** How much of a sweep is played: a share with each change, all of it before a release. */
import process from "node:process";

/** The variable that `deno task test:all` sets for the files that `tools/bundles.ts` names as sweeps. */
export const VARIABLE = "CATGA_BEFORE_RELEASE";

/** True before a release. */
export const BEFORE_RELEASE = process.env[VARIABLE] !== undefined;
