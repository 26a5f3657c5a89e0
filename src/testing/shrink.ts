/** Shrinks the plan of a failing run: looks for a smaller plan whose run fails in the same way. */
import type { Plan } from "./explore_plan.ts";
import type { ExploredRun } from "./explored_run.ts";
import { BrokenPromise } from "./history.ts";

/**
 * Returns the smallest failing run that is found in time. `play` runs a plan; `isTime` returns false when the time is
 * over. Faults, deploys and steps of the workload are left out, at first many at once, at last one by one; the
 * remaining faults and deploys are shortened. This is repeated until the plan gets no smaller.
 * @decides a red plan is made smaller
 */
export async function shrink(
  red: ExploredRun,
  play: (plan: Plan) => Promise<ExploredRun>,
  isTime: () => boolean,
): Promise<ExploredRun> {
  const wanted = failureKind(red.failure!);
  let smallest = red;
  const attempt = async (plan: Plan): Promise<boolean> => {
    if (!isTime()) return false;
    const run = await play(plan);
    if (run.failure === undefined || failureKind(run.failure) !== wanted) return false;
    smallest = run;
    return true;
  };
  for (let before = ""; before !== sizeOf(smallest.plan) && isTime();) {
    before = sizeOf(smallest.plan);
    await leaveOut(() => smallest.plan.faults, (faults) => attempt({ ...smallest.plan, faults }));
    await moveUp(() => smallest.plan, attempt);
    await leaveOut(() => smallest.plan.deploys, (deploys) => attempt({ ...smallest.plan, deploys }));
    for (const delay of [0, 1, 5]) {
      if (delay < smallest.plan.delay && await attempt({ ...smallest.plan, delay })) break;
    }
    const kept = () =>
      Array.from({ length: smallest.steps }, (_, i) => i).filter((i) => !smallest.plan.skips.includes(i));
    await leaveOut(kept, (left) => {
      const skips = Array.from({ length: smallest.steps }, (_, i) => i).filter((i) => !left.includes(i));
      return attempt({ ...smallest.plan, skips });
    });
    await shorten(() => smallest.plan, attempt);
  }
  return smallest;
}

/** Tries lists with some of their members left out: all, a half, a quarter, and so on down to a single one. */
async function leaveOut<T>(list: () => readonly T[], attempt: (left: readonly T[]) => Promise<boolean>): Promise<void> {
  for (let size = list().length; size >= 1; size = Math.floor(size / 2)) {
    for (let from = 0; from < list().length;) {
      const left = [...list().slice(0, from), ...list().slice(from + size)];
      if (!await attempt(left)) from += size;
    }
  }
}

/**
 * Tries to begin each fault at an earlier occurrence of the moment that the plan names for it, so that actions of the
 * workload after that occurrence can be left out.
 */
async function moveUp(plan: () => Plan, attempt: (plan: Plan) => Promise<boolean>): Promise<void> {
  for (let i = 0; i < plan().faults.length; i++) {
    const { when } = plan().faults[i];
    if (when.type !== "moment") continue;
    for (const count of new Set([1, 2, Math.floor(when.count / 2), when.count - 1])) {
      if (count < 1 || count >= when.count) continue;
      const faults = plan().faults.map((fault, j) => j === i ? { ...fault, when: { ...when, count } } : fault);
      if (await attempt({ ...plan(), faults })) break;
    }
  }
}

/** Tries shorter faults, and faults and deploys without a delay after their moment. */
async function shorten(plan: () => Plan, attempt: (plan: Plan) => Promise<boolean>): Promise<void> {
  for (let i = 0; i < plan().faults.length; i++) {
    const change = (change: Partial<Plan["faults"][number]>) => {
      const faults = plan().faults.map((fault, j) => j === i ? { ...fault, ...change } : fault);
      return attempt({ ...plan(), faults });
    };
    const { when } = plan().faults[i];
    if (when.type === "moment" && when.after > 0) await change({ when: { ...when, after: 0 } });
    while (plan().faults[i].lasts > 1 && await change({ lasts: Math.floor(plan().faults[i].lasts / 4) || 1 }));
  }
  for (let i = 0; i < plan().deploys.length; i++) {
    const change = (change: Partial<Plan["deploys"][number]>) => {
      const deploys = plan().deploys.map((deploy, j) => j === i ? { ...deploy, ...change } : deploy);
      return attempt({ ...plan(), deploys });
    };
    const { when, pause } = plan().deploys[i];
    if (pause > 0) await change({ pause: 0 });
    if (when.type === "moment" && when.after > 0) await change({ when: { ...when, after: 0 } });
  }
}

function sizeOf({ faults, deploys, delay, skips }: Plan): string {
  return JSON.stringify([faults, deploys, delay, skips.length]);
}

/**
 * Returns the kind of a failure, by which two failures are compared: the broken promise, or the error's text without
 * its numbers and names.
 */
function failureKind(error: Error): string {
  if (error instanceof BrokenPromise) return error.promise;
  const text = error.message.replaceAll(/\d+|"[^"]*"/g, "#").replaceAll(/#(?:[\s,;]*#)+/g, "#");
  return `${error.name} ${text}`.slice(0, 60);
}
