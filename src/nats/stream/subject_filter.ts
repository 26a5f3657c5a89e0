/** Compares patterns of NATS subjects. */

/**
 * Returns the patterns that no other pattern of the list covers, without duplicates: filters of a consumer must not
 * overlap.
 */
export function distinctFilters(patterns: readonly string[]): readonly string[] {
  const once = [...new Set(patterns)];
  // a fast path: only patterns with wildcards cover others, and there may be thousands without
  const wide = once.filter((pattern) => /(?:^|\.)[*>](?:\.|$)/.test(pattern));
  return once.filter((pattern) => !wide.some((other) => other !== pattern && covers(other, pattern)));
}

/** Returns true if every subject that matches `pattern` matches `wider`. */
export function covers(wider: string, pattern: string): boolean {
  const wide = wider.split(".");
  const narrow = pattern.split(".");
  for (const [i, token] of wide.entries()) {
    if (token === ">") return narrow.length > i;
    if (i >= narrow.length || narrow[i] === ">") return false;
    if (token !== "*" && token !== narrow[i]) return false;
  }
  return wide.length === narrow.length;
}
