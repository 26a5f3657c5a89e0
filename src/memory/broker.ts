/**
 * The simulated nats-server of a {@link MemoryNetwork}: chooses the subscribers of each message, and tells the
 * publisher of a message that has none (the message bounces). The {@link ServerLink} of each client decides how
 * messages travel to and from the broker: late, or not at all.
 */
import { outside } from "../data/async_context.ts";
import type { Clock, Random } from "../ports/clock.ts";
import type { ServerInfo, TransportMessage } from "../ports/transport.ts";
import type { FaultSource } from "./faults.ts";
import { SubjectTrie } from "./subject_trie.ts";
import type { ServerLink } from "./server_link.ts";

/** A client of the broker. */
export interface BrokerClient {
  readonly link: ServerLink;
  /** Server to which the client is connected at present. */
  readonly server: ServerInfo;
}

/** A subscription of a client. */
export interface BrokerSubscriber {
  readonly subject: string;
  readonly queue?: string | undefined;
  readonly client: BrokerClient;
  /** Handles a message. Must not throw. */
  deliver(message: TransportMessage): void;
}

/** A published message. The broker may keep its data, and pass the data on without a copy. */
export type PublishedMessage = Omit<TransportMessage, "noResponders">;

/** Routes messages from clients to subscribers, in later turns of the event loop, in order. */
export class Broker {
  /** Clock of the processes that use the network. */
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: FaultSource;
  /** Clock by which messages in transit arrive. */
  readonly links: Clock;
  readonly #subscribers = new SubjectTrie<BrokerSubscriber>();
  #waiting: (() => void)[] = [];

  constructor(clock: Clock, random: Random, faults: FaultSource, links: Clock = clock) {
    this.clock = clock;
    this.random = random;
    this.faults = faults;
    this.links = links;
  }

  add(subscriber: BrokerSubscriber): void {
    this.#subscribers.add(subscriber.subject, subscriber);
  }

  remove(subscriber: BrokerSubscriber): void {
    this.#subscribers.delete(subscriber.subject, subscriber);
  }

  publish(from: BrokerClient, message: PublishedMessage): void {
    const { epoch, serverClear } = from.link;
    if (serverClear) this.#route(from, epoch, message);
    else from.link.toServer(() => this.#route(from, epoch, message));
  }

  /** Calls `callback` when everything published before this call has been delivered. */
  settled(callback: () => void): void {
    if (this.#waiting.push(callback) === 1) this.clock.soon(() => outside(() => this.#turn()));
  }

  #route(from: BrokerClient, epoch: number, message: PublishedMessage): void {
    const subscribers = this.#choose(message.subject);
    if (message.reply !== undefined && (subscribers.length === 0 || this.#unseen(from, subscribers))) {
      return this.#bounce(from, epoch, message.reply);
    }
    for (let i = 0; i < subscribers.length; i++) {
      // the data is copied for each further subscriber, because no two may share a buffer
      const data = i === 0 ? message.data : new Uint8Array(message.data);
      this.#deliver(subscribers[i], { ...message, data, noResponders: false });
    }
  }

  /** Returns true if, by a fault, the publisher's server does not see any of the subscribers. */
  #unseen(from: BrokerClient, subscribers: readonly BrokerSubscriber[]): boolean {
    return subscribers.every(({ client }) => client.server.id !== from.server.id) && this.faults.hits("falseBounce");
  }

  /**
   * Returns the subscribers of a subject: all that have no queue group, and a random one of each queue group,
   * whatever the patterns of its members.
   */
  #choose(subject: string): BrokerSubscriber[] {
    const chosen: BrokerSubscriber[] = [];
    let queues: Map<string, BrokerSubscriber[]> | undefined;
    for (const subscriber of this.#subscribers.match(subject)) {
      if (!subscriber.client.link.attached) continue;
      if (subscriber.queue === undefined) {
        chosen.push(subscriber);
        continue;
      }
      const members = (queues ??= new Map()).get(subscriber.queue);
      if (members) members.push(subscriber);
      else queues.set(subscriber.queue, [subscriber]);
    }
    if (queues) {
      for (const members of queues.values()) chosen.push(members[Math.floor(this.random() * members.length)]);
    }
    return chosen;
  }

  /**
   * Tells the publisher that no one subscribes to a subject: sends a bounce to one of the publisher's own subscriptions
   * that has no queue group, and to no other subscription, as nats-server does. `reply`: subject of the bounce;
   * `epoch`: number of the publisher's connection: the bounce is lost if it has another one.
   */
  #bounce(from: BrokerClient, epoch: number, reply: string): void {
    if (!from.link.has(epoch)) return;
    const own = this.#subscribers.match(reply).find((subscriber) =>
      subscriber.client === from && subscriber.queue === undefined
    );
    if (own) this.#deliver(own, { subject: reply, data: new Uint8Array(), noResponders: true });
  }

  #deliver(subscriber: BrokerSubscriber, message: TransportMessage): void {
    if (this.faults.hits("drop")) return;
    const { link } = subscriber.client;
    const { epoch, processClear } = link;
    const arrive = () => {
      // the bounce is lost if the connection broke while the bounce was under way, even if the
      // connection is restored by now
      if (!link.has(epoch)) return;
      if (link.process.running) subscriber.deliver(message);
      else link.process.enter(() => subscriber.deliver(message));
    };
    if (processClear) this.settled(arrive);
    else link.toProcess(() => this.settled(arrive));
  }

  #turn(): void {
    const tasks = this.#waiting;
    this.#waiting = [];
    for (const task of tasks) task();
  }
}
