/**
 * Rules for `deno lint` about Catga: contracts, handlers, results and locks.
 *
 * ```json
 * { "lint": { "plugins": ["jsr:@catga/catga/lint"] } }
 * ```
 *
 * The rules check files that import something from `@catga/catga`, by syntax alone, and report only faults that the
 * syntax proves. `deno lint --fix` applies the fixes that are safe; `// deno-lint-ignore catga/no-floating` silences
 * the next line. `docs/lint.md` of the repository has each rule with a good and a bad example. Needs Deno 2.2.15 or
 * newer.
 *
 * @module
 */
import { contractName } from "./contract_name.ts";
import { handlerRegistered } from "./handler_registered.ts";
import { idempotentId } from "./idempotent_id.ts";
import { lockUsing } from "./lock_using.ts";
import { noBlockingHandler } from "./no_blocking_handler.ts";
import { noBusyLoop } from "./no_busy_loop.ts";
import { noFloating } from "./no_floating.ts";
import { noIgnoredResult } from "./no_ignored_result.ts";
import { noTopLevelUsing } from "./no_top_level_using.ts";
import { noWaitRace } from "./no_wait_race.ts";
import { preferContext } from "./prefer_context.ts";

/**
 * The plugin, for `lint.plugins` of a `deno.json`.
 *
 * @example
 * ```ts
 * import plugin from "@catga/catga/lint";
 *
 * const source = `
 *   import { command } from "@catga/catga";
 *   export const CreateOrder = command("DeleteOrder");
 * `;
 * const [finding] = Deno.lint.runPlugin(plugin, "orders.ts", source); // in tests of rules; else: deno lint
 * console.log(finding.id); // catga/contract-name
 * ```
 * @decides the rules and their names
 */
const plugin: Deno.lint.Plugin = {
  name: "catga",
  rules: {
    "contract-name": contractName,
    "handler-registered": handlerRegistered,
    "idempotent-id": idempotentId,
    "lock-using": lockUsing,
    "no-blocking-handler": noBlockingHandler,
    "no-busy-loop": noBusyLoop,
    "no-floating": noFloating,
    "no-ignored-result": noIgnoredResult,
    "no-top-level-using": noTopLevelUsing,
    "no-wait-race": noWaitRace,
    "prefer-context": preferContext,
  },
};

export default plugin;
