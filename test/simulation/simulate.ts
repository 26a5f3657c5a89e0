/**
 * Runs the simulation of one seed, or of several, and prints what happened: `deno run -A test/simulation/simulate.ts
 * 42` or `bun test/simulation/simulate.ts 42`; `0..999` are many seeds, of which only the violations are printed.
 *
 * @module
 */
import process from "node:process";
import { simulate } from "./simulation.ts";

const [first, last] = (process.argv[2] ?? "").split("..").map(Number);
if (!Number.isSafeInteger(first) || (last !== undefined && !Number.isSafeInteger(last))) {
  console.error("which seed? deno run -A test/simulation/simulate.ts 42, or 0..999");
  process.exit(2);
}
let wrong = 0;
for (let seed = first; seed <= (last ?? first); seed++) {
  const { violations, trace } = await simulate(seed, { trace: last === undefined });
  for (const line of trace) console.log(line);
  for (const violation of violations) console.log(`seed ${seed}: ${violation}`);
  if (violations.length > 0) wrong++;
}
console.log(wrong === 0 ? "nothing went wrong" : `${wrong} seed(s) went wrong`);
process.exit(wrong === 0 ? 0 : 1);
