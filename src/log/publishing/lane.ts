/**
 * What one process publishes under one subject: one message of the stream is under way at a time, which keeps the order, and what
 * is published meanwhile forms the next one. Nothing waits while nothing is under way.
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
  #underWay: Group | undefined;

  /** `idle` is called whenever nothing is left. */
  constructor(host: LaneHost, idle?: () => void) {
    this.#host = host;
    this.#idle = idle;
  }

  /** Sends it at once if nothing is under way. */
  add(publication: Publication): void {
    this.#waiting.push(publication);
    if (this.#underWay === undefined) this.#next();
  }

  /** A publication that waits here has ended. */
  left(): void {
    this.#gone++;
    if (this.#gone < 1_024 || this.#gone * 2 < this.#waiting.size) return;
    this.#waiting.keep((publication) => !publication.over);
    this.#gone = 0;
  }

  #next(): void {
    const publications = this.#take();
    if (publications.length === 0) return this.#idle?.();
    const group = this.#underWay = new Group(this.#host, publications, (rest) => {
      if (this.#underWay !== group) return;
      this.#underWay = undefined;
      if (rest) this.#split(group);
      else this.#most = Math.min(MOST_IN_GROUP, this.#most * 2);
      this.#next();
    });
    group.begin();
  }

  /** Publications for one message: with an id of its own a publication stands alone, because the stream knows it by that. */
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

/** Characters of the items of one message. */
const MOST_CHARS = 65_536;
