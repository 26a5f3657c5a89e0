/**
 * Stores values (subscriptions) by subject pattern, in a tree with one level for each token. Finding the subscribers
 * of a message costs as much as its subject has tokens, however many subscriptions there are.
 */

interface Branch<T> {
  readonly values: Set<T>;
  readonly next: Map<string, Branch<T>>;
}

/** Values under subject patterns: `*` stands for one token, `>` at the end for one or more. */
export class SubjectTrie<T> {
  readonly #root: Branch<T> = branch();

  /** Adds a value under a pattern. */
  add(pattern: string, value: T): void {
    let at = this.#root;
    for (const token of pattern.split(".")) {
      let next = at.next.get(token);
      if (!next) at.next.set(token, next = branch());
      at = next;
    }
    at.values.add(value);
  }

  /** Removes a value from under a pattern, and removes branches of the tree that are empty then. */
  delete(pattern: string, value: T): void {
    prune(this.#root, pattern.split("."), 0, value);
  }

  /** Returns the values whose patterns match a subject. */
  match(subject: string): T[] {
    const found: T[] = [];
    gather(this.#root, subject.split("."), 0, found);
    return found;
  }
}

function branch<T>(): Branch<T> {
  return { values: new Set(), next: new Map() };
}

function prune<T>(at: Branch<T>, tokens: readonly string[], depth: number, value: T): void {
  if (depth === tokens.length) {
    at.values.delete(value);
    return;
  }
  const next = at.next.get(tokens[depth]);
  if (!next) return;
  prune(next, tokens, depth + 1, value);
  if (next.values.size === 0 && next.next.size === 0) at.next.delete(tokens[depth]);
}

function gather<T>(at: Branch<T>, tokens: readonly string[], depth: number, found: T[]): void {
  if (depth === tokens.length) {
    found.push(...at.values);
    return;
  }
  const rest = at.next.get(">");
  if (rest) found.push(...rest.values);
  const any = at.next.get("*");
  if (any) gather(any, tokens, depth + 1, found);
  const token = tokens[depth];
  // published subjects have no tokens "*" and ">", so this never takes the branch of a wildcard
  const next = at.next.get(token);
  if (next) gather(next, tokens, depth + 1, found);
}
