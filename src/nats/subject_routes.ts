/** Finds the receivers of a message, by its subject and the receivers' filters. */
import { covers } from "./subject_filter.ts";

/** Receivers of messages, by their filter. */
export class SubjectRoutes<T> {
  readonly #literal = new Map<string, T[]>();
  readonly #wild: { readonly matches: (subject: string) => boolean; readonly receivers: T[] }[] = [];

  constructor(receivers: Iterable<{ readonly receiver: T; readonly filters: readonly string[] }>) {
    const wild = new Map<string, T[]>();
    for (const { receiver, filters } of receivers) {
      for (const filter of filters) {
        const to = /[*>]/.test(filter) ? wild : this.#literal;
        const known = to.get(filter);
        if (known === undefined) to.set(filter, [receiver]);
        else known.push(receiver);
      }
    }
    for (const [filter, receivers] of wild) this.#wild.push({ matches: matcher(filter), receivers });
  }

  /** Calls `callback` with each receiver that has a filter matching the subject; once for each such filter. */
  each(subject: string, callback: (receiver: T) => void): void {
    for (const receiver of this.#literal.get(subject) ?? []) callback(receiver);
    for (const { matches, receivers } of this.#wild) {
      if (matches(subject)) { for (const receiver of receivers) callback(receiver); }
    }
  }
}

/**
 * Returns a function that tests if a subject matches a pattern. Most patterns have their wildcard at the end, and are
 * tested without splitting the subject.
 */
function matcher(pattern: string): (subject: string) => boolean {
  const [, prefix, last] = /^([^*>]*)([*>])$/.exec(pattern) ?? [];
  if (prefix !== undefined && last === ">") {
    return (subject) => subject.length > prefix.length && subject.startsWith(prefix);
  }
  if (prefix !== undefined) {
    return (subject) =>
      subject.length > prefix.length && subject.startsWith(prefix) && subject.indexOf(".", prefix.length) < 0;
  }
  return (subject) => covers(pattern, subject);
}
