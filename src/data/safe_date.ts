/** Dates of times that anybody may have written: each number of ms has one. */

/** The date of a time in ms since 1970; the latest that there is for a later one. */
export function dateOf(ms: number): Date {
  return new Date(Math.min(ms, LATEST_DATE));
}

const LATEST_DATE = 8.64e15;
