/** The order of texts by their UTF-16 code units, the same on every machine. */

/** Compares two texts for a sort by two or more members: negative if `a` comes first, 0 if they are equal. */
export function compareTexts(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
