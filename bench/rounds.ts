/**
 * Rounds that alternate: in each, everybody plays once, one after the other, and who begins changes, so that what the
 * machine does meanwhile falls on all alike.
 *
 * @module
 */

/** Somebody who is measured. */
export interface Player<Outcome> {
  readonly name: string;
  /** Plays one round. */
  play(): Promise<Outcome>;
  /** Told what went wrong when a round failed; it is left out then. Without it the failure ends everybody's rounds. */
  readonly drop?: ((error: unknown) => void) | undefined;
}

/** What everybody's rounds came to, by name: nothing for who was left out. Rejects when one of the others rejects. */
export async function alternate<Outcome>(
  players: readonly Player<Outcome>[],
  rounds: number,
): Promise<Map<string, Outcome[]>> {
  const outcomes = new Map(players.map(({ name }) => [name, [] as Outcome[]]));
  let playing = [...players];
  for (let round = 0; round < rounds; round++) {
    for (const player of round % 2 === 0 ? playing : playing.toReversed()) {
      try {
        outcomes.get(player.name)!.push(await player.play());
      } catch (error) {
        if (player.drop === undefined) throw error;
        player.drop(error);
        outcomes.set(player.name, []);
        playing = playing.filter((other) => other !== player);
      }
    }
  }
  return outcomes;
}
