/** Harness for the tests of claims under faults: nodes on one network in memory, on virtual time. */
import type { Clock } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import { type MemoryConnection, MemoryNetwork, type MemoryNetworkOptions } from "../../memory/network.ts";
import { VirtualClock } from "../../memory/virtual_clock.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { Claimant } from "../../dispatch/context_host.ts";
import { claimant } from "../../../test/support/claims.ts";
import { interceptedBucket } from "../../../test/support/intercepted_bucket.ts";
import { IdempotencyStore } from "./idempotency_store.ts";

/** Lease of a claim in ms: the store removes the claim when this time has passed since the last renewal. */
export const LEASE = 20_000;
/** Time between two renewals of a claim, in ms. */
export const RENEWAL = 3_000;
/** Time for which the process that holds a claim may stand still without losing the claim, in ms. */
export const PAUSE = 15_000;

/** A node of the tests, with its store of claims. */
export interface ClaimNode {
  readonly connection: MemoryConnection;
  readonly store: IdempotencyStore;
  /** The errors with which the node aborted its runs. */
  readonly lost: CatgaError[];
  guard(
    id: string,
    run: (fence: number, check: () => void) => Result<unknown> | Promise<Result<unknown>>,
    differs?: Partial<Claimant>,
  ): Promise<Result<unknown>>;
}

/**
 * Makes nodes with claim stores on one network in memory. `wall.slept`, in ms: a test sets it to put the wall clock of
 * the first node forward by this time, as after its machine slept; the node's monotonic clock stays.
 */
export function claimCluster(size: number, options: MemoryNetworkOptions = {}) {
  const clock = new VirtualClock();
  const wall = { slept: 0 };
  const gone = { of: (_: string): Promise<boolean> => Promise.resolve(false) };
  const network = new MemoryNetwork({ clock, seed: 7, ...options });
  const faults: unknown[] = [];
  const nodes = Array.from({ length: size }, (_, i): ClaimNode => {
    const connection = network.connect();
    const own: Clock = i > 0 ? connection.clock : {
      now: () => connection.clock.now() + wall.slept,
      monotonic: () => connection.clock.monotonic(),
      after: (ms, callback, background) => connection.clock.after(ms, callback, background),
      soon: (callback) => connection.clock.soon(callback),
    };
    const lost: CatgaError[] = [];
    const store = new IdempotencyStore({
      bucket: () => connection.store.open("claims"),
      clock: own,
      random: network.random,
      endpoint: `n${i}.nonce`,
      liveness: { gone: (endpoint) => gone.of(endpoint) },
      maxPayload: () => 1_048_576,
      observer: (seen) => faults.push(seen),
    });
    const lossRecorder = { lost: (reason: CatgaError) => void lost.push(reason) };
    const guard: ClaimNode["guard"] = (id, run, differs) =>
      store.guard(claimant(own, id, { ...lossRecorder, ...differs }), run);
    return { connection, store, lost, guard };
  });
  return { clock, network, nodes, faults, wall, gone };
}

/**
 * Loses the answers of the next `calls` calls of a bucket's method: each call is made, but rejects. `instead`: replaces
 * this behaviour; its argument `make` makes the call.
 */
export function loseNext(
  method: "create" | "update" | "delete" | "get",
  { connection }: ClaimNode,
  instead: (make: () => Promise<unknown>) => Promise<unknown> = async (make) => {
    await make();
    throw new CatgaError("UNAVAILABLE", "the acknowledgement was lost", { retryable: true });
  },
  calls = 1,
): void {
  const { store } = connection;
  const open = store.open.bind(store);
  Object.assign(connection, {
    store: {
      async open(name: string) {
        const bucket = await open(name);
        let left = calls;
        return interceptedBucket(
          bucket,
          async (wanted, _, make) => await (wanted === method && left-- > 0 ? instead(make) : make()),
        );
      },
    },
  });
}
