/**
 * The part of nats-server in a {@link MemoryNetwork}: who takes a message, and what becomes of one that nobody takes.
 * Every delivery passes through {@link Broker}'s `#deliver`.
 */
import type { Clock, Random } from "../clock.ts";
import type { TransportMessage, TransportStatus } from "../transport.ts";
import { SubjectTrie } from "./subject_trie.ts";

/** One end of the broker: a client's connection. */
export interface Link {
  readonly status: TransportStatus;
}

/** A subscription as the broker knows it. */
export interface Taker {
  readonly subject: string;
  readonly queue?: string;
  readonly link: Link;
  /** Must not throw. */
  take(message: TransportMessage): void;
}

/** A message that somebody publishes; its data belongs to the broker. */
export interface Outgoing {
  readonly subject: string;
  readonly data: Uint8Array;
  readonly reply?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Hands messages from links to takers, in later turns of the event loop, in order. */
export class Broker {
  readonly clock: Clock;
  readonly random: Random;
  readonly #takers = new SubjectTrie<Taker>();
  #waiting: (() => void)[] = [];

  constructor(clock: Clock, random: Random) {
    this.clock = clock;
    this.random = random;
  }

  add(taker: Taker): void {
    this.#takers.add(taker.subject, taker);
  }

  remove(taker: Taker): void {
    this.#takers.delete(taker.subject, taker);
  }

  publish(from: Link, message: Outgoing): void {
    const takers = this.#choose(message.subject);
    for (let i = 0; i < takers.length; i++) {
      // no two takers share a buffer
      const data = i === 0 ? message.data : new Uint8Array(message.data);
      this.#deliver(takers[i], { ...message, data, noResponders: false });
    }
    if (takers.length === 0 && message.reply !== undefined) this.#bounce(from, message.reply);
  }

  /** Calls back when everything published so far has been delivered. */
  settled(callback: () => void): void {
    if (this.#waiting.push(callback) === 1) this.clock.soon(() => this.#turn());
  }

  /** Plain subscriptions all, and of each queue, whatever the patterns of its members, one by chance. */
  #choose(subject: string): Taker[] {
    const chosen: Taker[] = [];
    let queues: Map<string, Taker[]> | undefined;
    for (const taker of this.#takers.match(subject)) {
      if (!isConnected(taker.link)) continue;
      if (taker.queue === undefined) {
        chosen.push(taker);
        continue;
      }
      const members = (queues ??= new Map()).get(taker.queue);
      if (members) members.push(taker);
      else queues.set(taker.queue, [taker]);
    }
    if (queues) {
      for (const members of queues.values()) chosen.push(members[Math.floor(this.random() * members.length)]);
    }
    return chosen;
  }

  /** As nats-server: one plain subscription of the publisher itself hears that nobody was there; nobody else does. */
  #bounce(from: Link, reply: string): void {
    const own = this.#takers.match(reply).find((taker) => taker.link === from && taker.queue === undefined);
    if (own) this.#deliver(own, { subject: reply, data: new Uint8Array(), noResponders: true });
  }

  #deliver(taker: Taker, message: TransportMessage): void {
    const { generation } = taker.link.status;
    this.settled(() => {
      // what was on its way when a link was cut is lost, though it be mended by now
      if (isConnected(taker.link) && taker.link.status.generation === generation) taker.take(message);
    });
  }

  #turn(): void {
    const tasks = this.#waiting;
    this.#waiting = [];
    for (const task of tasks) task();
  }
}

function isConnected(link: Link): boolean {
  return link.status.state === "connected";
}
