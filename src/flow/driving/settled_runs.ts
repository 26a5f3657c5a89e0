/**
 * Remembers the runs that were the last to end on this node, or to begin to wait there: a further call to execute such
 * a run has nothing to do. What is remembered of a run counts only as long as the store has lost no messages since the
 * run was read ({@link RunLog.epoch}).
 */
import type { RunLog } from "../stored/run_log.ts";

/** A run that has ended, or waits for a time, a signal, a child run or an operator. */
interface SettledRun {
  /** Sequence of the last message of the run that was read. */
  readonly sequence: number;
  readonly ended: boolean;
  /** Number of times that the store may have lost messages ({@link RunLog.epoch}), when the run was read. */
  readonly epoch: number;
}

/** By key: the runs that, on this node, have ended, or wait for a time, a signal, a child run or an operator. */
export class SettledRuns {
  readonly #log: Pick<RunLog, "epoch">;
  #runs = new Map<string, SettledRun>();
  /**
   * Runs that were added before those in `#runs`: when `#runs` is full, it takes the place of this map. A single map
   * that removes its oldest entry for each new one would cost a tenth of the time of a run.
   */
  #before: ReadonlyMap<string, SettledRun> = new Map();

  constructor(log: Pick<RunLog, "epoch">) {
    this.#log = log;
  }

  /**
   * Returns true if this node has read the run up to the message with this sequence, and the run then ended or waited.
   * With sequence 0, which names no message, only a run that has ended counts: another node may have continued a run
   * that waited, and died while it executed the run.
   */
  has(key: string, sequence: number): boolean {
    const settled = this.#runs.get(key) ?? this.#before.get(key);
    if (settled === undefined || settled.epoch !== this.#log.epoch) return false;
    return settled.sequence >= sequence && (settled.ended || sequence > 0);
  }

  add(key: string, settled: SettledRun): void {
    this.#runs.set(key, settled);
    if (this.#runs.size < MAX_REMEMBERED) return;
    this.#before = this.#runs;
    this.#runs = new Map();
  }
}

const MAX_REMEMBERED = 5_000;
