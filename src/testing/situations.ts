/**
 * The situations that seeds have met: an operation, its phase, and the fault that began during it. Plans of further
 * seeds are steered towards situations that no seed has met yet.
 */
import type { Random } from "../ports/clock.ts";
import { extentOf, type FaultMoment, OF_NODES, type PlannedDeploy, type PlannedFault } from "./explore_plan.ts";
import type { ExploreFault } from "./explore_options.ts";
import { momentText, type RunObserver } from "./explored_run.ts";
import type { HistoryRecorder } from "./history_recorder.ts";

/** A situation: a fault that began while an operation was in a certain phase. */
export interface Situation {
  /** Kind and name of the contract, or of the workflow's step, such as `command Charge` or `step Order.charge`. */
  readonly operation: string;
  /** Name of the fault. Also `deploy`, and the ends of faults: `thaw` of a freeze, `restore` of a cut. */
  readonly fault: string;
  /**
   * Phase of the operation when the fault began. `sent`: it was called, and no handler had begun. `handled`: its
   * handler ran on another node than the one affected by the fault. `handling`: its handler, or its step, ran on the
   * affected node; `retrying`: likewise, but not for the first time. `answered`: its handler had ended, and its
   * caller had no outcome. `stored`: it was stored, and no handler had begun. `held`: a lock was held. `called`,
   * `begun`, `done`, `returned`: the fault began in the very moment (of virtual time) in which the operation was
   * called, its handler or step began, its handler or step ended, or its caller got an outcome.
   */
  readonly phase:
    | "sent"
    | "handled"
    | "handling"
    | "retrying"
    | "answered"
    | "stored"
    | "held"
    | "called"
    | "begun"
    | "done"
    | "returned";
  /** Number of times that seeds have met the situation. */
  readonly count: number;
}

/** Counts the situations that the runs of all seeds have met, and aims faults at rare ones. */
export class Situations implements RunObserver {
  readonly #met = new Map<string, number>();
  /** Maximum number of times that a moment has happened in one run, by moment. */
  readonly #moments = new Map<string, number>();
  #momentsOfRun = new Map<string, number>();
  /** Number of faults that plans have aimed at a moment, by moment. */
  readonly #aimed = new Map<string, number>();

  /** All situations that any run has met, sorted. */
  get all(): Situation[] {
    return [...this.#met].sort(([a], [b]) => a < b ? -1 : 1).map(([text, count]) => {
      const [operation, fault, phase] = text.split("\t");
      return { operation, fault, phase: phase as Situation["phase"], count };
    });
  }

  /** Number of different situations that were met. */
  get size(): number {
    return this.#met.size;
  }

  moment(moment: Parameters<RunObserver["moment"]>[0]): void {
    const text = momentText(moment);
    const count = (this.#momentsOfRun.get(text) ?? 0) + 1;
    this.#momentsOfRun.set(text, count);
    if (count > (this.#moments.get(text) ?? 0)) this.#moments.set(text, count);
  }

  /** Counts moments from 0 again. Called when the run of a seed begins. */
  begin(): void {
    this.#momentsOfRun = new Map();
  }

  fault(fault: string, node: string | undefined, recorder: HistoryRecorder): void {
    const here = (of: { readonly node: string }) => node === undefined || of.node === node;
    const attempts = new Map(recorder.attempts.map((attempt) => [attempt.operation, attempt]));
    const met = new Set<string>();
    const meet = (operation: string, phase: Situation["phase"]) => met.add(`${operation}\t${fault}\t${phase}`);
    for (const operation of recorder.operations) {
      const { number, kind, method, ended, outcome } = operation;
      if (kind === "lock" || kind === "cache" || kind === "entity") continue;
      const label = `${kind} ${operation.contract}`;
      const attempt = attempts.get(number);
      if (ended === undefined) {
        if (!here(operation)) continue;
        meet(label, attempt === undefined ? "sent" : attempt.ended === undefined ? "handled" : "answered");
      } else if ((method === "publish" || method === "enqueue") && outcome?.type === "ok" && attempt === undefined) {
        meet(label, "stored");
      }
    }
    for (const attempt of recorder.attempts) {
      if (attempt.ended !== undefined || !here(attempt)) continue;
      meet(`${attempt.kind} ${attempt.contract}`, attempt.attempt > 1 ? "retrying" : "handling");
    }
    for (const step of recorder.steps) {
      if (step.ended !== undefined || !here(step)) continue;
      meet(`${step.type} ${step.workflow}.${step.name}`, step.attempt > 1 ? "retrying" : "handling");
    }
    for (const hold of recorder.locks) {
      if (hold.ended === undefined && here(hold)) meet(`lock ${hold.keys[0].replaceAll(/\d+/g, "#")}`, "held");
    }
    for (const { type, at, label, node } of recorder.instant) {
      const isOther = type === "operation" && /^(lock|cache|entity) /.test(label);
      if (!isOther && type !== "lock" && here({ node })) meet(label, MOMENTS[`${type} ${at}`]);
    }
    for (const text of met) this.#met.set(text, (this.#met.get(text) ?? 0) + 1);
  }

  /**
   * Draws a fault and the moment at which it begins. Prefers faults that lead to a situation that no seed has met, then
   * moments at which earlier plans have aimed least often. Returns `undefined` if no moment is known yet.
   */
  aim(
    faults: readonly ExploreFault[],
    { servers, all }: { readonly servers: readonly string[]; readonly all: readonly string[] },
    random: Random,
  ): PlannedFault | undefined {
    const aim = this.#draw(faults, random);
    if (aim === undefined) return undefined;
    const { fault, isHere } = aim;
    const when = this.#momentOf(aim, random);
    const others = fault === "kill" ? servers : all; // clients are left out, because they are not killed
    const node = !OF_NODES.has(fault) ? undefined : isHere ? "here" : others[Math.floor(random() * others.length)];
    return { fault, node, when, ...extentOf(fault, random) };
  }

  /** Draws the moment at which a deploy begins, by the same preferences as {@link Situations.aim}. */
  aimDeploy(random: Random): Pick<PlannedDeploy, "when" | "isHere"> | undefined {
    const aim = this.#draw(["deploy"], random);
    return aim && { when: this.#momentOf(aim, random), isHere: aim.isHere };
  }

  #draw<Fault extends AimedFault>(faults: readonly Fault[], random: Random): Aim<Fault> | undefined {
    let best: Aim<Fault>[] = [];
    let least = Infinity;
    for (const moment of this.#moments.keys()) {
      for (const fault of faults) {
        for (const isHere of [true, false]) {
          const aimed = this.#aimed.get(aimText({ moment, fault, isHere })) ?? 0;
          const isNew = aimed < MAX_TRIES &&
            situationsAt(moment, fault, isHere).some((situation) => !this.#met.has(situation));
          const rank = isNew ? aimed : MAX_TRIES + aimed;
          if (rank > least) continue;
          if (rank < least) best = [];
          least = rank;
          best.push({ moment, fault, isHere });
        }
      }
    }
    if (best.length === 0) return undefined;
    const aim = best[Math.floor(random() * best.length)];
    const text = aimText(aim);
    this.#aimed.set(text, (this.#aimed.get(text) ?? 0) + 1);
    return aim;
  }

  #momentOf({ moment }: Aim<AimedFault>, random: Random): FaultMoment {
    // in half of the cases the first time of the moment, which is the likeliest to come in this run, too
    const count = random() < 0.5 ? 1 : 1 + Math.floor(random() * this.#moments.get(moment)!);
    const after = random() < 0.7 ? 0 : Math.floor(random() ** 2 * 50);
    return { type: "moment", moment, count, after };
  }
}

type AimedFault = ExploreFault | "deploy";

/** A fault at a moment: at the node of the moment, or at another node. */
interface Aim<Fault> {
  readonly moment: string;
  readonly fault: Fault;
  readonly isHere: boolean;
}

function aimText({ moment, fault, isHere }: Aim<AimedFault>): string {
  return `${fault} ${isHere ? "here" : "elsewhere"} ${moment}`;
}

/**
 * Returns the situations that a fault at this moment mostly leads to.
 * @decides situations that seeds should meet
 */
function situationsAt(moment: string, fault: AimedFault, isHere: boolean): string[] {
  const [, what = "", operation = ""] = /^(\w+ \w+) (.*)$/.exec(moment) ?? [];
  if (what.startsWith("operation") && /^(lock|cache|entity) /.test(operation)) return [];
  const isOfNode = fault === "deploy" || OF_NODES.has(fault);
  const phase = isHere ? PHASES[what] : PHASES_ELSEWHERE[what] ?? (isOfNode ? undefined : PHASES[what]);
  const ofNodes = isHere || !isOfNode ? [MOMENTS[what]] : [];
  return [phase, ...ofNodes].flatMap((phase) => phase === undefined ? [] : [`${operation}\t${fault}\t${phase}`]);
}

/** Phase of the operation if a fault begins in the very moment in which something begins or ends. */
const MOMENTS: Readonly<Record<string, Situation["phase"]>> = {
  "operation begins": "called",
  "operation ends": "returned",
  "attempt begins": "begun",
  "attempt ends": "done",
  "retry begins": "begun",
  "retry ends": "done",
  "step begins": "begun",
  "step ends": "done",
};
/**
 * Phase of the operation when a fault begins at a moment, by the name of the moment. `PHASES`: the fault affects the
 * node at which the moment happens; `PHASES_ELSEWHERE`: it affects another node.
 */
const PHASES: Readonly<Record<string, Situation["phase"]>> = {
  "operation begins": "sent",
  "operation ends": "stored",
  "attempt begins": "handling",
  "step begins": "handling",
  "lock begins": "held",
  "retry begins": "retrying",
};
const PHASES_ELSEWHERE: Readonly<Record<string, Situation["phase"]>> = {
  "attempt begins": "handled",
  "attempt ends": "answered",
  "retry begins": "handled",
  "retry ends": "answered",
};
/** Number of faults aimed at a moment after which a situation that no seed has met is taken as impossible. */
const MAX_TRIES = 6;

/** Returns situations as a table for printing: a line for each operation and phase, with the faults that were met. */
export function situationTable(situations: readonly Situation[]): string {
  const rows = Map.groupBy(situations, ({ operation, phase }) => `${operation}\t${phase}`);
  const cells = [...rows].map(([key, met]) => {
    const [operation, phase] = key.split("\t");
    return [operation, phase, met.map(({ fault, count }) => `${fault} ${count}`).join(", ")] as const;
  });
  const width = (i: 0 | 1) => Math.max(0, ...cells.map((row) => row[i].length));
  return cells.map(([operation, phase, faults]) =>
    `${operation.padEnd(width(0))}  ${phase.padEnd(width(1))}  ${faults}`
  )
    .join("\n");
}
