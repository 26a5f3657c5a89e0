/**
 * Garbage in a subscription's store: commits, requests and parked messages that a later commit has made unnecessary.
 * Garbage is erased once the store can no longer lose that commit, and only right after its leader has stored another
 * commit, which proves that it still leads: a leader that another one has replaced could erase messages that its
 * successor needs.
 */
import type { SubscriptionStore } from "./store.ts";

/** Messages of the store that a new commit makes unnecessary. */
export interface Replaced {
  /** Sequence before which commits are no longer needed. */
  readonly base: number;
  /** Sequence up to which the leader has carried out requests. */
  readonly requests: number;
  /** Ids of messages that are no longer parked (in the store), because they were handled or discarded. */
  readonly ended: readonly string[];
  /** Ids of messages that are parked (in the store until their next attempt, or dead). */
  readonly parked: { readonly size: number; has(id: string): boolean };
}

/**
 * Collects what a subscription's leader no longer needs in the store (old commits, requests, parked messages), and
 * erases it later.
 */
export class Garbage {
  readonly #store: SubscriptionStore;
  /**
   * Sequences before which commits are garbage, each with the time at which it was added, by the monotonic clock; the
   * oldest first.
   */
  #commits: [before: number, at: number][] = [];
  #requests: [upTo: number, at: number][] = [];
  readonly #messages = new Map<string, number>();
  #busy = false;

  constructor(store: SubscriptionStore) {
    this.#store = store;
  }

  /** Adds messages that a new leader has found in the store although the commits do not list them as parked. */
  found(ids: Iterable<string>, now: number): void {
    for (const id of ids) this.#messages.set(id, now);
  }

  /**
   * Adds what a commit that was stored has made unnecessary. `progress`: true if the commit has changes; false if it
   * was written only to erase garbage.
   */
  stored({ base, requests, ended, parked }: Replaced, now: number, progress: boolean): void {
    if (progress && (this.#commits.at(-1)?.[0] ?? 0) < base) push(this.#commits, base, now);
    if ((this.#requests.at(-1)?.[0] ?? 0) < requests) push(this.#requests, requests, now);
    for (const id of ended) this.#messages.set(id, now);
    if (parked.size > 0) { for (const id of this.#messages.keys()) if (parked.has(id)) this.#messages.delete(id); }
  }

  /**
   * Forgets the garbage listed so far, which is then not erased: it may be needed again, and sequences are reused.
   * Call when the store has lost its last messages.
   */
  forget(): void {
    this.#commits = [];
    this.#requests = [];
    this.#messages.clear();
  }

  /** Returns true if some garbage is old enough to be erased. */
  due(now: number): boolean {
    const isOld = (at: number | undefined) => at !== undefined && now - at > OLD;
    const [message] = this.#messages.values();
    return isOld(this.#commits[0]?.[1]) || isOld(message) || isOld(this.#requests[0]?.[1]);
  }

  /**
   * Erases garbage that is old enough, a limited amount at a time. Rejects like the store; the next call tries again.
   */
  async erase(now: number): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      const commits = takeOld(this.#commits, now);
      if (commits !== undefined) await this.#store.eraseCommits(commits);
      const requests = takeOld(this.#requests, now);
      if (requests !== undefined) await this.#store.eraseRequests(requests);
      let left = MAX_BATCH;
      for (const [id, at] of this.#messages) {
        if (now - at <= OLD || left-- === 0) break;
        await this.#store.eraseMessage(id);
        if (this.#messages.get(id) === at) this.#messages.delete(id);
      }
    } finally {
      this.#busy = false;
    }
  }
}

/** Adds a sequence and its time to a list; entries of the same second are merged, to keep the list short. */
function push(list: [number, number][], value: number, now: number): void {
  const before = list.at(-2);
  if (before !== undefined && now - before[1] < SECOND) list[list.length - 1] = [value, now];
  else list.push([value, now]);
}

/** Removes all entries that are old enough to be erased. Returns the value of the last one. */
function takeOld(list: [number, number][], now: number): number | undefined {
  const count = list.findLastIndex(([, at]) => now - at > OLD) + 1;
  return list.splice(0, count).at(-1)?.[0];
}

/** Time for which garbage is kept, in ms: a single server may lose what it has stored in the last 2 minutes. */
const OLD = 180_000;
const SECOND = 1_000; // ms
const MAX_BATCH = 256;
