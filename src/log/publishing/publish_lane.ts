/**
 * A queue of publications (messages to publish) with one subject, which keeps their order. Publications that wait are
 * sent together in one message of the stream, and the next such message is sent when that one is stored; publications
 * with ids of the program are sent one by one, several at once.
 */
import { Fifo } from "../../data/fifo.ts";
import { MAX_ITEMS_IN_GROUP } from "../format/group_text.ts";
import type { Publication } from "./publication.ts";
import { type LaneParts, PublicationGroup } from "./publication_group.ts";

/** A queue of publications with one subject. */
export class PublishLane {
  readonly #parts: LaneParts;
  readonly #idle: (() => void) | undefined;
  readonly #waiting = new Fifo<Publication>();
  /**
   * By key: publications that wait because a message with the same key, and with an id given by the program, is being
   * sent. A key has an entry only while such a message is being sent.
   */
  readonly #waitingByKey = new Map<string, Fifo<Publication>>();
  /** Number of publications in `#waiting` that have ended already. */
  #endedInQueue = 0;
  /** Maximum number of publications in a message; halved after a message was too large. */
  #maxItems = MAX_ITEMS_IN_GROUP;
  /** Number of messages that are being sent. */
  #underWay = 0;
  /** True if the messages being sent have ids given by the program. Several such messages may be sent at once. */
  #sendsSingles = false;

  /** `idle` is called whenever the queue has no publication left. */
  constructor(parts: LaneParts, idle?: () => void) {
    this.#parts = parts;
    this.#idle = idle;
  }

  /** Adds a publication. It is sent at once unless it must wait for an earlier one. */
  add(publication: Publication): void {
    this.#waiting.push(publication);
    this.#next();
  }

  /** Counts a waiting publication that has ended; ended publications are removed from the queue many at a time. */
  publicationEnded(): void {
    this.#endedInQueue++;
    if (this.#endedInQueue < 1_024) return;
    let waiting = this.#waiting.size;
    for (const { size } of this.#waitingByKey.values()) waiting += size;
    if (this.#endedInQueue * 2 < waiting) return;
    for (const queue of [this.#waiting, ...this.#waitingByKey.values()]) queue.keep((publication) => !publication.over);
    this.#endedInQueue = 0;
  }

  #next(): void {
    for (;;) {
      const next = this.#firstOf(this.#waiting);
      if (next === undefined) {
        if (this.#underWay === 0) this.#idle?.();
        return;
      }
      if (!isSingle(next)) {
        if (this.#underWay > 0) return;
        this.#beginGroup(this.#take());
        continue;
      }
      if (this.#underWay > 0 && !this.#sendsSingles) return;
      const behind = next.key === undefined ? undefined : this.#waitingByKey.get(next.key);
      if (behind === undefined && this.#underWay === MAX_CONCURRENT_MESSAGES) return;
      this.#waiting.shift();
      if (behind === undefined) this.#beginSingle(next);
      else behind.push(next);
    }
  }

  #beginGroup(publications: readonly Publication[]): void {
    this.#underWay++;
    const group = new PublicationGroup(this.#parts, publications, (how) => {
      this.#underWay--;
      if (how === "too large") this.#split(group);
      else this.#maxItems = Math.min(MAX_ITEMS_IN_GROUP, this.#maxItems * 2);
      this.#next();
    });
    group.begin();
  }

  #beginSingle(publication: Publication): void {
    this.#underWay++;
    this.#sendsSingles = true;
    const { key } = publication;
    if (key !== undefined && !this.#waitingByKey.has(key)) this.#waitingByKey.set(key, new Fifo());
    new PublicationGroup(this.#parts, [publication], () => {
      this.#underWay--;
      const behind = key === undefined ? undefined : this.#waitingByKey.get(key)!;
      const next = behind && this.#firstOf(behind);
      if (next === undefined) {
        if (key !== undefined) this.#waitingByKey.delete(key);
        if (this.#underWay === 0) this.#sendsSingles = false;
        this.#next();
      } else {
        behind!.shift();
        this.#beginSingle(next);
      }
    }).begin();
  }

  /** Returns the first publication of a queue that has not ended yet, and removes ended ones before it. */
  #firstOf(queue: Fifo<Publication>): Publication | undefined {
    for (;;) {
      const { first } = queue;
      if (first?.over !== true) return first;
      this.#endedInQueue--;
      queue.shift();
    }
  }

  /** Takes the publications for the next message from the queue. A scheduled publication gets a message of its own. */
  #take(): Publication[] {
    const taken: Publication[] = [];
    const waiting = this.#waiting;
    let chars = 0;
    for (let next = this.#firstOf(waiting); next !== undefined; next = this.#firstOf(waiting)) {
      const [first] = taken;
      chars += next.item.length;
      if (
        first !== undefined &&
        (isSingle(next) || next.planned !== undefined || first.planned !== undefined || next.keep !== first.keep ||
          next.contract !== first.contract ||
          taken.length === this.#maxItems || chars > MAX_GROUP_CHARS)
      ) break;
      taken.push(next);
      waiting.shift();
    }
    return taken;
  }

  /** Sends the publications of a message that was too large, and is certainly not stored, again in smaller messages. */
  #split({ publications }: PublicationGroup): void {
    this.#maxItems = Math.ceil(publications.length / 2);
    const later: Publication[] = [];
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) later.push(next);
    this.#endedInQueue = 0;
    for (const publication of [...publications, ...later]) {
      if (publication.over) continue;
      if (publications.includes(publication)) publication.attempted = undefined;
      this.#waiting.push(publication);
    }
  }
}

/**
 * Returns true if the publication gets a message of its own, which is sent beside others: the publication has an id
 * from the program and is not scheduled.
 */
function isSingle({ id, planned }: Publication): boolean {
  return id !== undefined && planned === undefined;
}

/** Maximum number of messages with ids of their own that are sent at once. */
const MAX_CONCURRENT_MESSAGES = 512;
/** Maximum number of characters of the items in one message. */
const MAX_GROUP_CHARS = 65_536;
