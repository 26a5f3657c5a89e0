/**
 * Liveness after the last fault of a run: every lock can be acquired, every name is led, every idempotent id has its
 * result, and every node answers, each within its limit.
 */
import { performance } from "node:perf_hooks";
import { setTimeout as wait } from "node:timers/promises";
import { gapWithin, type LoopGap, LoopGaps, type Span } from "../processes/loop_gaps.ts";
import { trueNow } from "../processes/skewed_clock.ts";
import type { Result } from "../../src/contract/calls/result.ts";
import type { Catga } from "../../src/contract/nodes/running_node.ts";

/** One thing that has to work again. */
export interface Probe {
  /** `lock a`, `id 7`. */
  readonly what: string;
  /** How long after the last fault it may take, in ms. */
  readonly limit: number;
  /** When it rightly did not work yet, which does not count; at no time. */
  excused?(): Promise<readonly Span[]>;
  /** Resolves when it works; tries again by itself for as long as the signal lets it. Rejects with what is wrong. */
  run(signal: AbortSignal): Promise<void>;
}

/** The outcome of a probe. */
export interface Probed {
  readonly what: string;
  readonly limit: number;
  /** From the last fault on, in ms; `undefined` when it did not work within {@link GRACE} beyond its limit. */
  readonly took: number | undefined;
  /** Of it, how long an event loop of the prober or of the probed processes stood still, or it was excused, in ms. */
  readonly gaps: number;
  /** What was wrong last, when it did not work. */
  readonly problem?: string;
}

/** How far beyond a ttl: what an answer, a watch and a busy machine take, in ms. */
export const BEYOND = 1_500;
/** How long a probe goes on beyond its limit, which tells late from never, in ms. */
const GRACE = 20_000;

/** Options of {@link probe}. */
export interface ProbeOptions {
  /** When the last fault had ended, in ms since 1970; now. */
  readonly since?: number | undefined;
  /** The gaps of the event loops of other processes, when it is over; none. */
  readonly gaps?: (() => Promise<readonly Span[]>) | undefined;
}

/** Runs all probes at once. */
export async function probe(probes: readonly Probe[], options: ProbeOptions = {}): Promise<Probed[]> {
  const { since = trueNow(), gaps: others = () => Promise.resolve([]) } = options;
  const own: LoopGap[] = [];
  using loop = new LoopGaps((gap) => own.push(gap));
  const asked = await Promise.all(probes.map(async ({ what, limit, run, excused }) => {
    const signal = AbortSignal.timeout(limit + GRACE);
    const problem = await run(signal).then(() => undefined, (error: Error) => error.message);
    loop.beat();
    const took = trueNow() - since;
    return { what, limit, took, problem, excused: await excused?.() ?? [] };
  }));
  const gaps = [...own, ...await others()];
  return asked.map(({ what, limit, took, problem, excused }) => {
    const seen = { what, limit, gaps: gapWithin([...gaps, ...excused], since, since + took) };
    return problem === undefined ? { ...seen, took } : { ...seen, took: undefined, problem };
  });
}

/** Probes that failed, or succeeded too late: a line each. */
export function livenessViolations(probed: readonly Probed[]): string[] {
  return probed.flatMap(({ what, limit, took, gaps, problem }) => {
    if (took === undefined) return [`${what}: never (limit ${limit} ms): ${problem}`];
    if (took - gaps <= limit) return [];
    return [
      `${what}: ${Math.round(took)} ms after the last fault, ${Math.round(gaps)} of them in gaps; limit ${limit}`,
    ];
  });
}

/** A lock is acquired. `ttl`: of who may have held it, in ms. */
export function lockProbe(app: Catga, key: string, ttl: number): Probe {
  return {
    what: `lock ${key}`,
    limit: ttl + BEYOND,
    run: (signal) =>
      untilItWorks(signal, async () => {
        const lock = await app.lock(key, { ttl, timeout: Infinity, signal });
        await lock.release();
      }),
  };
}

/** A name is led: by this app, when it stands for it as well and nobody else leads any more. */
export function leaderProbe(app: Catga, name: string, ttl: number): Probe {
  return {
    what: `leader ${name}`,
    limit: ttl + BEYOND,
    run: async (signal) => {
      const led = Promise.withResolvers<void>();
      signal.addEventListener("abort", () => led.reject(new Error("another node kept the lead")), { once: true });
      await using _term = app.lead(name, () => led.resolve(), { ttl });
      await led.promise;
    },
  };
}

/**
 * A send is answered: one to a node that has to be reached, or of an idempotent id that has to have its result.
 * `within`: the ttl of what may stand in its way, in ms.
 */
export function sendProbe(
  what: string,
  within: number,
  send: (options: { readonly signal: AbortSignal; readonly timeout: number }) => Promise<Result<unknown>>,
): Probe {
  return {
    what,
    limit: within + BEYOND,
    run: (signal) =>
      untilItWorks(signal, async () => {
        const { ok, error } = await send({ signal, timeout: within + GRACE });
        if (!ok) throw error;
      }),
  };
}

const AGAIN = 50; // ms

async function untilItWorks(signal: AbortSignal, once: () => Promise<void>): Promise<void> {
  const began = performance.now();
  for (let tries = 1;; tries++) {
    try {
      return await once();
    } catch (error) {
      const { message } = error as Error;
      if (!signal.aborted) await wait(AGAIN, undefined, { signal }).catch(() => {});
      if (signal.aborted) throw new Error(`${tries} tries in ${Math.round(performance.now() - began)} ms: ${message}`);
    }
  }
}
