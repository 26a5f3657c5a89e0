/**
 * Dead letters that an operator chooses, by the command line or on the page. A cause means the same in both, as for
 * runs: a part of what was thrown; letters that failed alike are a group.
 *
 * @module
 */
import type { DeadLetter } from "../contract/calls/durable_messages.ts";

/** Chooses dead letters: those that all of its members fit. An absent member fits each letter. */
export interface LetterChoice {
  readonly service?: string | undefined;
  readonly subscription?: string | undefined;
  readonly contract?: string | undefined;
  /** Code of the error with which the last attempt failed. */
  readonly code?: string | undefined;
  /** A text that stands in what the handler threw, or in the message of the error. */
  readonly cause?: string | undefined;
  /** The whole text of a group of letters that failed alike, as {@link ShownLetters.group} gives it. */
  readonly group?: string | undefined;
}

/** How an operator is shown letters, by which they choose. */
export interface ShownLetters {
  /** Returns a name or a code as it is shown. */
  readonly text: (text: string) => string;
  /** Returns the text that letters with such errors share. */
  readonly group: (error: DeadLetter["error"]) => string;
}

/** As they are: for who chooses by words of their own. */
const AS_STORED: ShownLetters = { text: (text) => text, group: ({ message }) => message };

/** Yields the letters that a choice fits. */
export async function* chosenLetters(
  letters: AsyncIterable<DeadLetter>,
  { cause, group, ...names }: LetterChoice,
  shown: ShownLetters = AS_STORED,
): AsyncGenerator<DeadLetter> {
  for await (const letter of letters) {
    const { service, subscription, contract, error } = letter;
    const own = { service, subscription, contract, code: error.code };
    const isNamed = (Object.keys(own) as (keyof typeof own)[]).every((name) =>
      names[name] === undefined || names[name] === shown.text(own[name])
    );
    if (!isNamed || (cause !== undefined && !hasCause(error, cause))) continue;
    if (group === undefined || group === shown.group(error)) yield letter;
  }
}

function hasCause({ message, cause = "" }: DeadLetter["error"], text: string): boolean {
  return message.includes(text) || cause.includes(text);
}
