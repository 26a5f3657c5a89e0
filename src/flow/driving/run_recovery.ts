/**
 * Recovery after the streams have lost messages that may have called for the execution of runs: each run of the
 * workflow that has not ended is loaded and executed again.
 */
import type { WorkflowBody } from "../../contract/declaration/workflow_body.ts";
import { fewAtOnce } from "../../data/gate.ts";
import { delay } from "../../ports/clock.ts";
import type { DrivenRuns } from "./driven_runs.ts";
import { isUnstored } from "../stored/recorded_error.ts";
import { PAUSES, repeatUnless } from "../../ports/repeat.ts";
import { undecodedAt } from "../stored/run_message.ts";
import type { RunsNode } from "../runs_node.ts";

/** Has open runs loaded and executed after messages that may have called for their execution were lost. */
export class RunRecovery {
  readonly #node: RunsNode;
  readonly #drives: DrivenRuns;
  /** Workflows whose open runs will be executed soon. */
  readonly #coming = new Set<string>();

  constructor(node: RunsNode, drives: DrivenRuns) {
    this.#node = node;
    this.#drives = drives;
  }

  /**
   * Starts the recovery of a workflow, after a pause: every run of it that has not ended is loaded and executed. Losses
   * that are noticed shortly one after the other count as one.
   */
  lost(workflow: string): void {
    const { bodies, clock } = this.#node;
    const body = bodies.get(workflow);
    if (body === undefined || this.#coming.has(workflow)) return;
    this.#coming.add(workflow);
    clock.after(AFTER_LOSS, () => {
      this.#coming.delete(workflow);
      void this.#bringAll(body);
    }, { background: true });
  }

  async #bringAll(body: WorkflowBody): Promise<void> {
    const open = await this.#insist(() => this.#node.log.all(body.definition.name)) ?? [];
    const going = open.filter(({ ended }) => !ended);
    await fewAtOnce(going, BROUGHT_AT_ONCE, ({ ref }) => this.#insist(() => this.#drives.recover(body, ref)));
  }

  /** Calls `work` until it succeeds, fails for good, or the node stops. Never rejects. */
  #insist<T>(work: () => Promise<T>): Promise<T | undefined> {
    const { clock } = this.#node;
    return repeatUnless(() => this.#node.isClosed, work, {
      pauses: PAUSES.background,
      pause: (ms) => delay(clock, ms),
      isTransient: (error) => isUnstored(error) && undecodedAt(error) === undefined,
    }).catch((error) => {
      this.#node.fault("going on with runs after a loss", error);
      return undefined;
    });
  }
}

/**
 * Pause between a noticed loss and the recovery, in ms: the losses of several streams are noticed one after the other.
 */
const AFTER_LOSS = 1_000;
const BROUGHT_AT_ONCE = 100;
