/** A program with a mistake that people really make, and the right one beside it: `explore` tells them apart. */
import type { ExploreOptions } from "@catga/catga/testing";

/** A wrong program and the right one, with one workload and one check. `World`: what is outside of the cluster. */
export interface Mistake<World> {
  /** The mistake, as one would name it in a review. */
  readonly name: string;
  readonly wrong: ExploreOptions<World>;
  readonly right: ExploreOptions<World>;
}

/** Two programs that differ in these options alone. */
export function mistake<World>(
  name: string,
  common: Omit<ExploreOptions<World>, "handlers"> & Partial<Pick<ExploreOptions<World>, "handlers">>,
  wrong: Partial<ExploreOptions<World>>,
  right: Partial<ExploreOptions<World>>,
): Mistake<World> {
  return { name, wrong: { ...common, ...wrong }, right: { ...common, ...right } };
}
