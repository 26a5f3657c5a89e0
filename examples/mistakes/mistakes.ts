/**
 * Fifteen programs with a mistake, each beside the right one.
 *
 *   deno run -A examples/mistakes/mistakes.ts 10000 lock
 *
 * runs `explore` on those whose name has the word: the seed that finds each wrong one, and the right ones over so many
 * seeds.
 */
import process from "node:process";
import { explore, ExploreError } from "@catga/catga/testing";
import { cacheAsTruth } from "./cache_as_truth.ts";
import { changedWithoutVersion } from "./changed_without_version.ts";
import { chargeNotIdempotent } from "./charge_not_idempotent.ts";
import { counterInMemory } from "./counter_in_memory.ts";
import { earlyAcknowledgement } from "./early_acknowledgement.ts";
import { effectBesideTheTransaction } from "./effect_beside_the_transaction.ts";
import { effectOutsideOfStep } from "./effect_outside_of_step.ts";
import { idRecordedEarly } from "./id_recorded_early.ts";
import { lockWithoutFence } from "./lock_without_fence.ts";
import type { Mistake } from "./mistake.ts";
import { positionOfAllKeys } from "./position_of_all_keys.ts";
import { publishBesideTheTransaction } from "./publish_beside_the_transaction.ts";
import { readModelThatSkips } from "./read_model_that_skips.ts";
import { readWaitWrite } from "./read_wait_write.ts";
import { retryAroundRetry } from "./retry_around_retry.ts";
import { undoBeforeTheEnd } from "./undo_before_the_end.ts";

/** Calls a function with each mistake. */
export function eachMistake<T>(use: <World>(mistake: Mistake<World>) => T): T[] {
  return [
    ...[use(counterInMemory), use(chargeNotIdempotent), use(effectOutsideOfStep), use(lockWithoutFence)],
    ...[use(readModelThatSkips), use(undoBeforeTheEnd), use(readWaitWrite), use(earlyAcknowledgement)],
    ...[use(changedWithoutVersion), use(positionOfAllKeys), use(cacheAsTruth), use(retryAroundRetry)],
    ...[use(effectBesideTheTransaction), use(idRecordedEarly), use(publishBesideTheTransaction)],
  ];
}

/** Resolves with the error of the first seed that finds the wrong program; `undefined`: none of them does. */
export async function findWrong<World>({ wrong }: Mistake<World>, seeds: number): Promise<ExploreError | undefined> {
  try {
    await explore({ ...wrong, seeds });
    return undefined;
  } catch (error) {
    if (error instanceof ExploreError) return error;
    throw error;
  }
}

async function report<World>(mistake: Mistake<World>, seeds: number): Promise<boolean> {
  const searched = performance.now();
  const found = await findWrong(mistake, 300);
  const seconds = ((performance.now() - searched) / 1_000).toFixed(1);
  console.log(`${mistake.name}: ${found === undefined ? "NOT FOUND" : `seed ${found.seed}: ${found.cause.message}`}`);
  if (found !== undefined) {
    console.log(`  found and shrunk in ${seconds} s, to ${found.message.split("\n").length} lines: ${found.replay}`);
  }
  const began = performance.now();
  const isRight = await explore({ ...mistake.right, seeds, shrink: 0 }).then(() => true, (error) => {
    if (!(error instanceof ExploreError)) throw error;
    console.log(`  RIGHT PROGRAM RED: seed ${error.seed}: ${error.cause.message}\n  ${error.replay}`);
    return false;
  });
  const perSeed = ((performance.now() - began) / seeds).toFixed(1);
  if (isRight) console.log(`  the right program is green over ${seeds} seeds, ${perSeed} ms each`);
  return isRight && found !== undefined;
}

if (import.meta.main) {
  const [seeds = "50", word = ""] = process.argv.slice(2);
  const all = eachMistake((mistake) => ({ name: mistake.name, run: () => report(mistake, Number(seeds)) }));
  const wanted = all.filter(({ name }) => name.includes(word));
  if (wanted.length === 0) {
    console.error(`no mistake has ${JSON.stringify(word)} in its name: ${all.map(({ name }) => name).join("; ")}`);
  }
  let isFine = wanted.length > 0;
  for (const { run } of wanted) isFine = await run() && isFine;
  process.exitCode = isFine ? 0 : 1;
}
