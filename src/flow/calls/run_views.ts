/**
 * The views of runs, for the programs on this node: `view` reads one once, `watch` returns each change and the end.
 * `results.ts` notices the changes, and holds their order. A watch leaves out views only if a later one is known, and
 * always returns the last one.
 */
import type { AnyWorkflow, ViewChange, WatchOptions } from "../../contract/calls/flow.ts";
import type { Result } from "../../contract/calls/result.ts";
import { checkInteger, checkKnown, checkSignal } from "../../data/checks.ts";
import type { CatgaError } from "../../error.ts";
import { onAbort, within } from "../../ports/clock.ts";
import type { RecordedOutcome } from "../stored/journal_entry.ts";
import { ownOf } from "../stored/recorded_value.ts";
import type { ShownRun } from "../stored/run_log.ts";
import type { RunsNode } from "../runs_node.ts";
import type { Results } from "./results.ts";
import { failed, failedWith, LAST_LOOK, noRun, NOT_STARTED, resultOf } from "./run_answers.ts";
import { checkExistingRun, definitionOf } from "./run_arguments.ts";

/** The views of runs, as programs on one node read them. */
export class RunViews {
  readonly #node: RunsNode;
  readonly #results: Results;
  /** Functions that end the open watches, one for each. */
  readonly #open = new Set<(error: CatgaError) => void>();

  constructor(node: RunsNode, results: Results) {
    this.#node = node;
    this.#results = results;
  }

  /** Reads what a run shows: the implementation of {@link Catga.view}. */
  async view(workflow: AnyWorkflow, run: string): Promise<Result<unknown, never>> {
    const { name } = definitionOf("view", workflow);
    checkExistingRun(`view ${name}: run`, run);
    const ref = { workflow: name, run };
    const { log, clock, app: { timeout } } = this.#node;
    let result: Result<unknown, never> | undefined;
    const read = log.patient(() => log.shown(ref), this.#node.callerTime()).then(
      (shown) => {
        if (shown === undefined) return result = noRun(ref, NOT_STARTED);
        return result = { ok: true, value: ownOf(this.#results.latest(ref, shown).view?.value) };
      },
      (error) => result = failedWith(error),
    );
    await within(clock, timeout + LAST_LOOK, read);
    return result ?? failed("UNAVAILABLE", `run ${run} of ${name} could not be read within ${timeout} ms`);
  }

  /** Returns what a run shows, and its end: the implementation of {@link Catga.watch}. */
  watch(
    workflow: AnyWorkflow,
    run: string,
    options: WatchOptions = {},
  ): AsyncIterableIterator<ViewChange<unknown, unknown, string>> {
    const { name } = definitionOf("watch", workflow);
    const at = `watch ${name}`;
    checkExistingRun(`${at}: run`, run);
    checkKnown(at, options, WATCH_OPTIONS);
    const { signal, after = NOTHING } = options;
    checkSignal(at, signal);
    checkInteger(`${at}: after`, after, NOTHING, Number.MAX_SAFE_INTEGER);
    const watch = new ViewWatch(after);
    if (this.#node.isClosed) {
      watch.fail(closed(this.#node));
      return watch;
    }
    const ref = { workflow: name, run };
    const fail = (error: CatgaError) => watch.fail(error);
    const off = this.#results.wait(ref, (end) => {
      if (end === "no run") fail(noRun(ref, NOT_STARTED).error!);
      else watch.end(end);
    }, (view) => watch.add(view));
    const offAbort = onAbort(signal, () => void watch.return());
    this.#open.add(fail);
    watch.onOver(() => {
      this.#open.delete(fail);
      offAbort();
      off();
    });
    return watch;
  }

  close(): void {
    for (const end of this.#open) end(closed(this.#node));
  }
}

/** One watch of a run: the changes that its reader has not got yet, of which it keeps the latest. */
class ViewWatch implements AsyncIterableIterator<ViewChange<unknown, unknown, string>> {
  /** Number of the latest view that is known. */
  #number: number;
  /** The latest view; `undefined`: none is known. */
  #view: ShownRun["view"];
  /** True if the reader has not got the latest view. */
  #hasNew = false;
  #outcome: RecordedOutcome | undefined;
  #error: CatgaError | undefined;
  #isOver = false;
  /** Lets pending calls of `next` look again. */
  #wake: PromiseWithResolvers<void> | undefined;
  #release: (() => void) | undefined;

  constructor(after: number) {
    this.#number = after;
  }

  /**
   * Adds the latest view. If the reader has got it already, it is only returned again with the end. A number that is
   * less than `after` shows that `after` is the number of an earlier run, whose id was forgotten.
   */
  add(view: NonNullable<ShownRun["view"]>): void {
    this.#view = view;
    if (view.number === this.#number) return;
    this.#number = view.number;
    this.#hasNew = true;
    this.#look();
  }

  end(outcome: RecordedOutcome): void {
    this.#outcome = outcome;
    this.#hasNew = false; // the end comes with the last view
    this.#over();
  }

  fail(error: CatgaError): void {
    this.#error = error;
    this.#over();
  }

  /** Calls `release` once the watch needs no more changes. */
  onOver(release: () => void): void {
    if (this.#isOver) release();
    else this.#release = release;
  }

  async next(): Promise<IteratorResult<ViewChange<unknown, unknown, string>, undefined>> {
    for (;;) {
      const number = this.#number;
      if (this.#outcome !== undefined) {
        const result = resultOf(this.#outcome);
        this.#outcome = undefined;
        return { done: false, value: { view: ownOf(this.#view?.value), number, result } };
      }
      if (this.#hasNew) {
        this.#hasNew = false;
        return { done: false, value: { view: ownOf(this.#view?.value), number, result: undefined } };
      }
      if (this.#error !== undefined) {
        const error = this.#error;
        this.#error = undefined;
        throw error;
      }
      if (this.#isOver) return { done: true, value: undefined };
      await (this.#wake ??= Promise.withResolvers()).promise;
    }
  }

  return(): Promise<IteratorResult<ViewChange<unknown, unknown, string>, undefined>> {
    this.#hasNew = false;
    this.#outcome = this.#error = undefined;
    this.#over();
    return Promise.resolve({ done: true, value: undefined });
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  #over(): void {
    this.#isOver = true;
    this.#release?.();
    this.#release = undefined;
    this.#look();
  }

  #look(): void {
    this.#wake?.resolve();
    this.#wake = undefined;
  }
}

function closed({ app }: RunsNode): CatgaError {
  return failed("CLOSED", `node ${app.node} stops`).error!;
}

const WATCH_OPTIONS = new Set(["signal", "after"]);
/** The number that stands for no view. */
const NOTHING = -1;
