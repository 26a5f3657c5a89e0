/** Runs a plan again, and finds out why the program behaves differently if it does. */
import type { ExploreOptions } from "./explore_options.ts";
import { type ExploredRun, exploreRun } from "./explored_run.ts";
import type { RealPatience } from "./explored_time.ts";
import { recordingOf } from "./timeline.ts";
import type { History } from "./history.ts";

/**
 * Runs a run's plan again: twice if the second run differs. Rejects with a `TypeError` if it does.
 * @decides a program that differs between two runs of one seed is refused
 */
export async function checkRepeatable<World>(
  options: ExploreOptions<World>,
  run: ExploredRun,
  patience: RealPatience,
): Promise<void> {
  const again = await exploreRun(options, run.plan, { patience });
  const difference = firstDifference(run.history, again.history);
  if (difference === undefined) return;
  const watch = new GlobalsWatch();
  try {
    await exploreRun(options, run.plan, { patience });
  } finally {
    watch[Symbol.dispose]();
  }
  const [left, right] = difference.lines.map((line) => line === "" ? "its end" : JSON.stringify(line));
  const uses = watch.uses.length === 0
    ? "handlers, workload and world must depend on nothing but what explore gives them: memory of the module lasts from one run to the next"
    : `it uses ${
      watch.uses.join(", ")
    }: take time from ctx.clock, random numbers from the workload's random, ids from ctx.id`;
  throw new TypeError(
    `explore: seed ${run.plan.seed} differs when it is run again: first ${left}, then ${right}; ${uses} ` +
      "(repeatable: false explores it nevertheless)",
  );
}

/** The first difference between two runs of the same plan. */
interface RunDifference {
  /** The lines of both runs at the first difference; empty for a run that has ended there. */
  readonly lines: readonly [first: string, second: string];
}

/** Returns the first difference of two histories, values ignored; `undefined`: there is none. */
function firstDifference(first: History, second: History): RunDifference | undefined {
  const [left, right] = [recordingOf(first, { values: false }), recordingOf(second, { values: false })];
  for (let i = 0; i < Math.max(left.length, right.length); i++) {
    if (left[i] !== right[i]) return { lines: [left[i] ?? "", right[i] ?? ""] };
  }
  return undefined;
}

/** Records where the program uses the machine's time, randomness or network, such as `Date.now at orders.ts:7:20`. */
class GlobalsWatch implements Disposable {
  readonly #uses = new Set<string>();
  readonly #undo: (() => void)[] = [];

  /** Begins to watch; the watch ends when this object is disposed. */
  constructor() {
    const { crypto, performance } = globalThis;
    for (
      const [name, owner, member] of [
        ["Date.now", Date, "now"],
        ["Math.random", Math, "random"],
        ["performance.now", performance, "now"],
        ["crypto.randomUUID", crypto, "randomUUID"],
        ["crypto.getRandomValues", crypto, "getRandomValues"],
        ["setTimeout", globalThis, "setTimeout"],
        ["setInterval", globalThis, "setInterval"],
        ["fetch", globalThis, "fetch"],
      ] as const
    ) this.#watch(name, owner, member);
  }

  /** Uses of the machine's time, randomness or network, in the order in which they were first met. */
  get uses(): readonly string[] {
    return [...this.#uses];
  }

  [Symbol.dispose](): void {
    for (const undo of this.#undo.splice(0)) undo();
  }

  #watch(name: string, owner: object, member: string): void {
    const real: unknown = Reflect.get(owner, member);
    const own = Object.getOwnPropertyDescriptor(owner, member);
    if (typeof real !== "function") return;
    const uses = this.#uses;
    const value = function (this: unknown, ...args: unknown[]): unknown {
      const place = programPlace(new Error().stack ?? "");
      if (place !== undefined) uses.add(`${name} at ${place}`);
      return Reflect.apply(real, this, args);
    };
    if (!Reflect.defineProperty(owner, member, { value, configurable: true, writable: true })) return;
    this.#undo.push(() => {
      if (own === undefined) Reflect.deleteProperty(owner, member);
      else Object.defineProperty(owner, member, own);
    });
  }
}

/**
 * Place in the program from which a stack comes, as `file:line:column`; `undefined`: Catga or the runtime called. If a
 * package made the call, the place is the line of the program that called the package.
 */
function programPlace(stack: string): string | undefined {
  const frames = stack.split("\n").map((line) => /((?:file:\/\/|https?:\/\/|\/)[^\s()]+:\d+:\d+)/.exec(line)?.[1]);
  for (const frame of frames.slice(2)) { // the first two lines are the message, and the frame of the watch itself
    if (frame === undefined || isOfCatga(frame)) return undefined;
    if (!frame.includes("/node_modules/")) return frame;
  }
  return undefined;
}

function isOfCatga(frame: string): boolean {
  const path = frame.replace(/^file:\/\//, "");
  return path.startsWith(OWN) && !/_test\.ts:/.test(path);
}

/** Folder of Catga's sources. */
const OWN = new URL("..", import.meta.url).pathname;
