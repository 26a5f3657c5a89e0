/** Makes dates of times that any client may have written: for every number of ms the date is valid. */

/** Returns the date of a time in ms since 1970; the latest possible date for a later time. */
export function dateOf(ms: number): Date {
  return new Date(Math.min(ms, LATEST_DATE));
}

const LATEST_DATE = 8.64e15;
