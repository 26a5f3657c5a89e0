/**
 * The command line of a simulation: `42` plays one seed, `0..99` each of these. It prints what went wrong; with `first`
 * no more than that of the first seed that went wrong, with `red` only which seeds did.
 *
 * @module
 */
import process from "node:process";

/** What came of a seed. */
interface Played<Sum extends string> {
  readonly violations: readonly string[];
  readonly sums: Readonly<Record<Sum, number>>;
}

/** Plays the seeds that the command line names. */
export async function playSeeds<Sum extends string>(
  simulate: (seed: number) => Played<Sum> | Promise<Played<Sum>>,
): Promise<void> {
  const [which = "0", mode] = process.argv.slice(2);
  const [from, to = from] = which.split("..").map(Number);
  const sums: Record<string, number> = {};
  const red: number[] = [];
  for (let seed = from; seed <= to; seed++) {
    const { violations, sums: own } = await simulate(seed);
    for (const [sum, count] of Object.entries<number>(own)) sums[sum] = (sums[sum] ?? 0) + count;
    if (violations.length === 0) continue;
    red.push(seed);
    if (mode === "red") continue;
    console.log(JSON.stringify({ seed, violations: violations.slice(0, 5) }));
    if (mode === "first") break;
  }
  console.log(JSON.stringify({ red: red.length, seeds: red.slice(0, 40), sums }));
}
