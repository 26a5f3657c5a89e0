/** Replays and discards dead letters: stores requests, which the leaders of the subscriptions carry out. */
import type { DeadLetter } from "../../contract/calls/durable_messages.ts";
import type { CatgaError } from "../../error.ts";
import { changeEach } from "../../operate/change_each.ts";
import { chosenLetters } from "../../operate/chosen_letters.ts";
import { messageId } from "../../log/format/commit.ts";
import type { Letters } from "./letter_edit.ts";
import { readPlace, shownCause } from "../collecting/parked_views.ts";
import { shownText } from "../shown.ts";
import type { ChangeAnswer, LettersRequest } from "../view.ts";

/** Replays or discards dead letters. Errors of single letters are in the answer; rejects with all other errors. */
export async function settleLetters(
  administration: Letters,
  { do: what, letters, matching = {} }: LettersRequest,
): Promise<ChangeAnswer> {
  let [done, failed, error]: [number, number, string | undefined] = [0, 0, undefined];
  const settle = async (chosen: AsyncIterable<DeadLetter>) => {
    const some = await changed(changeEach(chosen, (letter) => letter[what]()));
    done += some.done;
    failed += some.failed;
    error ??= some.error;
  };
  if (letters === undefined) {
    await settle(chosenLetters(administration.deadLetters(), matching, { text: shownText, group: shownCause }));
    return { done, failed, error };
  }
  const places = letters.flatMap((place) => readPlace(place) ?? []);
  // the key is unambiguous, because the names of services contain no slash
  for (const own of Map.groupBy(places, ({ service, name }) => `${service}/${name}`).values()) {
    const [{ service, name: subscription }] = own;
    const ids = new Set(own.map(({ id }) => id));
    const found = administration.deadLetters({ service, subscription }, new Set(ids));
    const named = async function* () {
      for await (const letter of found) {
        if (ids.delete(messageId({ position: letter.position, time: letter.stored.getTime() }))) yield letter;
      }
    };
    await settle(named());
    failed += ids.size;
    if (ids.size > 0) error ??= "it is no dead letter any more";
  }
  const invalid = letters.filter((place) => readPlace(place) === undefined);
  failed += invalid.length;
  if (invalid.length > 0) error ??= `it is not the place of a dead letter: ${shownText(invalid[0], 100)}`;
  return { done, failed, error };
}

/** Counts changes that were made or failed, and resolves with the first error as the page shows it. */
export async function changed(
  changes: AsyncIterable<readonly [unknown, CatgaError | undefined]>,
): Promise<ChangeAnswer> {
  let [done, failed, error]: [number, number, string | undefined] = [0, 0, undefined];
  for await (const [, thrown] of changes) {
    if (thrown === undefined) done++;
    else {
      failed++;
      error ??= shownText(`${thrown.code}: ${thrown.message}`, 400);
    }
  }
  return { done, failed, error };
}
