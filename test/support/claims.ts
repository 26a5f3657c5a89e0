/** Idempotent commands as a runner passes them to the idempotency store, for its tests. */
import type { Clock } from "../../src/ports/clock.ts";
import { fail, type Result } from "../../src/contract/calls/result.ts";
import type { Claimant } from "../../src/dispatch/context_host.ts";

/** A claimant that waits for 30 s by this clock, with whatever is to be different. */
export function claimant(clock: Clock, id: string, differs: Partial<Claimant> = {}): Claimant {
  return {
    contract: "CreateOrder",
    id,
    payload: { sku: "tea", qty: 2 },
    ttl: 86_400_000,
    due: clock.monotonic() + 30_000,
    adopt: () => {},
    lost: () => {},
    ...differs,
  };
}

/** A handler that returns these results in turn, then fails; it counts its runs. */
export function handler(...results: unknown[]): { (fence: number): Result<unknown>; fences: number[] } {
  const fences: number[] = [];
  const run = (fence: number): Result<unknown> => {
    if (fences.push(fence) > results.length) return fail("RAN_TOO_OFTEN", `run ${fences.length}`);
    const result = results[fences.length - 1];
    return result instanceof Failing
      ? fail(result.code, "as the handler says", result.options)
      : { ok: true, value: result };
  };
  return Object.assign(run, { fences });
}

/** A handler that runs until the test settles it. */
export function slowHandler(): {
  (fence: number): Promise<Result<unknown>>;
  fences: number[];
  end(result: unknown): void;
} {
  const { promise, resolve } = Promise.withResolvers<Result<unknown>>();
  const fences: number[] = [];
  const run = (fence: number) => {
    fences.push(fence);
    return promise;
  };
  return Object.assign(run, { fences, end: (value: unknown) => resolve({ ok: true, value }) });
}

/** A failure that a {@link handler} answers. */
export class Failing {
  constructor(readonly code: string, readonly options: { final?: boolean; details?: unknown } = {}) {}
}
