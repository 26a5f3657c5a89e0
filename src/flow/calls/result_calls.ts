/**
 * Pending calls of `result` by a program. Each ends when the run has ended, its timeout is over, the caller gives up,
 * or the node stops. `results.ts` notices the end of the run.
 */
import type { AnyWorkflow, ResultOptions } from "../../contract/calls/flow.ts";
import type { Result } from "../../contract/calls/result.ts";
import { checkKnown, checkNumber, checkSignal, MAX_TIMEOUT } from "../../data/checks.ts";
import { ChurnSet } from "../../data/churn.ts";
import { onAbort, within } from "../../ports/clock.ts";
import { SharedTimer } from "../../ports/shared_timer.ts";
import { type Journal, statusOf } from "../stored/journal.ts";
import type { JournalEntry, RecordedError } from "../stored/journal_entry.ts";
import type { Results } from "./results.ts";
import { failed, failedWith, LAST_LOOK, noRun, NOT_STARTED, resultOf } from "./run_answers.ts";
import { checkExistingRun, definitionOf } from "./run_arguments.ts";
import type { RunRef } from "../stored/run_ref.ts";
import type { RunsNode } from "../runs_node.ts";

/** The pending calls of `result` on one node. */
export class ResultCalls {
  readonly #node: RunsNode;
  readonly #results: Results;
  /** Timeouts of the pending calls; they keep the process running. */
  readonly #timers: SharedTimer;
  /** Functions that resolve the pending calls, one for each call. */
  readonly #open = new ChurnSet<(result: Result<unknown>) => void>();

  constructor(node: RunsNode, results: Results) {
    this.#node = node;
    this.#results = results;
    this.#timers = new SharedTimer(node.clock);
  }

  /** Resolves with the result of a run when it has ended: the implementation of {@link RunSender.result}. */
  async result(workflow: AnyWorkflow, run: string, options: ResultOptions = {}): Promise<Result<unknown>> {
    const { app } = this.#node;
    const { name } = definitionOf("result", workflow);
    const at = `result ${name}`;
    checkExistingRun(`${at}: run`, run);
    checkKnown(at, options, RESULT_OPTIONS);
    const { timeout = app.timeout, signal } = options;
    checkNumber(`${at}: timeout`, timeout, 1, MAX_TIMEOUT, "ms");
    checkSignal(at, signal);
    const ref = { workflow: name, run };
    const { promise, resolve } = Promise.withResolvers<Result<unknown>>();
    const off = this.#results.wait(ref, (end) => resolve(end === "no run" ? noRun(ref, NOT_STARTED) : resultOf(end)));
    const timer = this.#timers.after(timeout, () => void this.#late(ref, timeout).then(resolve));
    const offAbort = onAbort(
      signal,
      () => resolve(failed("NOT_ENDED", `the caller has given up waiting for run ${run} of ${name}: it goes on`)),
    );
    this.#open.add(resolve);
    try {
      return await promise;
    } finally {
      this.#open.delete(resolve);
      off();
      timer.cancel();
      offAbort();
    }
  }

  /**
   * Reads the result of a run from the store after a call's timeout, because the announcement of the run's end may have
   * been lost.
   */
  async #late(ref: RunRef, timeout: number): Promise<Result<unknown>> {
    const { workflow, run } = ref;
    const { log, clock } = this.#node;
    const late = (how: string) =>
      failed("NOT_ENDED", `run ${run} of ${workflow} has not ended within ${timeout} ms${how}`);
    let result: Result<unknown> | undefined;
    const look = async () => {
      const end = await log.end(ref);
      const last = end?.entries.at(-1);
      if (end === undefined || last === undefined) return noRun(ref, NOT_STARTED);
      if (last.t === "ended") return resultOf(last.outcome);
      if (end.holder === "") return late(`: no node has begun it; does a node with a handler of ${workflow} run?`);
      // what others told the run says nothing about what it does
      if (!("by" in last)) return late(`: ${lastDone(last)}`);
      const journal = await log.load(ref);
      if (journal === undefined) return noRun(ref, NOT_STARTED);
      return journal.ended === undefined ? late(`: ${state(journal)}`) : resultOf(journal.ended);
    };
    const looked = look().then((found) => result = found, (error) => result = failedWith(error));
    await within(clock, LAST_LOOK, looked);
    return result ?? late(", as far as is known here");
  }

  close(): void {
    for (const resolve of this.#open) resolve(failed("CLOSED", `node ${this.#node.app.node} stops`));
  }
}

/** Returns, for an error message, what an open run does at present, judging by the last entry that its node stored. */
function lastDone(last: JournalEntry): string {
  if (last.t === "waits" || last.t === "slept" || last.t === "child") return `it waits for ${last.step}`;
  return last.t === "failed" ? afterFailure(last.step, last) : "it goes on";
}

/** Returns, for an error message, what an open run does at present, judging by its journal. */
function state(journal: Journal): string {
  const { failures, waits, sleeps, children } = journal;
  const failed = [...failures].find(([, { next }]) => next === undefined) ?? [...failures].at(-1);
  if (failed !== undefined) return afterFailure(...failed);
  // a run whose steps are being undone waits for nothing, although its handler did
  if (statusOf(journal) !== "waiting") return "it goes on";
  const [step] = [...waits, ...sleeps, ...children].at(-1)!; // a run that waits has one
  return `it waits for ${step}`;
}

function afterFailure(
  step: string,
  { error: { code, message }, next }: { readonly error: RecordedError; readonly next?: number | undefined },
): string {
  return `it ${next === undefined ? "is stuck" : "goes on"}; ${step || "its handler"} failed with ${code}: ${message}`;
}

const RESULT_OPTIONS = new Set(["timeout", "signal"]);
