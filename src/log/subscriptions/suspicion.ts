/**
 * Finds the message that ended the process that ran it. When a leader's process crashes, each message that it may
 * have begun is suspected. Until all suspects have had an outcome, a message begins only after a commit that names
 * it; so the next leader knows which messages ran at a crash. It hands them out in smaller and smaller groups, each a
 * 16th of the last, until one runs alone: 256, 16, 1.
 */
import type { Doubt } from "../format/commit.ts";
import type { Item } from "./category.ts";

/** A group of suspected messages: one of them may end the process that runs it. */
interface SuspectGroup {
  /** Number of messages of the group that may run at once. */
  size: number;
  readonly ids: Set<string>;
  /** Endpoint of the process that ran the group's messages and ended. */
  readonly endpoint?: string;
  /** The only message that ran in the process at `endpoint`; `undefined`: several messages ran in it. */
  alone?: Item | undefined;
  /**
   * Time in ms from its beginning for which a message of the group keeps further messages from beginning; set only for
   * the group of all messages that were open at a crash. Absent: {@link MOMENT} ms or more.
   */
  readonly moment?: number;
}

/** State in which the last leader left the subscription, and the runs that nodes report to the new leader. */
export interface LastEnd {
  /** Id of the live node that runs a message, by the message's id. */
  readonly running: ReadonlyMap<string, string>;
  /** Ids of messages whose runs at live nodes have ended in the last seconds. */
  readonly ended: ReadonlySet<string>;
  /** True if the last leader's process has crashed, or does not answer. */
  readonly unclean: boolean;
  /** Position of the end of the log when the new leader took over. */
  readonly end: number;
}

/** The messages of a subscription that its leader suspects of ending the process that runs them. */
export class Suspicion {
  /** Position up to which the last leader may have begun messages before its process ended. */
  #upTo: number;
  readonly #groups: SuspectGroup[] = [];
  /**
   * Messages that have begun, or begin with the next commit, each with the time of its beginning by the leader's clock.
   */
  readonly #begun = new Map<Item, number>();
  /** Messages that the last leader may have begun and that have had no outcome yet. */
  readonly #suspects = new Set<Item>();
  /** Greatest number of messages that were suspected at once. */
  #most = 0;
  /** Time since which messages that are ready wait for their turn, by the leader's clock; `undefined`: none does. */
  #waitsSince: number | undefined;
  /** Number of suspected messages that may still be added. */
  #left = MAX_BEGUN_BEHIND_COMMIT;
  /** The message that ran alone when the last leader's process ended; `undefined`: several messages ran, or none. */
  alone: Item | undefined = undefined;

  /** `upTo`: position up to which messages may have been begun before the crash. `begun`: messages that run now. */
  constructor(upTo: number, begun: Iterable<Item> = []) {
    this.#upTo = upTo;
    for (const item of begun) this.#begun.set(item, -Infinity);
  }

  /** The suspected messages, in the form that commits record. */
  get stored(): Doubt {
    return {
      upTo: this.#upTo,
      groups: this.#unexplained.flatMap(({ size, ids, moment }) => {
        return moment === undefined ? [{ size, ids: [...ids] }] : [];
      }),
      begun: [...this.#begun.keys()].map(({ id }) => id),
    };
  }

  /**
   * Makes the suspicion of a new leader: it has the suspects that the last leader's commit records (`before`), and,
   * after a crash, the messages that the last leader may have begun. `undefined`: there are no suspects. `items`:
   * messages that the last leader may have begun.
   */
  static after(
    before: Doubt | undefined,
    { running, ended, unclean, end }: LastEnd,
    items: readonly Item[],
  ): Suspicion | undefined {
    if (before === undefined && !unclean) return undefined;
    const made = new Suspicion(before?.upTo ?? end);
    const known = new Map(items.map((item) => [item.id, item]));
    // while the last leader's process lives, no message has ended it
    const begun = unclean ? (before?.begun ?? []).filter((id) => !running.has(id) && known.has(id)) : [];
    const groups = before?.groups ?? [];
    // the newest groups are left out if all of their messages have had an outcome, so that they are not counted
    const newest = groups.findIndex(({ ids }) => ids.length > 0);
    for (const { size, ids } of newest < 0 ? [] : groups.slice(newest)) {
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

  /** Adds a message that was read now, if its position says that the last leader may have begun it. */
  arrived(item: Item): void {
    if (item.position > this.#upTo) return;
    this.#suspects.add(item);
    if (--this.#left === 0) this.#upTo = 0;
  }

  /**
   * Suspects no message read from now on. Call when all messages have been read that the log had when the new leader
   * began to read.
   */
  caughtUp(): void {
    this.#upTo = 0;
  }

  /**
   * Records that the process at this endpoint ended while it ran this message. Returns true if that counts as an
   * attempt, because no other message is known to have run there. When a second message becomes known that ran there,
   * the first is passed to `spare`: its attempt no longer counts.
   */
  processEnded(item: Item, endpoint: string, spare: (item: Item) => void): boolean {
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
   * Divides the messages that are ready to run: `begins` begin with the next commit, `later` wait. A message that runs
   * keeps others waiting for a limited time, so that slow handlers do not hold a subscription up for hours; the time
   * becomes longer with each process that ends while it runs suspected messages. `pause`: time in ms after which the
   * message that began first keeps no others waiting.
   */
  choose(ready: readonly Item[], now: number): {
    readonly begins: readonly Item[];
    readonly later: readonly Item[];
    readonly pause: number;
  } {
    this.#most = Math.max(this.#most, this.#suspects.size);
    const grown = MOMENT * 4 ** Math.min(8, Math.max(0, this.#ends - 3));
    const since = (ms: number) => [...this.#begun].flatMap(([item, at]) => now - at < ms ? [item] : []);
    // only messages of one group run at a time, so that a crash is known to be due to a message of that group
    const group = this.#groups.find(({ ids, moment = grown }) => {
      return ids.size > 0 && (ready.some(({ id }) => ids.has(id)) || since(moment).some(({ id }) => ids.has(id)));
    });
    const moment = group === undefined ? FIRST_MOMENT : group.moment ?? grown;
    const recent = since(moment);
    const isFree = group === undefined || recent.every(({ id }) => group.ids.has(id));
    const others = this.#suspects.size === 0
      ? MAX_CONCURRENT
      : Math.min(MAX_CONCURRENT, Math.ceil(this.#most / FIRST_PART));
    const turns = group === undefined || group.moment !== undefined ? this.#turnsSince(now, moment) : 1;
    const most = isFree ? Math.min(MAX_CONCURRENT, (group?.size ?? others) * turns) : 0;
    const [begins, later]: Item[][] = [[], []];
    // `#begun` has each of these messages
    const oldest = Math.min(now, ...recent.map((item) => this.#begun.get(item)!));
    for (const item of ready) {
      if (recent.length + begins.length >= most || (group !== undefined && !group.ids.has(item.id))) later.push(item);
      else {
        this.#begun.set(item, now);
        begins.push(item);
        // its handler gets the number of the attempt: that is not taken back any more
        for (const each of this.#groups) if (each.alone === item) each.alone = undefined;
      }
    }
    this.#waitsSince = later.length === 0 ? undefined : begins.length > 0 ? now : this.#waitsSince ?? now;
    return { begins, later, pause: oldest + moment - now };
  }

  /**
   * Number of processes that have ended, up to the newest end that is not explained: one whose group has a message
   * without an outcome. Older ends of leaders are counted although their groups may be empty: a message that ends one
   * process after the other has moved from their groups to the newest.
   */
  get #ends(): number {
    const groups = this.#unexplained;
    const newest = groups.findIndex(({ ids }) => ids.size > 0);
    return newest < 0 ? 0 : groups.length - newest;
  }

  /**
   * The groups without those of nodes' processes whose messages have all had an outcome: a message stays in such a
   * group until then, also if it ends another process.
   */
  get #unexplained(): readonly SuspectGroup[] {
    return this.#groups.filter(({ endpoint, ids }) => endpoint === undefined || ids.size > 0);
  }

  /**
   * Returns the number of turns of `moment` ms that have passed while messages waited, 1 to {@link PART}. Messages
   * begin with a commit: with a store that takes longer than a turn for it, those of several turns begin together, so
   * that 64 messages do not wait for 64 commits. If their process ends, it takes one more process to find the message.
   */
  #turnsSince(now: number, moment: number): number {
    if (this.#waitsSince === undefined) return 1;
    return Math.max(1, Math.min(PART, Math.floor((now - this.#waitsSince) / moment)));
  }

  /** Records that a message does not run any more. */
  stopped(item: Item): void {
    this.#begun.delete(item);
  }

  /** Ends the suspicion of a message that has had an outcome, or cannot run now. */
  cleared(item: Item): void {
    this.#suspects.delete(item);
    for (const { ids } of this.#groups) ids.delete(item.id);
  }

  /**
   * Returns true if all suspects have had an outcome. `read`: position up to which the new leader has read messages.
   */
  isOver(read: number): boolean {
    return this.#suspects.size === 0 && read >= this.#upTo && this.#groups.every(({ ids }) => ids.size === 0);
  }
}

/**
 * Divisor of a group's size: a 16th of a group runs at once, so the message that ends its process is found in the
 * steps 256, 16, 1.
 */
const PART = 16;
/**
 * Divisor for the group of all messages that were open at a crash: a 64th runs at once, because it is unknown which
 * of them ran; of 64 or fewer each runs alone.
 */
const FIRST_PART = 64;
/** Maximum number of messages that the last leader may have begun behind its last commit. */
const MAX_BEGUN_BEHIND_COMMIT = 9_000;
/**
 * Shortest and longest time for which a message of the first group keeps others waiting, and approximate time for the
 * whole group, in ms.
 */
const [FIRST_MOMENT, LONGEST_MOMENT, ALTOGETHER] = [32, 500, 2_000];
const MOMENT = 375;
/** Maximum number of messages that run at once while there are suspects. */
const MAX_CONCURRENT = 256;
