/**
 * The schedules of runs: what a run waits for, leases of runs, and starts at a time. Each is a message of the log to
 * the internal contract `due` of its workflow.
 */
import type { AnyContract } from "../contract/contract.ts";
import type { Result } from "../contract/result.ts";
import { startName } from "../contract/workflow.ts";
import type { RunDue } from "../contract/workflow_body.ts";
import { LATEST } from "../data/checks.ts";
import { fewAtOnce } from "../data/queues.ts";
import type { Schedule } from "../dispatch/remote.ts";
import { LEASE } from "./driven_runs.ts";
import type { RunLease } from "./run_leases.ts";
import type { RunRef } from "./run_ref.ts";
import type { RunsNode } from "./runs_node.ts";
import { wakeId } from "./step_attempt.ts";

/** Stores and removes schedules of runs. */
export class RunSchedules {
  readonly #node: RunsNode;

  constructor(node: RunsNode) {
    this.#node = node;
  }

  /** Stores that a run is to be started. */
  startAt(workflow: string, due: RunDue, when: Schedule): Promise<Result<void, never>> {
    return this.#publish(workflow, startName(due.run), due, when);
  }

  /** Like {@link DriveHost.wake}. */
  wake(ref: RunRef, step: string, at: number): Promise<void> {
    return this.#schedule(ref.workflow, wakeId(ref, step), { run: ref.run, step, at });
  }

  /** Removes schedules of a run that has ended. One that is left fires in the end, and is passed by. */
  async takeBack(ref: RunRef, steps: readonly string[]): Promise<void> {
    if (steps.length === 0) return;
    const { due } = this.#node.contractsOf(ref.workflow);
    try {
      const log = await this.#node.app.durable();
      await fewAtOnce(steps, TAKEN_BACK_AT_ONCE, (step) => log.unschedule(due as AnyContract, wakeId(ref, step)));
    } catch {
      // they fire
    }
  }

  /** Stores a lease, in place of the one of this name. Rejects with a `CatgaError`. */
  async lease({ workflow, name, runs, at }: RunLease): Promise<void> {
    const lease = { runs, by: this.#node.endpoint };
    await this.#schedule(workflow, name, { run: name, step: LEASE, at, lease });
  }

  /** Removes a lease. One that is left fires in the end, and its runs have ended. */
  unlease({ workflow, name }: Pick<RunLease, "workflow" | "name">): void {
    const { due } = this.#node.contractsOf(workflow);
    this.#node.app.durable().then((log) => log.unschedule(due as AnyContract, name)).catch(() => {});
  }

  /** Stores that each of these runs is to be called now, as by its lease. Rejects with a `CatgaError`. */
  async callEach(workflow: string, runs: readonly string[]): Promise<void> {
    const at = this.#node.clock.now();
    const stored = await Promise.all(runs.map((run) => this.#publish(workflow, undefined, { run, step: LEASE, at })));
    for (const { error } of stored) if (error !== undefined) throw error;
  }

  /** Stores what is due at its time, in place of what was stored under this id. */
  async #schedule(workflow: string, id: string, due: RunDue): Promise<void> {
    const delay = Math.max(0, Math.min(due.at, LATEST) - this.#node.clock.now());
    const stored = await this.#publish(workflow, id, due, { delay });
    if (!stored.ok) throw stored.error;
  }

  /** Without an id and a schedule it is due now. */
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

/** How many schedules of a run are removed at once. */
const TAKEN_BACK_AT_ONCE = 100;
