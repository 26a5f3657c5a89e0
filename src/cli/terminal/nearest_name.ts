/** Finds the name that a mistyped word most likely means. */

/**
 * Returns the name that is nearest to the word by the number of letters to add, leave out, replace or swap: one of at
 * most a third of the word's letters (and one at least), or a name that begins with the word; `undefined`: none is.
 */
export function nearest(word: string, names: readonly string[]): string | undefined {
  const most = Math.max(1, Math.floor(word.length / 3));
  const ranked = names.map((name) => ({ name, changes: changesBetween(word.toLowerCase(), name) }))
    .sort((a, b) => a.changes - b.changes);
  const [first] = ranked;
  if (first !== undefined && first.changes <= most) return first.name;
  return word.length >= 2 ? names.find((name) => name.startsWith(word)) : undefined;
}

/** Number of letters to add, leave out, replace, or swap with their neighbour, to make one text of another. */
function changesBetween(from: string, to: string): number {
  // `rows[i][j]`: changes between the first `i` letters of `from` and the first `j` of `to`
  const rows = [Array.from({ length: to.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= from.length; i++) {
    const row = [i];
    for (let j = 1; j <= to.length; j++) {
      const same = from[i - 1] === to[j - 1] ? 0 : 1;
      let least = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + same);
      if (i > 1 && j > 1 && from[i - 1] === to[j - 2] && from[i - 2] === to[j - 1]) {
        least = Math.min(least, rows[i - 2][j - 2] + 1);
      }
      row.push(least);
    }
    rows.push(row);
  }
  return rows[from.length][to.length];
}
