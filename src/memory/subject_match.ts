/** Matches NATS subjects with patterns: `*` stands for one token, `>` at the end for one or more. */

/** Subjects that a reader reads. */
export interface SubjectFilter {
  readonly patterns: readonly string[];
  /** Returns true if a subject matches one of the patterns. */
  matches(subject: string): boolean;
}

/** Makes the filter of these patterns. */
export function subjectFilter(patterns: readonly string[]): SubjectFilter {
  return { patterns, matches: matcher(patterns) };
}

/** Returns a function that returns true for subjects that match one of the patterns. */
export function matcher(patterns: readonly string[]): (subject: string) => boolean {
  const literal = new Set(patterns.filter((pattern) => !isPattern(pattern)));
  const wild = patterns.filter(isPattern);
  const isPrefix = (pattern: string) => /^[^*>]+\.>$/.test(pattern);
  const prefixes = wild.filter(isPrefix).map((pattern) => pattern.slice(0, -1));
  const rest = wild.filter((pattern) => !isPrefix(pattern)).map((pattern) => pattern.split("."));
  return (subject) => {
    if (literal.has(subject) || prefixes.some((prefix) => subject.startsWith(prefix))) return true;
    if (rest.length === 0) return false;
    const tokens = subject.split(".");
    return rest.some((pattern) => fits(pattern, tokens));
  };
}

/** Returns true if a text is a pattern: a subject with a wildcard. */
export function isPattern(subject: string): boolean {
  return /(?:^|\.)[*>](?:\.|$)/.test(subject);
}

/** Returns true if there is a subject that matches both patterns. */
export function overlap(one: string, other: string): boolean {
  const [a, b] = [one.split("."), other.split(".")];
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a[i] === ">" || b[i] === ">") return true;
    if (a[i] !== "*" && b[i] !== "*" && a[i] !== b[i]) return false;
  }
  return a.length === b.length;
}

function fits(pattern: readonly string[], tokens: readonly string[]): boolean {
  for (let i = 0; i < pattern.length; i++) {
    if (pattern[i] === ">") return tokens.length > i;
    if (i >= tokens.length || (pattern[i] !== "*" && pattern[i] !== tokens[i])) return false;
  }
  return pattern.length === tokens.length;
}
