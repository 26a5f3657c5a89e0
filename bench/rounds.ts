/**
 * Rounds that alternate: in each, everybody plays once, one after the other, and who begins changes, so that what the machine
 * does meanwhile falls on all alike.
 *
 * @module
 */

/** Somebody who is measured. */
export interface Player<Outcome> {
  readonly name: string;
  /** Plays one round. */
  play(): Promise<Outcome>;
}

/** What everybody's rounds came to, by name. Rejects when one of them rejects. */
export async function alternate<Outcome>(
  players: readonly Player<Outcome>[],
  rounds: number,
): Promise<Map<string, Outcome[]>> {
  const outcomes = new Map(players.map(({ name }) => [name, [] as Outcome[]]));
  for (let round = 0; round < rounds; round++) {
    for (const { name, play } of round % 2 === 0 ? players : players.toReversed()) {
      outcomes.get(name)!.push(await play());
    }
  }
  return outcomes;
}
