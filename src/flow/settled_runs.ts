/**
 * Remembers runs that ended on this node lately, or began to wait: another call to execute such a run has nothing to
 * do. A run counts only in the epoch of the store in which it was read.
 */
import type { RunLog } from "./run_log.ts";

/** A run that has ended, or waits for something outside. */
interface SettledRun {
  /** Sequence of the last message of the run that was read. */
  readonly sequence: number;
  readonly ended: boolean;
  /** Number of times that the store may have lost messages ({@link RunLog.epoch}), when the run was read. */
  readonly epoch: number;
}

/** By key: the runs that, on this node, have ended or wait for something outside. */
export class SettledRuns {
  readonly #log: Pick<RunLog, "epoch">;
  #runs = new Map<string, SettledRun>();
  /**
   * The runs that were added before the present map was begun. Two maps are used, because a single map that removes its
   * oldest entry for each new one would cost a tenth of a run.
   */
  #before: ReadonlyMap<string, SettledRun> = new Map();

  constructor(log: Pick<RunLog, "epoch">) {
    this.#log = log;
  }

  /**
   * Returns true if the run had read the message of this sequence, and has ended or waits. With sequence 0 only an
   * ended run counts: another node may have executed a waiting run since, and died.
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
