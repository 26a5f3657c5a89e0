/**
 * `deno task test:official`: the tests of `src/nats` over `@nats-io/transport-deno` in place of Catga's own client in
 * Deno. It needs a JSR registry, as `check.ts` does.
 *
 * @module
 */
import process from "node:process";
import { fileURLToPath } from "node:url";
import { Processes } from "./processes.ts";
import { testOfficial } from "./published.ts";
import { registryAt } from "./registry.ts";
import { printSummary } from "./test_run.ts";

const root = fileURLToPath(new URL("..", import.meta.url));
process.chdir(root);
const registry = registryAt(root);
if (!registry.exists) throw new Error(`there is no registry at ${registry.path} (CATGA_REGISTRY names one)`);
using processes = new Processes();
const { failed } = printSummary([await testOfficial(processes, root, registry.path)]);
process.exit(failed > 0 ? 1 : 0);
