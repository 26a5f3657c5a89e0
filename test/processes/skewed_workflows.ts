/**
 * A process that handles workflows, for tests: its wall clock may be wrong. It starts some runs of each, if it is told
 * to, and prints their ids.
 *
 *   … test/processes/skewed_workflows.ts <nats url> '<options as JSON>'
 *
 * @module
 */
import process from "node:process";
import { catga, unwrap, workflow } from "@catga/catga";
import { type Skew, skewClock } from "./skewed_clock.ts";

/** Longer than a run stays on its node while it only waits, in ms. */
const LONG = 6_000;

/** Waits for a signal that never comes. */
export const Stay = workflow<void, string>("Stay", { timeout: LONG });
/** Sleeps, and may take an hour. */
export const Nap = workflow<void, string>("Nap", { timeout: 3_600_000 });
/** Waits for a signal for so long. */
export const Ask = workflow<void, string>("Ask");

/** The options of such a process. */
export interface SkewedWorkflowsOptions {
  readonly skew?: Skew;
  /** How many runs of each workflow it starts; 0. */
  readonly start?: number;
}

/** What such a process prints: the runs that it has started. */
export interface SkewedWorkflowsLine {
  readonly event: "ready";
  readonly runs: readonly string[];
}

if (import.meta.main) await main();

async function main(): Promise<void> {
  const [url, text] = process.argv.slice(2);
  const { skew = {}, start = 0 } = JSON.parse(text) as SkewedWorkflowsOptions;
  skewClock(skew);
  const go = Stay.signal<string>("go");
  const answer = Ask.signal<string>("answer");
  const app = await catga({
    nats: url,
    handlers: [
      Stay.handle((flow) => flow.wait(go)),
      Nap.handle(async (flow) => {
        await flow.sleep("nap", LONG);
        return "rested";
      }),
      Ask.handle(async (flow) => await flow.wait(answer, { timeout: LONG }) ?? "no answer"),
    ],
  });
  const runs: string[] = [];
  for (let n = 0; n < start; n++) {
    for (const each of [Stay, Nap, Ask]) runs.push(unwrap(await app.start(each)));
  }
  const line: SkewedWorkflowsLine = { event: "ready", runs };
  console.log(JSON.stringify(line));
}
