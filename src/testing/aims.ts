/**
 * The moments at which the faults of seeds begin: those of a few scout runs, which depend on the program alone. Each
 * seed has its own moments by its number. So a seed is the same run in a row of seeds and alone, and a row of seeds
 * aims at all moments in turn.
 */
import { seededRandom } from "../memory/seeded_random.ts";
import type { Random } from "../ports/clock.ts";
import type { ExploreFault, Named } from "./explore_options.ts";
import { extentOf, type FaultMoment, OF_NODES, type PlannedDeploy, type PlannedFault } from "./explore_plan.ts";
import { momentText, type RunObserver } from "./explored_run.ts";
import { type AimedFault, situationsAt } from "./situations.ts";

/** Collects the moments of scout runs, and how often each comes in one run. */
export class ScoutedMoments implements RunObserver {
  /** Maximum number of times that a moment has happened in one run, by moment. */
  readonly all = new Map<string, number>();
  #ofRun = new Map<string, number>();

  /** Counts moments from 0 again. Called when a run begins. */
  begin(): void {
    this.#ofRun = new Map();
  }

  moment(moment: Parameters<RunObserver["moment"]>[0]): void {
    const text = momentText(moment);
    const count = (this.#ofRun.get(text) ?? 0) + 1;
    this.#ofRun.set(text, count);
    if (count > (this.all.get(text) ?? 0)) this.all.set(text, count);
  }

  fault(): void {}

  /** Returns the moments at which faults may begin: all, or those of these contracts and workflows. */
  of(steer: boolean | readonly Named[] | undefined): ReadonlyMap<string, number> {
    if (!Array.isArray(steer)) return this.all;
    const names = new Set(steer.map(({ name }: Named) => name));
    const isOf = (moment: string) => {
      const about = moment.slice(moment.lastIndexOf(" ") + 1);
      return names.has(about) || (moment.startsWith("step ") && names.has(about.split(".", 1)[0]));
    };
    const found = new Map([...this.all].filter(([moment]) => isOf(moment)));
    if (found.size > 0) return found;
    throw new TypeError(
      `explore: no scout run has a moment of ${[...names].join(", ")}: the workload must lead to one of them; ` +
        `there are ${[...this.all.keys()].slice(0, MAX_NAMED).join(", ") || "none at all"}`,
    );
  }
}

/** The faults and deploys at moments among which seeds choose. */
export class Aims {
  readonly #moments: ReadonlyMap<string, number>;
  readonly #faults: AimsOf<ExploreFault>;
  readonly #deploys: AimsOf<"deploy">;

  /** `moments`: the maximum number of times that each happens in a run; `faults`: those that seeds may have. */
  constructor(moments: ReadonlyMap<string, number>, faults: readonly ExploreFault[]) {
    this.#moments = moments;
    this.#faults = aimsOf(moments, faults);
    this.#deploys = aimsOf(moments, ["deploy"]);
  }

  /**
   * Draws fault number `n` of a seed (from 0) and the moment at which it begins. Returns `undefined` if no moment is
   * known.
   */
  fault(
    seed: number,
    n: number,
    { servers, all }: { readonly servers: readonly string[]; readonly all: readonly string[] },
    random: Random,
  ): PlannedFault | undefined {
    const aim = choose(this.#faults, seed, n, random);
    if (aim === undefined) return undefined;
    const { fault, isHere } = aim;
    const when = this.#momentOf(aim, random);
    const others = fault === "kill" ? servers : all; // clients are left out, because they are not killed
    const node = !OF_NODES.has(fault) ? undefined : isHere ? "here" : others[Math.floor(random() * others.length)];
    return { fault, node, when, ...extentOf(fault, random) };
  }

  /** Draws the moment at which deploy number `n` of a seed begins, as {@link Aims.fault} draws that of a fault. */
  deploy(seed: number, n: number, random: Random): Pick<PlannedDeploy, "when" | "isHere"> | undefined {
    const aim = choose(this.#deploys, seed, n, random);
    return aim && { when: this.#momentOf(aim, random), isHere: aim.isHere };
  }

  #momentOf({ moment }: Aim<AimedFault>, random: Random): FaultMoment {
    // in half of the cases the first time of the moment, which is the likeliest to come in this run, too
    const count = random() < 0.5 ? 1 : 1 + Math.floor(random() * this.#moments.get(moment)!);
    const after = random() < 0.7 ? 0 : Math.floor(random() ** 2 * 50);
    return { type: "moment", moment, count, after };
  }
}

/** A fault at a moment: at the node of the moment, or at another node. */
interface Aim<Fault> {
  readonly moment: string;
  readonly fault: Fault;
  readonly isHere: boolean;
}

/** Aims in a fixed random order: those that lead to a situation which the report names, and all of them. */
interface AimsOf<Fault> {
  readonly named: readonly Aim<Fault>[];
  readonly all: readonly Aim<Fault>[];
}

function aimsOf<Fault extends AimedFault>(
  moments: ReadonlyMap<string, number>,
  faults: readonly Fault[],
): AimsOf<Fault> {
  const all = [...moments.keys()].flatMap((moment) =>
    faults.flatMap((fault) => [true, false].map((isHere) => ({ moment, fault, isHere })))
  );
  const random = seededRandom(ORDER_SEED);
  for (let i = all.length - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    [all[i], all[j]] = [all[j], all[i]];
  }
  return { named: all.filter(({ moment, fault, isHere }) => situationsAt(moment, fault, isHere).length > 0), all };
}

/** Chooses aim number `n` of a seed: seeds that follow each other take the aims in turn. */
function choose<Fault>({ named, all }: AimsOf<Fault>, seed: number, n: number, random: Random): Aim<Fault> | undefined {
  const from = named.length > 0 && random() < NAMED ? named : all;
  return from[(seed + n * STRIDE) % from.length];
}

/** Maximum number of moments that an error names. */
const MAX_NAMED = 10;
const ORDER_SEED = 0x0a1_15;
/** Share of the aims that lead to a situation which the report names. */
const NAMED = 0.9;
/** Distance between two aims of one seed in the order of all: a prime, so that neighbours do not have them, too. */
const STRIDE = 7_919;
