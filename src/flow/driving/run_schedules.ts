/**
 * Schedules of runs: they resume a run, call for the runs of an expired lease, or start a run. Each is a scheduled
 * message of the log, for the internal contract `due` of the workflow.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Result } from "../../contract/calls/result.ts";
import { startName } from "../../contract/declaration/workflow.ts";
import type { RunDue } from "../../contract/declaration/workflow_body.ts";
import { LATEST } from "../../data/checks.ts";
import { fewAtOnce } from "../../data/gate.ts";
import type { Schedule } from "../../dispatch/remote.ts";
import { LEASE } from "./run_call.ts";
import type { RunLease } from "./run_leases.ts";
import type { RunRef } from "../stored/run_ref.ts";
import type { RunsNode } from "../runs_node.ts";
import { wakeId } from "../execution/step_attempt.ts";

/**
 * Stores and removes the scheduled messages that start runs, resume them, or call for the runs of an expired lease.
 * @decides schedules that wake a run, or take it over
 */
export class RunSchedules {
  readonly #node: RunsNode;

  constructor(node: RunsNode) {
    this.#node = node;
  }

  /** Stores a schedule that starts a run. */
  startAt(workflow: string, due: RunDue, when: Schedule): Promise<Result<void, never>> {
    return this.#publish(workflow, startName(due.run), due, when);
  }

  /** Stores a schedule that resumes a run; implements {@link DriveHost.wake}. */
  wake(ref: RunRef, step: string, at: number): Promise<void> {
    return this.#schedule(ref.workflow, wakeId(ref, step), { run: ref.run, step, at });
  }

  /** Removes schedules of a run that has ended: the implementation of {@link DriveHost.takeBack}. */
  async takeBack(ref: RunRef, steps: readonly string[]): Promise<void> {
    if (steps.length === 0) return;
    const { due } = this.#node.contractsOf(ref.workflow);
    const log = await this.#node.app.durable();
    await fewAtOnce(steps, TAKEN_BACK_AT_ONCE, (step) => log.unschedule(due as AnyContract, wakeId(ref, step)));
  }

  /** Stores a lease of runs, in place of an earlier lease of the same name. Rejects with a `CatgaError`. */
  async lease({ workflow, name, runs, at }: RunLease): Promise<void> {
    const lease = { runs, by: this.#node.endpoint };
    await this.#schedule(workflow, name, { run: name, step: LEASE, at, lease }, true);
  }

  /**
   * Removes a lease of runs. If the removal fails, the lease expires later, which has no effect because its runs have
   * ended.
   */
  unlease({ workflow, name }: Pick<RunLease, "workflow" | "name">): void {
    const { due } = this.#node.contractsOf(workflow);
    this.#node.app.durable().then((log) => log.unschedule(due as AnyContract, name)).catch(() => {});
  }

  /**
   * Stores, for each of these runs, a message that calls for its execution at once, as an expired lease would. Rejects
   * with a `CatgaError`.
   */
  async callEach(workflow: string, runs: readonly string[]): Promise<void> {
    const at = this.#node.clock.now();
    const stored = await Promise.all(runs.map((run) => this.#publish(workflow, undefined, { run, step: LEASE, at })));
    for (const { error } of stored) if (error !== undefined) throw error;
  }

  /** Stores a schedule for the time `due.at`, in place of an earlier schedule with this id. */
  async #schedule(workflow: string, id: string, due: RunDue, ofProcess?: true): Promise<void> {
    const delay = Math.max(0, Math.min(due.at, LATEST) - this.#node.clock.now());
    const stored = await this.#publish(workflow, id, due, { delay, ...(ofProcess && { ofProcess }) });
    if (!stored.ok) throw stored.error;
  }

  /** Publishes a message of the contract `due`; without `schedule` it is delivered at once. */
  async #publish(
    workflow: string,
    id: string | undefined,
    due: RunDue,
    schedule?: Schedule,
  ): Promise<Result<void, never>> {
    const { app } = this.#node;
    const log = await app.durable();
    return await log.publish({
      contract: this.#node.contractsOf(workflow).due as AnyContract,
      payload: due,
      key: undefined,
      meta: id === undefined ? undefined : { id },
      timeout: app.timeout,
      signal: undefined,
      schedule,
      parent: undefined,
    }) as Result<void, never>;
  }
}

/** Maximum number of schedules of a run that are removed at once. */
const TAKEN_BACK_AT_ONCE = 100;
