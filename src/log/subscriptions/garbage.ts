/**
 * Garbage in a subscription's store: what is no longer needed. It is erased when the store cannot lose any more what
 * took its place, and by a leader whose commit was stored just now: another one may need it.
 */
import type { SubscriptionStore } from "./store.ts";

/** Messages that a commit makes needless. */
export interface Replaced {
  /** Commits before this sequence are no longer needed. */
  readonly base: number;
  /** Requests up to this sequence are carried out. */
  readonly requests: number;
  /** Messages that are parked no longer, and those that are. */
  readonly ended: readonly string[];
  readonly parked: ReadonlyMap<string, unknown>;
}

/** The garbage of one leader. */
export class Garbage {
  readonly #store: SubscriptionStore;
  /** In the order in which they were added, with the time since when, by the monotonic clock. */
  #commits: [before: number, at: number][] = [];
  #requests: [upTo: number, at: number][] = [];
  readonly #messages = new Map<string, number>();
  #busy = false;

  constructor(store: SubscriptionStore) {
    this.#store = store;
  }

  /** Messages of which a new leader finds something, but not that they are parked. */
  found(ids: Iterable<string>, now: number): void {
    for (const id of ids) this.#messages.set(id, now);
  }

  /** A commit is stored. `progress`: it is one of its own right, not there to have something erased. */
  stored({ base, requests, ended, parked }: Replaced, now: number, progress: boolean): void {
    if (progress && (this.#commits.at(-1)?.[0] ?? 0) < base) push(this.#commits, base, now);
    if ((this.#requests.at(-1)?.[0] ?? 0) < requests) push(this.#requests, requests, now);
    for (const id of ended) this.#messages.set(id, now);
    if (parked.size > 0) { for (const id of this.#messages.keys()) if (parked.has(id)) this.#messages.delete(id); }
  }

  /** The store has lost its end: what was there is needed again, and sequences come again. */
  forget(): void {
    this.#commits = [];
    this.#requests = [];
    this.#messages.clear();
  }

  /** Returns true if something can be erased. */
  due(now: number): boolean {
    const isOld = (at: number | undefined) => at !== undefined && now - at > OLD;
    const [message] = this.#messages.values();
    return isOld(this.#commits[0]?.[1]) || isOld(message) || isOld(this.#requests[0]?.[1]);
  }

  /** Erases what is old enough, some at a time. Rejects as the store does: it is done again then. */
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

/** Adds one, at most one each second: else there would be thousands. */
function push(list: [number, number][], value: number, now: number): void {
  const before = list.at(-2);
  if (before !== undefined && now - before[1] < SECOND) list[list.length - 1] = [value, now];
  else list.push([value, now]);
}

/** The last value that is old, which is removed with those before it. */
function takeOld(list: [number, number][], now: number): number | undefined {
  const count = list.findLastIndex(([, at]) => now - at > OLD) + 1;
  return list.splice(0, count).at(-1)?.[0];
}

/** How long garbage stays, in ms: a server on its own may lose what it stored in the last 2 minutes. */
const OLD = 180_000;
const SECOND = 1_000; // ms
const MAX_BATCH = 256;
