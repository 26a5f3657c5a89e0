/**
 * The plan of one run: everything that `explore` chooses, except the order of events, which the network's seed
 * determines. A plan can be written as text and run again, and is shrunk by leaving out and shortening its parts.
 */
import type { Random } from "../ports/clock.ts";
import { EXPLORE_FAULTS, type ExploreFault } from "./explore_options.ts";

/** The moment at which a fault or a deploy begins. */
export type FaultMoment =
  /** The fault begins at this time, in ms since the workload began. */
  | { readonly type: "time"; readonly at: number }
  /**
   * The fault begins `after` ms after a moment, such as `attempt begins command Charge`, has happened for the
   * `count`th time.
   */
  | { readonly type: "moment"; readonly moment: string; readonly count: number; readonly after: number };

/** A fault in a plan of `explore`: what happens, when, and to which node. */
export interface PlannedFault {
  readonly fault: ExploreFault;
  /**
   * Id of the node that the fault affects; `here`: the node at which the moment of `when` happens; `undefined`: the
   * fault affects no single node.
   */
  readonly node: string | undefined;
  readonly when: FaultMoment;
  /** Duration of the fault, in ms: for example until a killed node starts again, or a frozen node resumes. */
  readonly lasts: number;
  /**
   * Strength of the fault: the chance of a random fault, the ms of a skew, or the number of messages of a lost tail.
   */
  readonly amount: number;
}

/** A deploy in a plan: the rollout of another version of the program. */
export interface PlannedDeploy {
  /** Number of the version: 0 is the version of `handlers`, 1 the first deploy. */
  readonly version: number;
  readonly when: FaultMoment;
  /** True: the deploy begins with the node at which the moment happens; false: with a random node. */
  readonly isHere: boolean;
  /** Pause between the deploys to two nodes, in ms. */
  readonly pause: number;
}

/** The plan of a run of `explore`: its faults, deploys and left out steps. */
export interface Plan {
  readonly seed: number;
  /** Longest additional delay of a message, in ms. */
  readonly delay: number;
  readonly faults: readonly PlannedFault[];
  readonly deploys: readonly PlannedDeploy[];
  /** Numbers of the steps of the workload that are left out, in the order of their calls. */
  readonly skips: readonly number[];
}

/** Kinds of faults that affect one node. */
export const OF_NODES: ReadonlySet<ExploreFault> = new Set(["kill", "freeze", "block", "cut", "skew"]);
/** Kinds of faults during which the process of a node stands still. */
export const STANDS: ReadonlySet<string> = new Set<ExploreFault>(["freeze", "block"]);

/** Draws the duration and the strength of a fault of this kind. */
export function extentOf(fault: ExploreFault, random: Random): Pick<PlannedFault, "lasts" | "amount"> {
  const [longest, most] = EXTENTS[fault];
  const lasts = Math.ceil(random() ** 2 * longest);
  if (fault === "lostTail") return { lasts, amount: Math.ceil(random() * most) };
  if (fault === "skew") return { lasts, amount: Math.round((random() * 2 - 1) * most) };
  return { lasts, amount: Math.round(random() * most * 100) / 100 };
}

/** Maximum duration of each kind of fault, in ms, and its maximum strength. */
const EXTENTS: Readonly<Record<ExploreFault, readonly [longest: number, most: number]>> = {
  kill: [5_000, 0],
  freeze: [40_000, 0],
  block: [60_000, 0],
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
/** Returns the text of a plan, for the option `replay`. */
export function planText({ seed, delay, faults, deploys, skips }: Plan): string {
  const parts = [`seed ${seed}`];
  if (delay > 0) parts.push(`delay ${delay}`);
  for (const { version, when, isHere, pause } of deploys) {
    parts.push(`deploy ${version}${isHere ? " here" : ""} ${whenText(when)} pause ${pause}`);
  }
  for (const { fault, node, when, lasts, amount } of faults) {
    const victim = node === undefined ? "" : ` ${node}`;
    parts.push(`${fault}${victim} ${whenText(when)} for ${lasts}${amount === 0 ? "" : ` amount ${amount}`}`);
  }
  if (skips.length > 0) parts.push(`skip ${skips.join(" ")}`);
  return parts.join("; ");
}

function whenText(when: FaultMoment): string {
  if (when.type === "time") return `at ${when.at}`;
  // the moment may contain any text, such as the name of a step: a semicolon would end the part of the plan
  const moment = when.moment.replaceAll("%", "%25").replaceAll(";", "%3B");
  return `on ${when.count} ${moment} after ${when.after}`;
}

/** Parses the text of a plan. Throws a `TypeError` if it is invalid. */
export function parsePlan(text: string): Plan {
  const plan = {
    seed: NaN,
    delay: 0,
    faults: [] as PlannedFault[],
    deploys: [] as PlannedDeploy[],
    skips: [] as number[],
  };
  for (const part of text.split(";").map((part) => part.trim()).filter((part) => part !== "")) {
    const [word] = part.split(" ");
    const number = (pattern: RegExp) => Number(pattern.exec(part)?.[1] ?? NaN);
    if (word === "seed") plan.seed = number(/^seed (\d+)$/);
    else if (word === "delay") plan.delay = number(/^delay ([\d.]+)$/);
    else if (word === "skip") plan.skips.push(...part.split(" ").slice(1).map(Number));
    else if (word === "deploy") {
      const deploy = DEPLOY.exec(part)?.groups;
      if (deploy === undefined) throw unreadable(part);
      const { version, here, pause } = deploy;
      const isHere = here !== undefined;
      plan.deploys.push({ version: Number(version), when: readWhen(deploy), isHere, pause: Number(pause) });
    } else {
      const fault = FAULT.exec(part)?.groups;
      if (fault === undefined || !EXPLORE_FAULTS.includes(fault.fault as ExploreFault)) throw unreadable(part);
      plan.faults.push({
        fault: fault.fault as ExploreFault,
        ...{ node: fault.node, when: readWhen(fault), lasts: Number(fault.lasts), amount: Number(fault.amount ?? 0) },
      });
    }
  }
  const numbers = [plan.seed, plan.delay, ...plan.skips];
  if (!Number.isSafeInteger(plan.seed) || !numbers.every((number) => number >= 0)) throw unreadable(text);
  return plan;
}

function readWhen({ at, moment, count, after }: Readonly<Record<string, string>>): FaultMoment {
  if (at !== undefined) return { type: "time", at: Number(at) };
  const named = moment.replaceAll("%3B", ";").replaceAll("%25", "%");
  return { type: "moment", moment: named, count: Number(count), after: Number(after) };
}

const NUMBER = "\\d+(?:\\.\\d+)?(?:e-?\\d+)?";
const WHEN = `(?:at (?<at>${NUMBER})|on (?<count>\\d+) (?<moment>.+) after (?<after>${NUMBER}))`;
const FAULT = new RegExp(
  `^(?<fault>\\w+)(?: (?!at |on )(?<node>\\S+))? ${WHEN} for (?<lasts>${NUMBER})(?: amount (?<amount>-?${NUMBER}))?$`,
  "s",
);
const DEPLOY = new RegExp(`^deploy (?<version>\\d+)(?: (?<here>here))? ${WHEN} pause (?<pause>${NUMBER})$`, "s");

function unreadable(text: string): TypeError {
  return new TypeError(
    `explore: replay is the text that a red seed shows, like "seed 7; kill app-1 at 20 for 500"; ` +
      `cannot read ${JSON.stringify(text)}`,
  );
}
