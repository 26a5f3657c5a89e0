/**
 * The functions of a program that run in an exploration: which of them wait for Catga or virtual time, and which
 * compute, or wait for something outside.
 */

/** A process of a node, as the history identifies it. */
export interface RecordedProcess {
  readonly node: string;
  /** Number of the node's process, from 1: how often the node has been started. */
  readonly process: number;
}

/** A function of the program that has begun, and may have ended. */
export interface RunningFunction {
  readonly label: string;
  readonly of: RecordedProcess | undefined;
  /** Number of calls of Catga, made by the function, that have not ended yet. */
  calls: number;
  hasEnded: boolean;
  /** Functions that are called at the end of the function: they end what the history has of its locks. */
  readonly atEnd: Set<() => void>;
}

/**
 * Returns true if a function runs and waits neither for Catga nor for virtual time: it computes, or waits for
 * something outside.
 */
export function isOutside({ calls, hasEnded }: RunningFunction): boolean {
  return calls === 0 && !hasEnded;
}

/** The functions that run now, on all nodes. */
export class RunningFunctions {
  readonly #running = new Set<RunningFunction>();
  readonly #dead = new Set<RecordedProcess>();

  /** Runs a function of the program, and keeps it among the running functions until it has ended. */
  run<T>(of: Pick<RunningFunction, "label" | "of">, fn: (code: RunningFunction) => T): T {
    const code: RunningFunction = { ...of, calls: 0, hasEnded: false, atEnd: new Set() };
    const returned = fn(code);
    if (!isThenable(returned)) return returned;
    if (of.of !== undefined && this.#dead.has(of.of)) return returned;
    this.#running.add(code);
    const ended = () => {
      code.hasEnded = true;
      this.#running.delete(code);
      for (const end of code.atEnd) end();
    };
    returned.then(ended, ended);
    return returned;
  }

  /** Counts a call of Catga that a function has made until the call ends. Returns the promise of the call. */
  waits<T>(code: RunningFunction | undefined, promise: T): T {
    if (code === undefined || !isThenable(promise)) return promise;
    code.calls++;
    const ended = () => void code.calls--;
    promise.then(ended, ended);
    return promise;
  }

  /** Forgets the running functions of a process that was killed: they no longer count as running. */
  forget(of: RecordedProcess): void {
    this.#dead.add(of);
    for (const code of this.#running) if (code.of === of) this.#running.delete(code);
  }

  /** Returns the functions that run and wait neither for Catga nor for virtual time, on nodes that are not frozen. */
  outside(awake: (node: string) => boolean): RunningFunction[] {
    return [...this.#running].filter((code) => isOutside(code) && (code.of === undefined || awake(code.of.node)));
  }
}

/** Returns true if a value is a promise. */
export function isThenable(value: unknown): value is Promise<unknown> {
  return value instanceof Promise;
}
