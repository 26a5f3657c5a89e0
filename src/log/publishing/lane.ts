/**
 * What one process publishes under one subject. One message of the stream with many publications is under way at a time, which keeps the
 * order, and what is published meanwhile forms the next one. A publication with an id of its own is a message of its own, because the
 * stream knows it by that: of these, several are under way, one for each key. Nothing waits while nothing is under way.
 */
import { Fifo } from "../../data/fifo.ts";
import { MOST_IN_GROUP } from "../format/position.ts";
import type { Publication } from "./publication.ts";
import { Group, type LaneHost } from "./stream_message.ts";

/** The publications under one subject. */
export class Lane {
  readonly #host: LaneHost;
  readonly #idle: (() => void) | undefined;
  readonly #waiting = new Fifo<Publication>();
  /** How many of those that wait have ended. */
  #gone = 0;
  /** Publications in a message, at most. */
  #most = MOST_IN_GROUP;
  readonly #underWay = new Set<Group>();
  /** Ids and keys that are under way, if what is has an id. */
  readonly #held = new Set<string>();

  /** `idle` is called whenever nothing is left. */
  constructor(host: LaneHost, idle?: () => void) {
    this.#host = host;
    this.#idle = idle;
  }

  /** Sends it at once if nothing is under way. */
  add(publication: Publication): void {
    this.#waiting.push(publication);
    this.#next();
  }

  /** A publication that waits here has ended. */
  left(): void {
    this.#gone++;
    if (this.#gone < 1_024 || this.#gone * 2 < this.#waiting.size) return;
    this.#waiting.keep((publication) => !publication.over);
    this.#gone = 0;
  }

  #next(): void {
    for (;;) {
      const next = this.#first();
      if (next === undefined) return this.#underWay.size === 0 ? this.#idle?.() : undefined;
      if (this.#underWay.size > 0 && !this.#joins(next)) return;
      this.#begin(this.#take());
    }
  }

  #begin(publications: readonly Publication[]): void {
    const held = publications.length === 1 ? heldBy(publications[0]) : [];
    for (const each of held) this.#held.add(each);
    const group = new Group(this.#host, publications, (split) => {
      if (!this.#underWay.delete(group)) return;
      for (const each of held) this.#held.delete(each);
      if (split) this.#split(group);
      else if (held.length === 0) this.#most = Math.min(MOST_IN_GROUP, this.#most * 2);
      this.#next();
    });
    this.#underWay.add(group);
    group.begin();
  }

  /** What waits longest. */
  #first(): Publication | undefined {
    for (;;) {
      const first = this.#waiting.first;
      if (first?.over !== true) return first;
      this.#gone--;
      this.#waiting.shift();
    }
  }

  /** Whether it may be under way beside what is. */
  #joins(next: Publication): boolean {
    const held = heldBy(next);
    return held.length > 0 && this.#held.size > 0 && this.#underWay.size < MOST_AT_ONCE &&
      !held.some((each) => this.#held.has(each));
  }

  /** Publications for one message. */
  #take(): Publication[] {
    const taken: Publication[] = [];
    const waiting = this.#waiting;
    let chars = 0;
    for (let next = waiting.first; next !== undefined; next = waiting.first) {
      if (next.over) this.#gone--;
      else {
        const alone = next.id !== undefined || next.planned !== undefined;
        const [first] = taken;
        chars += next.item.length;
        if (
          first !== undefined &&
          (alone || taken.length === this.#most || chars > MOST_CHARS || next.keep !== first.keep ||
            first.id !== undefined || first.planned !== undefined)
        ) break;
        taken.push(next);
      }
      waiting.shift();
    }
    return taken;
  }

  /** A message was too large for the server, and is certainly not stored: its publications are sent in smaller ones. */
  #split({ publications }: Group): void {
    this.#most = Math.ceil(publications.length / 2);
    const later: Publication[] = [];
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) later.push(next);
    this.#gone = 0;
    for (const publication of [...publications, ...later]) {
      if (publication.over) continue;
      if (publications.includes(publication)) publication.attempted = undefined;
      this.#waiting.push(publication);
    }
  }
}

/** What no other message that is under way may have: of a publication with an id of its own that is not scheduled. */
function heldBy({ id, key, planned }: Publication): string[] {
  if (id === undefined || planned !== undefined) return [];
  return key === undefined ? [`id ${id}`] : [`id ${id}`, `key ${key}`];
}

/** Messages with ids of their own that are under way at once. */
const MOST_AT_ONCE = 512;
/** Characters of the items of one message. */
const MOST_CHARS = 65_536;
