/**
 * Idempotent commands whose handler blocks the event loop of its process, as one that computes does: with whole apps in
 * memory, on virtual time.
 */
import { assert, assertEquals } from "@std/assert";
import { describe, it } from "node:test";
import { BEFORE_RELEASE } from "../../../test/support/before_release.ts";
import { MemoryCluster } from "../../../test/support/memory_cluster.ts";
import { ofThisRuntime } from "../../../test/support/of_this_runtime.ts";
import { command } from "../../contract/declaration/definition.ts";
import { delay } from "../../ports/clock.ts";

const Compute = command<void, string>("Compute", { idempotent: true });

/** A command whose handler blocks each process in which it runs for `block` ms, then returns. */
interface Scene {
  readonly nodes: number;
  readonly block: number;
  readonly timeout: number;
  /** Time that the handler takes behind its block, in ms: what waits for the process goes on in that time. */
  readonly after: number;
}

/** Plays a scene: a sender repeats the command until it has a result, and once everybody has gone on. */
async function play({ nodes, block, timeout, after }: Scene) {
  await using cluster = new MemoryCluster();
  const { clock, network } = cluster;
  /** The runs: their fencing tokens, in order. */
  const runs: number[] = [];
  const handlers = Compute.handle(async (_, { node, fence = 0 }) => {
    const n = runs.push(fence);
    network.pause(node);
    clock.after(block, () => network.resume(node));
    await delay(network.clockOf(node), after);
    return `result of run ${n}`;
  });
  for (let i = 1; i <= nodes; i++) await cluster.start(`n${i}`, { handlers });
  const client = await cluster.start("client", { handlers: [] });
  await clock.advance(3_000);
  const send = async () => {
    const sent = await clock.until(client.send(Compute, undefined, { id: "one", timeout }), timeout + 10_000);
    return sent.ok ? sent.value : sent.error.code;
  };
  const began = clock.monotonic();
  let first = await send();
  while (!first.startsWith("result") && clock.monotonic() - began < 4 * block + 60_000) {
    await clock.advance(500);
    first = await send();
  }
  const took = clock.monotonic() - began;
  await clock.advance(2 * block + 60_000);
  return { first, took, runs, later: await send() };
}

/** Longest pause of a process during which no other attempt runs, in ms, as docs/state.md promises. */
const MAX_PAUSE = 15_000;
/** Time to live of a claim in the store, in ms. */
const LEASE = 20_000;
/** Time of a sender between its tries, and of the detection of a node that goes on, in ms. */
const SLACK = 3_000;
/** Durations of a block, in ms. */
const BLOCKS = BEFORE_RELEASE
  ? [1_000, 7_000, 14_000, 20_000, 25_000, 30_000, 45_000, 60_000]
  : [7_000, 14_000, 20_000, 30_000, 60_000];
/** In each runtime each block. */
const CELLS = ofThisRuntime(
  BLOCKS.flatMap((block) =>
    [1, 2, 4].flatMap((nodes) => [2_000, 25_000, 90_000].map((timeout) => ({ block, nodes, timeout })))
  ),
);

describe("an idempotent command whose handler blocks its process", () => {
  for (const after of [0, 600]) {
    it(`has the result of its first run as soon as that process goes on, if it needs ${after} ms more`, async () => {
      for (const cell of CELLS) {
        const { first, took, runs, later } = await play({ ...cell, after });
        const { block, nodes } = cell;
        const said = JSON.stringify({ ...cell, first, took, runs, later });
        assertEquals([first, later], ["result of run 1", "result of run 1"], said);
        assert(took <= block + after + SLACK, said);
        // while a process stands for longer than a claim lives, each other one may begin a run, and none a second one
        assert(runs.length <= (block <= MAX_PAUSE ? 1 : Math.min(nodes, 1 + Math.ceil(block / LEASE))), said);
        assert(runs.every((fence, i) => i === 0 || fence > runs[i - 1]), said);
      }
    });
  }
});
