/**
 * Runs that ended on this node lately, or began to wait: another call for such a run needs no drive. A run counts only
 * in the epoch of the store in which it was read.
 */
import type { RunLog } from "./run_log.ts";

/** A run that has ended, or waits. */
interface SettledRun {
  /** Sequence of the last message that was read of the run. */
  readonly sequence: number;
  readonly ended: boolean;
  /** {@link RunLog.epoch} when the run was read. */
  readonly epoch: number;
}

/** The runs that have ended on this node, or wait, by their keys. */
export class SettledRuns {
  readonly #log: Pick<RunLog, "epoch">;
  #runs = new Map<string, SettledRun>();
  /** The previous map of runs: a map that forgets its oldest entry with each new one costs a tenth of a run. */
  #before: ReadonlyMap<string, SettledRun> = new Map();

  constructor(log: Pick<RunLog, "epoch">) {
    this.#log = log;
  }

  /**
   * Returns true if a run has read the message of this sequence, and has ended or waits. For sequence 0 only an ended
   * run counts: another node may have driven a run that waited, and died.
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
