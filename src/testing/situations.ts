/** The situations that seeds have met: an operation, its phase, and the fault that began during it. */
import { OF_NODES } from "./explore_plan.ts";
import type { ExploreFault } from "./explore_options.ts";
import type { RunObserver } from "./explored_run.ts";
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

/** Counts the situations that the runs of all seeds have met. */
export class Situations implements RunObserver {
  readonly #met = new Map<string, number>();

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

  moment(): void {}

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
}

/** A fault, or a deploy, that begins at a moment of a run. */
export type AimedFault = ExploreFault | "deploy";

/**
 * Returns the situations that a fault at this moment mostly leads to.
 * @decides situations that seeds should meet
 */
export function situationsAt(moment: string, fault: AimedFault, isHere: boolean): string[] {
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
