/**
 * A process that drives runs of a workflow with one step, in this tree or an earlier one.
 *
 *   … test/processes/lease_node.ts <nats url> <namespace> <id> <starts: ids of runs, with commas; or "none">
 *
 * If it starts runs, their step never ends in it, so that it gets a lease for them; else the step ends at once.
 *
 * @module
 */
import process from "node:process";
import { catga, unwrap, type Workflow, workflow } from "@catga/catga";

/** The workflow: its result is the node in which the step ended. */
export const Long: Workflow<void, string> = workflow("Long");

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [nats, namespace, id, starts] = process.argv.slice(2);
  const app = await catga({
    nats,
    namespace,
    id,
    service: "app",
    handlers: Long.handle((flow) =>
      flow.step("work", () => starts === "none" ? id : new Promise<string>(() => {}), { timeout: 600_000 })
    ),
    logger: { debug() {}, info() {}, warn() {}, error() {} },
  });
  for (const run of starts === "none" ? [] : starts.split(",")) unwrap(await app.start(Long, undefined, { id: run }));
  console.log(JSON.stringify({ event: "ready" }));
}
