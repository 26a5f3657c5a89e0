/**
 * Edits a dead letter: shows its payload as JSON, with hidden characters visible, and requests that it is handled
 * with another payload. The node that handles it checks the payload by the contract's schema, as it does for any
 * message.
 */
import type { DeadLetter } from "../../contract/calls/durable_messages.ts";
import { redactionOf } from "../../contract/declaration/redaction.ts";
import { decodeText, encodeValue } from "../../data/encoding.ts";
import { printableJson } from "../../data/printable.ts";
import { isTagged } from "../../data/tags.ts";
import type { Administration } from "../../log/administration/administration.ts";
import { readPlace } from "../collecting/parked_views.ts";
import type { EditRequest, LetterText } from "../view.ts";

export type Letters = Pick<Administration, "deadLetters">;

/**
 * Resolves with the payload of a dead letter; a string: why it cannot be edited; `undefined`: it is no longer a dead
 * letter. `place`: service, subscription and id of the letter, as text (`parked_views.ts`); `showSecrets`: true to edit
 * payloads with members that their contract hides, too.
 */
export async function letterText(
  administration: Letters,
  place: string,
  showSecrets = false,
): Promise<LetterText | string | undefined> {
  const letter = await letterAt(administration, place);
  if (letter === undefined) return undefined;
  if (!showSecrets && redactionOf(letter.headers, letter.contract) !== undefined) {
    return "its contract hides members of its payload: start the dashboard with --show-secrets to edit it";
  }
  let text: string;
  try {
    text = encodeValue(letter.payload ?? null, "payload");
  } catch (error) {
    return `its payload cannot be shown: ${(error as Error).message}`;
  }
  const tagged = isTagged(text);
  const payload = printableJson(JSON.parse(tagged ? text.slice(1) : text), 2) ?? "";
  return payload.length <= LONGEST_PAYLOAD
    ? { payload, tagged }
    : `its payload has more than ${LONGEST_PAYLOAD} characters`;
}

/**
 * Requests that a dead letter is handled again with another payload. Resolves with `undefined` when the request is
 * stored, or with the reason why it was refused. Rejects with a `CatgaError` if the request cannot be stored.
 */
export async function editLetter(
  administration: Letters,
  { letter: place, payload: text, tagged }: EditRequest,
): Promise<string | undefined> {
  let payload: unknown;
  try {
    payload = tagged ? decodeText(`~${text}`) : JSON.parse(text);
  } catch (error) {
    return `it is no payload: ${(error as Error).message}`;
  }
  const letter = await letterAt(administration, place);
  if (letter === undefined) return "it is no dead letter any more";
  await letter.replay({ payload });
  return undefined;
}

async function letterAt(administration: Letters, place: string): Promise<DeadLetter | undefined> {
  const found = readPlace(place);
  if (found === undefined) return undefined;
  const { service, name: subscription, id } = found;
  for await (const letter of administration.deadLetters({ service, subscription }, new Set([id]))) return letter;
  return undefined;
}

/** Maximum length of an edited payload, in characters. */
const LONGEST_PAYLOAD = 200_000;
