/** `explore`: runs a program under random faults, once for each seed. */
import { seededRandom } from "../memory/seeded_random.ts";
import { systemClock } from "../ports/clock.ts";
import { Aims, ScoutedMoments } from "./aims.ts";
import { checkExplore, type ExploreOptions, faultsOf, groupsOf, type Named } from "./explore_options.ts";
import {
  extentOf,
  type FaultMoment,
  OF_NODES,
  parsePlan,
  type Plan,
  type PlannedDeploy,
  type PlannedFault,
} from "./explore_plan.ts";
import { type ExploredRun, exploreRun } from "./explored_run.ts";
import type { RealPatience } from "./explored_time.ts";
import { ExploreError } from "./explore_error.ts";
import { checkRepeatable } from "./repeatable.ts";
import { shrink } from "./shrink.ts";
import { type Situation, Situations, situationTable } from "./situations.ts";

/** Result of {@link explore} if no seed has broken a promise. */
export interface Explored {
  /** Number of seeds that were run. */
  readonly seeds: number;
  /**
   * The situations that the seeds have met: an operation, its phase, the fault that began in this phase, and how often.
   */
  readonly situations: readonly Situation[];
  /** The situations as a table, for printing. */
  readonly report: string;
}

/**
 * Runs a workload under faults, once for each seed: nodes are killed, frozen and cut off, answers are lost, other
 * versions of the program are deployed and rolled back, in virtual time. Rejects with an {@link ExploreError} for the
 * first seed whose run breaks a promise: a check throws, the workload throws, or messages that the workload caused are
 * not handled, or its workflow runs not ended, within `limit`. The error's message is a timeline of the smallest such
 * run that was found. Rejects with a `TypeError` if the options are invalid, or if two runs of the first seed differ;
 * with an `Error` if a seed breaks a promise on a thread of `workers` and not on the calling one, or if a thread ends.
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
  const { seeds = SEEDS, seed: first = 1, replay, repeatable = true, workers = 1 } = options;
  if (first > Number.MAX_SAFE_INTEGER - (seeds - 1)) {
    throw new RangeError(`explore: the last seed must be a safe integer; got seed ${first} and ${seeds} seeds`);
  }
  const patience: RealPatience = { left: 0, isInVain: true };
  if (replay !== undefined) {
    const run = await exploreRun(options, parsePlan(replay), { patience });
    if (run.failure !== undefined) throw new ExploreError(run, 1);
    return { seeds: 1, situations: [], report: "" };
  }
  if (workers > 1) return await byThreads(options, { seeds, first, workers });
  const situations = new Situations();
  const { horizon, aims } = await scout(options, patience);
  for (let seed = first; seed < first + seeds; seed++) {
    const plan = drawPlan(options, seed, horizon, aims);
    const run = await exploreRun(options, plan, { observer: situations, patience });
    if (seed === first && repeatable) await checkRepeatable(options, run, patience);
    if (run.failure !== undefined) throw await smallest(options, run, patience);
  }
  return explored(seeds, situations.all);
}

/**
 * Runs the workload without faults, for how long it takes, and with faults at random times, for the moments at which
 * faults of seeds begin: some moments come only after a fault. What these runs break, seeds break, too. They depend on
 * nothing but the program, so that each seed is the same run whatever seeds come before it.
 */
async function scout<World>(
  options: ExploreOptions<World>,
  patience: RealPatience,
): Promise<{ readonly horizon: number; readonly aims: Aims | undefined }> {
  const moments = new ScoutedMoments();
  const plain: Plan = { seed: 0, delay: DELAYS[1], faults: [], deploys: [], skips: [] };
  const first = await exploreRun(options, plain, { observer: moments, patience });
  const horizon = Math.max(first.lasted, 1);
  const faults = faultsOf(options.faults, options.file);
  if (options.steer === false) return { horizon, aims: undefined };
  for (let seed = 1; seed <= SCOUTS; seed++) {
    moments.begin();
    const plan = drawPlan(options, SCOUT_SEED + seed, horizon, undefined);
    await exploreRun(options, plan, { observer: moments, patience });
  }
  return { horizon, aims: new Aims(moments.of(options.steer), faults) };
}

/** Runs the seeds on several threads. A seed that breaks a promise runs once more on this thread. */
async function byThreads<World>(
  options: ExploreOptions<World>,
  { seeds, first, workers }: { readonly seeds: number; readonly first: number; readonly workers: number },
): Promise<Explored> {
  const { program, steer, shrink, repeatable } = options;
  const each = Math.ceil(seeds / workers);
  const tasks = Array.from({ length: Math.ceil(seeds / each) }, (_, i) => {
    const own = { seed: first + i * each, seeds: Math.min(each, seeds - i * each) };
    // threads get names alone: a contract has functions, which cannot be sent to them
    const aim = Array.isArray(steer) ? steer.map(({ name }: Named) => ({ name })) : steer;
    return { program: program!.href, options: { ...own, steer: aim, shrink, repeatable } };
  });
  // loaded when it is needed: a browser has no threads of this kind
  const { runThreads } = await import("./explore_threads.ts");
  const all = new Map<string, Situation>();
  for (const answer of await runThreads(tasks)) {
    if ("replay" in answer) {
      const { seed, replay, why } = answer;
      await explore({ ...options, workers: 1, replay });
      throw new Error(
        `explore: seed ${seed} is red on its thread, and not when it runs again here: ${program!.href} has other ` +
          `options, or its runs depend on the thread; replay: ${JSON.stringify(replay)}; ${why}`,
      );
    }
    if (!("situations" in answer)) continue;
    for (const { count, ...situation } of answer.situations) {
      const key = JSON.stringify(situation);
      all.set(key, { ...situation, count: count + (all.get(key)?.count ?? 0) });
    }
  }
  return explored(seeds, [...all.values()]);
}

function explored(seeds: number, situations: readonly Situation[]): Explored {
  const report = `${seeds} seeds met ${situations.length} situations\n${situationTable(situations)}`;
  return { seeds, situations, report };
}

async function smallest<World>(
  options: ExploreOptions<World>,
  red: ExploredRun,
  patience: RealPatience,
): Promise<ExploreError> {
  const { shrink: limit = SHRINK } = options;
  const end = systemClock.monotonic() + limit;
  let runs = 1;
  const play = (plan: Plan) => {
    runs++;
    return exploreRun(options, plan, { patience });
  };
  const run = await shrink(red, play, () => systemClock.monotonic() < end);
  return new ExploreError(run, runs);
}

/**
 * Draws the plan of a seed: its faults, deploys and delays. `horizon`: duration of the workload, in ms; `aims`: the
 * moments at which most faults begin; `undefined`: all begin at random times.
 */
function drawPlan<World>(
  options: ExploreOptions<World>,
  seed: number,
  horizon: number,
  aims: Aims | undefined,
): Plan {
  const random = seededRandom(seed ^ PLAN_SEED);
  const faults = faultsOf(options.faults, options.file);
  const nodes = groupsOf(options);
  const servers = nodes.filter(({ isClient }) => !isClient).flatMap(({ ids }) => ids);
  const all = nodes.flatMap(({ ids }) => ids);
  const pick = <T>(values: readonly T[]): T => values[Math.floor(random() * values.length)];
  const count = faults.length === 0 ? 0 : Math.floor(random() ** 0.7 * (MAX_FAULTS + 1));
  const planned = Array.from({ length: count }, (_, n): PlannedFault => {
    const aimed = aims !== undefined && random() < 0.8 ? aims.fault(seed, n, { servers, all }, random) : undefined;
    if (aimed !== undefined) return aimed;
    const fault = pick(faults);
    const node = OF_NODES.has(fault) ? pick(fault === "kill" ? servers : all) : undefined;
    return { fault, node, when: { type: "time", at: Math.floor(random() * horizon) }, ...extentOf(fault, random) };
  });
  const deploys: PlannedDeploy[] = (options.deploys ?? []).flatMap(({ at = "any", forGood = false }, i) => {
    const begin = at === "any" ? Math.floor(random() * horizon) : at;
    const pause = Math.floor(random() ** 2 * 2_000);
    const later = Math.floor(random() * 10_000);
    const isTakenBack = !forGood && random() < 0.5;
    const aimed = at === "any" && random() < 0.8 ? aims?.deploy(seed, i, random) : undefined;
    const { when, isHere } = aimed ?? { when: { type: "time", at: begin } as const, isHere: false };
    const deploy = { version: i + 1, when, isHere, pause };
    if (!isTakenBack) return [deploy];
    const again = aimed !== undefined && random() < 0.5 ? aims?.deploy(seed, i + MAX_FAULTS, random) : undefined;
    const afterwards: FaultMoment = when.type === "time"
      ? { type: "time", at: when.at + later }
      : { ...when, after: when.after + later };
    return [deploy, { version: i, when: afterwards, isHere: false, ...again, pause }];
  });
  return { seed, delay: pick(DELAYS), faults: planned, deploys, skips: [] };
}

const PLAN_SEED = 0x91a7_5eed;
const DELAYS = [0, 2, 20, 100];
const MAX_FAULTS = 4;
const SEEDS = 100;
/** Time for finding a smaller run that breaks the same promise, in ms of real time. */
const SHRINK = 60_000;
/** Number of scout runs with faults, and what their seeds begin after: no seed of a user is likely to be one. */
const SCOUTS = 3;
const SCOUT_SEED = 0x5c0_0700;
