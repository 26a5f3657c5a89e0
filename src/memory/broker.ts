/**
 * The part of nats-server in a {@link MemoryNetwork}: who takes a message, and what becomes of one that nobody takes.
 * Every delivery passes through {@link Broker}'s `#deliver`; how it comes here and from here is the {@link Wire}'s affair.
 */
import type { Clock, Random } from "../ports/clock.ts";
import type { ServerInfo, TransportMessage } from "../ports/transport.ts";
import type { FaultSource } from "./faults.ts";
import { SubjectTrie } from "./subject_trie.ts";
import type { Wire } from "./wire.ts";

/** One end of the broker: a client's connection. */
export interface Link {
  readonly wire: Wire;
  /** The one that it is on now. */
  readonly server: ServerInfo;
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
  readonly faults: FaultSource;
  readonly #takers = new SubjectTrie<Taker>();
  #waiting: (() => void)[] = [];

  constructor(clock: Clock, random: Random, faults: FaultSource) {
    this.clock = clock;
    this.random = random;
    this.faults = faults;
  }

  add(taker: Taker): void {
    this.#takers.add(taker.subject, taker);
  }

  remove(taker: Taker): void {
    this.#takers.delete(taker.subject, taker);
  }

  publish(from: Link, message: Outgoing): void {
    const { epoch, clearUp } = from.wire;
    if (clearUp) this.#route(from, epoch, message);
    else from.wire.up(() => this.#route(from, epoch, message));
  }

  /** Calls back when everything published so far has been delivered. */
  settled(callback: () => void): void {
    if (this.#waiting.push(callback) === 1) this.clock.soon(() => this.#turn());
  }

  #route(from: Link, epoch: number, message: Outgoing): void {
    const takers = this.#choose(message.subject);
    if (message.reply !== undefined && (takers.length === 0 || this.#unseen(from, takers))) {
      return this.#bounce(from, epoch, message.reply);
    }
    for (let i = 0; i < takers.length; i++) {
      // no two takers share a buffer
      const data = i === 0 ? message.data : new Uint8Array(message.data);
      this.#deliver(takers[i], { ...message, data, noResponders: false });
    }
  }

  /** Whether the publisher's server falsely sees nobody there. */
  #unseen(from: Link, takers: readonly Taker[]): boolean {
    return takers.every(({ link }) => link.server.id !== from.server.id) && this.faults.hits("falseBounce");
  }

  /** Plain subscriptions all, and of each queue, whatever the patterns of its members, one by chance. */
  #choose(subject: string): Taker[] {
    const chosen: Taker[] = [];
    let queues: Map<string, Taker[]> | undefined;
    for (const taker of this.#takers.match(subject)) {
      if (!taker.link.wire.attached) continue;
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
  #bounce(from: Link, epoch: number, reply: string): void {
    if (!from.wire.has(epoch)) return;
    const own = this.#takers.match(reply).find((taker) => taker.link === from && taker.queue === undefined);
    if (own) this.#deliver(own, { subject: reply, data: new Uint8Array(), noResponders: true });
  }

  #deliver(taker: Taker, message: TransportMessage): void {
    if (this.faults.hits("drop")) return;
    const { wire } = taker.link;
    const { epoch, clearDown } = wire;
    const arrive = () => {
      // what was on its way when a link was cut is lost, though it be mended by now
      if (!wire.has(epoch)) return;
      if (wire.process.running) taker.take(message);
      else wire.process.enter(() => taker.take(message));
    };
    if (clearDown) this.settled(arrive);
    else wire.down(() => this.settled(arrive));
  }

  #turn(): void {
    const tasks = this.#waiting;
    this.#waiting = [];
    for (const task of tasks) task();
  }
}
