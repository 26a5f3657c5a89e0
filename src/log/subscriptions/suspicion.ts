/**
 * Suspicion: which message may have ended the process that ran it. When a leader ends without a word, each message that
 * it may have begun is suspected. Until all of them have had an outcome, what begins is committed first; so the next
 * leader knows what ran when this one ended, and hands out a 16th of that at a time, then one alone: 256, 16, 1.
 */
import type { Doubt } from "../format/commit.ts";
import type { Item } from "./category.ts";

/** Messages of which one may end the process that runs it. */
interface SuspectGroup {
  /** Number that may run at once. */
  size: number;
  readonly ids: Set<string>;
  /** The endpoint at which they ran when its process ended, and the one of them if there is only one. */
  readonly endpoint?: string;
  alone?: Item | undefined;
  /** For a group of all that was open: time for which one that begins keeps the others waiting, in ms. */
  readonly moment?: number;
}

/** Knowledge of how the last leader ended. */
export interface LastEnd {
  /** Ids that run at a live node, and which; and those that have ended there lately. */
  readonly running: ReadonlyMap<string, string>;
  readonly ended: ReadonlySet<string>;
  /** True if the last leader's process ended without a word, or is silent; and up to which position the log goes. */
  readonly unclean: boolean;
  readonly end: number;
}

/** The suspected messages of a subscription, in its leader. */
export class Suspicion {
  /** Positions up to this one may have been begun. */
  #upTo: number;
  readonly #groups: SuspectGroup[] = [];
  /** Items that have begun, or will with the next commit, and since when. */
  readonly #begun = new Map<Item, number>();
  /** Items that the last leader may have begun and that have had no outcome. */
  readonly #suspects = new Set<Item>();
  /** How many there were at once, and how many more there may be. */
  #most = 0;
  #left = MOST_READ;
  /** The one that ran alone when the last leader's process ended, if that is so. */
  alone: Item | undefined = undefined;

  /** `upTo`: positions up to this one may have been begun. `begun`: those that run. */
  constructor(upTo: number, begun: Iterable<Item> = []) {
    this.#upTo = upTo;
    for (const item of begun) this.#begun.set(item, -Infinity);
  }

  /** As it is stored. */
  get stored(): Doubt {
    return {
      upTo: this.#upTo,
      groups: this.#groups.flatMap(({ size, ids, moment }) => {
        return moment === undefined ? [{ size, ids: [...ids] }] : [];
      }),
      begun: [...this.#begun.keys()].map(({ id }) => id),
    };
  }

  /** The suspicion that the last leader has left in the store. `items`: messages that it may have begun. */
  static after(
    before: Doubt | undefined,
    { running, ended, unclean, end }: LastEnd,
    items: readonly Item[],
  ): Suspicion | undefined {
    if (before === undefined && !unclean) return undefined;
    const made = new Suspicion(before?.upTo ?? end);
    const known = new Map(items.map((item) => [item.id, item]));
    // a leader that goes on in its process has ended none
    const begun = unclean ? (before?.begun ?? []).filter((id) => !running.has(id) && known.has(id)) : [];
    for (const { size, ids } of before?.groups ?? []) {
      made.#groups.push({ size, ids: new Set(ids.filter((id) => !begun.includes(id) && known.has(id))) });
    }
    if (begun.length > 0) made.#groups.unshift({ size: Math.ceil(begun.length / PART), ids: new Set(begun) });
    for (const item of known.values()) made.#suspects.add(item);
    if (before === undefined && known.size > 0) {
      const size = Math.ceil(known.size / FIRST_PART);
      const moment = Math.max(FIRST_MOMENT, Math.min(LONGEST_MOMENT, ALTOGETHER * size / known.size));
      made.#groups.push({ size, ids: new Set(known.keys()), moment });
    }
    const [alone] = before?.begun.length === 1 ? begun : [];
    if (alone !== undefined && !ended.has(alone)) made.alone = known.get(alone);
    return made;
  }

  /** It is read now, and the last leader may have begun it. */
  arrived(item: Item): void {
    if (item.position > this.#upTo) return;
    this.#suspects.add(item);
    if (--this.#left === 0) this.#upTo = 0;
  }

  /** All that the log had when reading began was read. */
  caughtUp(): void {
    this.#upTo = 0;
  }

  /**
   * The process at this endpoint ended while it ran this message. Returns whether that is an attempt: nothing else is
   * known to have run there. One for which it was and is no longer is passed to `spare`.
   */
  vanished(item: Item, endpoint: string, spare: (item: Item) => void): boolean {
    let group = this.#groups.find((each) => each.endpoint === endpoint);
    const isFirst = group === undefined;
    if (group === undefined) this.#groups.unshift(group = { size: 1, ids: new Set(), endpoint, alone: item });
    else if (group.alone !== undefined) {
      spare(group.alone);
      group.alone = undefined;
    }
    group.ids.add(item.id);
    group.size = Math.ceil(group.ids.size / PART);
    return isFirst;
  }

  /**
   * Divides those that could run into those that do, with the next commit, and those that wait. One that has run for a
   * while keeps the others waiting no longer, so that slow handlers take hours for none; the while gets longer with
   * each process that ends all the same. `pause`: time until the first of those that run keeps none waiting, in ms.
   */
  choose(ready: readonly Item[], now: number): {
    readonly begins: readonly Item[];
    readonly later: readonly Item[];
    readonly pause: number;
  } {
    this.#most = Math.max(this.#most, this.#suspects.size);
    // each group is one of a process that ended
    const grown = MOMENT * 4 ** Math.min(8, Math.max(0, this.#groups.length - 3));
    const since = (ms: number) => [...this.#begun].flatMap(([item, at]) => now - at < ms ? [item] : []);
    // while some of a group run, nothing else does: so it is known which of them may end the process
    const group = this.#groups.find(({ ids, moment = grown }) => {
      return ids.size > 0 && (ready.some(({ id }) => ids.has(id)) || since(moment).some(({ id }) => ids.has(id)));
    });
    const moment = group === undefined ? FIRST_MOMENT : group.moment ?? grown;
    const recent = since(moment);
    const isFree = group === undefined || recent.every(({ id }) => group.ids.has(id));
    const others = this.#suspects.size === 0
      ? MAX_CONCURRENT
      : Math.min(MAX_CONCURRENT, Math.ceil(this.#most / FIRST_PART));
    const most = isFree ? group?.size ?? others : 0;
    const [begins, later]: Item[][] = [[], []];
    const oldest = Math.min(now, ...recent.map((item) => this.#begun.get(item)!)); // it has begun
    for (const item of ready) {
      if (recent.length + begins.length >= most || (group !== undefined && !group.ids.has(item.id))) later.push(item);
      else {
        this.#begun.set(item, now);
        begins.push(item);
      }
    }
    return { begins, later, pause: oldest + moment - now };
  }

  /** It runs no more. */
  stopped(item: Item): void {
    this.#begun.delete(item);
  }

  /** It has had an outcome, or cannot run now. */
  cleared(item: Item): void {
    this.#suspects.delete(item);
    for (const { ids } of this.#groups) ids.delete(item.id);
  }

  /** Returns true if all that is suspected has had an outcome. Positions up to `read` are read. */
  isOver(read: number): boolean {
    return this.#suspects.size === 0 && read >= this.#upTo && this.#groups.every(({ ids }) => ids.size === 0);
  }
}

/** The part of a group that runs at once: what ends its process is found in 256, 16, 1. */
const PART = 16;
/** The part of what is suspected first that runs at once, as nothing is known of what ran: of few each runs alone. */
const FIRST_PART = 64;
/** Number of messages that the last leader may have begun behind its last commit. */
const MOST_READ = 9_000;
/** Time for which an item that begins keeps others waiting, in ms: all of a group takes seconds. */
const [FIRST_MOMENT, LONGEST_MOMENT, ALTOGETHER] = [32, 500, 2_000];
const MOMENT = 375;
/** How many messages run at once while one of them may end its process. */
const MAX_CONCURRENT = 256;
