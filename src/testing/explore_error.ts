/** The error with which `explore` rejects for a seed that breaks a promise. Its message is a page. */
import process from "node:process";
import { planText } from "./explore_plan.ts";
import type { ExploredRun } from "./explored_run.ts";
import { BrokenPromise, type History } from "./history.ts";
import { historyPicture } from "./history_picture.ts";
import { timelinePage } from "./timeline.ts";

/**
 * The error with which `explore` rejects if a seed breaks a promise.
 *
 * @example
 * ```ts
 * import { command } from "@catga/catga";
 * import { explore, ExploreError } from "@catga/catga/testing";
 *
 * const Add = command<number, number>("Add");
 * const error = await explore({
 *   handlers: Add.handle((n) => n + 1),
 *   workload: async ({ app }) => void await app.send(Add, 1),
 *   check: () => {
 *     throw new Error("nothing is right");
 *   },
 * }).catch((error) => error);
 * if (error instanceof ExploreError) console.log(error.seed, error.cause.message); // 1 nothing is right
 * ```
 */
export class ExploreError extends Error {
  /** Name by which programs tell this error from other errors. */
  override readonly name = "ExploreError";
  /** The seed that broke a promise. */
  readonly seed: number;
  /** Text for the option `replay` of `explore`, which runs the smallest failing run again. */
  readonly replay: string;
  /** History of the smallest failing run. */
  readonly history: History;
  /** Timeline of the smallest failing run, on one page. */
  readonly timeline: string;
  /** The error that the check threw, or the reason why the run did not end. */
  override readonly cause: Error;

  /**
   * Creates the error of a failing run.
   *
   * @internal
   */
  constructor({ plan, history, failure, log }: ExploredRun, runs: number) {
    const replay = planText(plan);
    const shownBy = failure instanceof BrokenPromise ? failure.shownBy : [];
    const page = (colour: boolean) => timelinePage(history, log, { shownBy, colour });
    const place = placeOf(failure!);
    const parts = [
      `seed ${plan.seed} is red${runs > 1 ? `, and this is the smallest of ${runs} runs of it` : ""}`,
      failure instanceof BrokenPromise ? `promise: ${failure.promise}` : "",
      `${failure!.message}${place === undefined ? "" : `\n  at ${place}`}`,
      page(process.stdout.isTTY === true),
      `again: explore({ replay: ${JSON.stringify(replay)}, … })`,
    ];
    super(parts.filter((part) => part !== "").join("\n"));
    this.seed = plan.seed;
    this.replay = replay;
    this.history = history;
    this.timeline = page(false);
    this.cause = failure!;
  }

  /**
   * The timeline of the failing run as a picture, the text of an SVG file: nodes are lines, messages are arrows,
   * faults are bands. Its colours follow the light or dark scheme of the reader's page.
   */
  get picture(): string {
    const shownBy = this.cause instanceof BrokenPromise ? this.cause.shownBy : [];
    return historyPicture(this.history, `seed ${this.seed}: ${this.cause.message}`, shownBy);
  }
}

/** Returns the line of the program at which an error was made. */
function placeOf({ stack = "" }: Error): string | undefined {
  const frames = stack.split("\n").map((line) => /((?:file:\/\/|\/)[^\s()]+:\d+:\d+)/.exec(line)?.[1]);
  return frames.find((frame) => frame !== undefined && !/\/src\/testing\/(?!.*_test\.ts)/.test(frame));
}
