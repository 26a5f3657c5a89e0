/** `explore`: a program under every fault, by seeds. */
import { seededRandom } from "../memory/network.ts";
import type { Random } from "../ports/clock.ts";
import { checkExplore, type ExploreFault, type ExploreOptions, faultsOf, groupsOf } from "./explore_options.ts";
import { OF_NODES, parsePlan, type Plan, type PlannedDeploy, type PlannedFault, planText } from "./explore_plan.ts";
import { type ExploredRun, exploreRun } from "./explored_run.ts";
import type { History } from "./history.ts";

/** Result of {@link explore}, if no seed was red. */
export interface Explored {
  /** Number of seeds that were run. */
  readonly seeds: number;
}

/** A red seed: `explore` rejects with it. */
export class ExploreError extends Error {
  /** Tells it from other errors. */
  override readonly name = "ExploreError";
  /** The seed. */
  readonly seed: number;
  /** Text for the option `replay`, which runs the smallest red run again. */
  readonly replay: string;
  /** History of that run. */
  readonly history: History;
  /** What the check threw, or why the run did not end. */
  override readonly cause: Error;

  /**
   * Creates the error of a red run.
   *
   * @internal
   */
  constructor({ plan, history, failure }: ExploredRun) {
    const replay = planText(plan);
    super(
      `seed ${plan.seed} is red: ${failure!.message}\nexplore({ replay: ${JSON.stringify(replay)}, … }) runs it again`,
    );
    this.seed = plan.seed;
    this.replay = replay;
    this.history = history;
    this.cause = failure!;
  }
}

/**
 * Runs a workload under faults, once for each seed: nodes are killed, frozen and cut off, answers are lost, programs
 * are deployed and taken back, in virtual time. Rejects with an {@link ExploreError} for the first seed whose run
 * breaks a promise: a check throws, the workload throws, or what it caused is not handled.
 *
 * @example
 * ```ts
 * import { command } from "@catga/catga";
 * import { explore } from "@catga/catga/testing";
 *
 * const Add = command<number, number>("Add");
 * const { seeds } = await explore({
 *   seeds: 5,
 *   handlers: Add.handle((n) => n + 1),
 *   workload: async ({ app }) => void await app.send(Add, 1),
 *   check: ({ history }) => {
 *     for (const { outcome } of history.operations) {
 *       if (outcome?.type === "ok" && outcome.value !== 2) throw new Error(`1 + 1 is ${outcome.value}`);
 *     }
 *   },
 * });
 * console.log(seeds); // 5
 * ```
 */
export async function explore<World = undefined>(options: ExploreOptions<World>): Promise<Explored> {
  checkExplore(options);
  const { seeds = SEEDS, seed: first = 1, replay } = options;
  if (replay !== undefined) {
    const run = await exploreRun(options, parsePlan(replay));
    if (run.failure !== undefined) throw new ExploreError(run);
    return { seeds: 1 };
  }
  let horizon = FIRST_HORIZON;
  for (let seed = first; seed < first + seeds; seed++) {
    const run = await exploreRun(options, drawPlan(options, seed, horizon));
    if (run.failure !== undefined) throw new ExploreError(run);
    horizon = Math.max(run.lasted, 1);
  }
  return { seeds };
}

/** Draws the plan of a seed. `horizon`: how long a workload takes, in ms. */
function drawPlan<World>(options: ExploreOptions<World>, seed: number, horizon: number): Plan {
  const random = seededRandom(seed ^ PLAN_SEED);
  const faults = faultsOf(options.faults);
  const nodes = groupsOf(options);
  const servers = nodes.filter(({ isClient }) => !isClient).flatMap(({ ids }) => ids);
  const all = nodes.flatMap(({ ids }) => ids);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)];
  const count = faults.length === 0 ? 0 : Math.floor(random() * (MOST_FAULTS + 1));
  const planned = Array.from({ length: count }, (): PlannedFault => {
    const fault = pick(faults);
    const node = OF_NODES.has(fault) ? pick(fault === "kill" ? servers : all) : undefined;
    return { fault, node, when: { type: "time", at: Math.floor(random() * horizon) }, ...extentOf(fault, random) };
  });
  const deploys: PlannedDeploy[] = (options.deploys ?? []).flatMap(({ at = "any", forGood = false }, i) => {
    const begin = at === "any" ? Math.floor(random() * horizon) : at;
    const pause = Math.floor(random() ** 2 * 2_000);
    const back = { version: i, at: begin + Math.floor(random() * 10_000), pause };
    return [{ version: i + 1, at: begin, pause }, ...(!forGood && random() < 0.5 ? [back] : [])];
  });
  return { seed, delay: pick(DELAYS), faults: planned, deploys, skips: [] };
}

/** How long a fault lasts, and how strong it is. */
function extentOf(fault: ExploreFault, random: Random): Pick<PlannedFault, "lasts" | "amount"> {
  const [longest, most] = EXTENTS[fault];
  const lasts = Math.ceil(random() ** 2 * longest);
  if (fault === "lostTail") return { lasts, amount: Math.ceil(random() * most) };
  if (fault === "skew") return { lasts, amount: Math.round((random() * 2 - 1) * most) };
  return { lasts, amount: Math.round(random() * most * 100) / 100 };
}

/** The longest duration of a fault in ms, and its greatest amount. */
const EXTENTS: Readonly<Record<ExploreFault, readonly [longest: number, most: number]>> = {
  kill: [5_000, 0],
  freeze: [40_000, 0],
  cut: [10_000, 0],
  skew: [30_000, 5_000],
  drop: [5_000, 0.5],
  lostAck: [3_000, 0.9],
  staleRead: [5_000, 0.9],
  redelivery: [5_000, 0.9],
  noLeader: [4_000, 0],
  noQuorum: [4_000, 0],
  full: [4_000, 0],
  lostTail: [1, 5],
};
const PLAN_SEED = 0x91a7_5eed;
const DELAYS = [0, 2, 20, 100];
const MOST_FAULTS = 4;
const SEEDS = 100;
/** Ms within which faults begin, before a run has shown how long the workload takes. */
const FIRST_HORIZON = 1_000;
