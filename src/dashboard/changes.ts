/** Replays and discards dead letters: stores requests, which the leaders of the subscriptions carry out. */
import { isCatgaError } from "../error.ts";
import type { DeadLetter } from "../contract/kept.ts";
import type { Administration } from "../log/administration/administration.ts";
import { messageId } from "../log/format/commit.ts";
import { readPlace } from "./parked_views.ts";
import type { ChangeAnswer, ChangeRequest, LetterFilter } from "./view.ts";
import { shownText } from "./shown.ts";

/** Carries out a change: each letter by itself. Rejects with what is no error of a single letter. */
export async function carryOut(
  administration: Pick<Administration, "deadLetters">,
  { do: what, letters, matching = {} }: ChangeRequest,
): Promise<ChangeAnswer> {
  let [done, failed, error]: [number, number, string | undefined] = [0, 0, undefined];
  const settle = async (letter: DeadLetter) => {
    try {
      await letter[what]();
      done++;
    } catch (thrown) {
      if (!isCatgaError(thrown)) throw thrown;
      failed++;
      error ??= shownText(`${thrown.code}: ${thrown.message}`, 400);
    }
  };
  if (letters === undefined) {
    for await (const letter of administration.deadLetters()) if (matches(letter, matching)) await settle(letter);
    return { done, failed, error };
  }
  const { chosen, invalid } = bySubscription(letters);
  for (const { service, subscription, ids } of chosen) {
    for await (const letter of administration.deadLetters({ service, subscription })) {
      const { position, publishedAt } = letter;
      if (ids.delete(messageId({ position, time: publishedAt.getTime() }))) await settle(letter);
    }
    failed += ids.size;
    if (ids.size > 0) error ??= "it is no dead letter any more";
  }
  failed += invalid.length;
  if (invalid.length > 0) error ??= `it is not the place of a dead letter: ${shownText(invalid[0], 100)}`;
  return { done, failed, error };
}

/** Whether the page shows a letter so. */
function matches(
  { service, subscription, contract, error: { code } }: DeadLetter,
  filter: LetterFilter,
): boolean {
  const shown = { service, subscription, contract, code };
  // of the names that `change_request.ts` lets through
  return (Object.keys(filter) as (keyof LetterFilter)[]).every((name) => shownText(shown[name]) === filter[name]);
}

interface Chosen {
  readonly service: string;
  readonly subscription: string;
  /** Identities of messages. */
  readonly ids: Set<string>;
}

/** The letters of each subscription, and the places that are none. */
function bySubscription(places: readonly string[]): { chosen: Iterable<Chosen>; invalid: readonly string[] } {
  const chosen = new Map<string, Chosen>();
  const invalid: string[] = [];
  for (const place of places) {
    const found = readPlace(place);
    if (found === undefined) {
      invalid.push(place);
      continue;
    }
    const { service, name: subscription, id } = found;
    const label = `${service}/${subscription}`; // a service has no slash
    const of = chosen.get(label) ?? { service, subscription, ids: new Set() };
    chosen.set(label, of);
    of.ids.add(id);
  }
  return { chosen: chosen.values(), invalid };
}
