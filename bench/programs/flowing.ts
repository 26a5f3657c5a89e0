/**
 * What a program is made of that has runs of three steps go to their ends, ours or by hand: one process that starts
 * them and waits, beside those that drive them.
 *
 * @module
 */
import { performance } from "node:perf_hooks";
import { quantile } from "../statistics.ts";
import { answer, type Tasks } from "./answer.ts";
import { processor } from "./processor.ts";
import { type RemoteOptions, started } from "./remote.ts";

/** What a client can do. */
export interface Starter {
  /** Has a run of three steps go from its start to its end. */
  once(): Promise<unknown>;
  /** What else it can be asked to do. */
  readonly tasks?: Tasks;
}

/** A system that is measured. */
export interface Flowing {
  /** Resolves when it drives runs. */
  node(options: RemoteOptions): Promise<void>;
  /** Resolves when runs can be started. */
  client(options: RemoteOptions): Promise<Starter>;
}

/** Options of the task `run`: so many runs at once, each started when another has ended. */
export interface AtOnce {
  readonly atOnce: number;
  /** Shortest time in ms. */
  readonly ms: number;
  /** Least number of runs, unless they take longer than {@link MAX_TIME}. */
  readonly runs: number;
}

/** What came of them. */
export interface Ran {
  readonly runs: number;
  readonly rate: number;
  /** From start to end, in ms. */
  readonly p50: number;
  readonly p99: number;
}

/** Time after which a task begins no more runs, in ms: on a busy machine 1,000 runs may take longer than a task may. */
const MAX_TIME = 15_000;

/** Runs the side that the bench started it as. */
export async function runFlowing(flowing: Flowing): Promise<void> {
  const { side, options } = started();
  if (side === "node") {
    await flowing.node(options);
    return answer({ processor });
  }
  const { once, tasks = {} } = await flowing.client(options);
  answer({
    ...tasks,
    processor,
    run: (options: AtOnce) => runsAtOnce(once, options),
  });
}

/** Has runs go from their start to their end, so many at once. */
export async function runsAtOnce(once: () => Promise<unknown>, { atOnce, ms, runs }: AtOnce): Promise<Ran> {
  const took: number[] = [];
  const start = performance.now();
  const isOver = (now: number) => now - start >= (took.length < runs ? MAX_TIME : ms);
  await Promise.all(Array.from({ length: atOnce }, async () => {
    for (let begun = start; !isOver(begun); begun = performance.now()) {
      await once();
      took.push(performance.now() - begun);
    }
  }));
  const rate = took.length / (performance.now() - start) * 1_000;
  return { runs: took.length, rate, p50: quantile(took, 0.5), p99: quantile(took, 0.99) };
}
