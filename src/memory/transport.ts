/** The port {@link Transport} within one process: a client's end of a {@link Broker}. */
import type { Clock, Random } from "../ports/clock.ts";
import { CatgaError } from "../error.ts";
import {
  checkHeader,
  checkPattern,
  checkSubject,
  type PublishOptions,
  type ServerInfo,
  type SubscribeOptions,
  type Subscription,
  type Transport,
  type TransportMessage,
  type TransportStatus,
} from "../ports/transport.ts";
import type { Broker, Link, Taker } from "./broker.ts";
import { MemoryProcess } from "./process.ts";
import { Wire } from "./wire.ts";

/** What a {@link MemoryTransport} is told by its network. */
export interface MemoryTransportOptions {
  readonly maxPayload: number;
  /** The servers in the order in which it tries them, beginning anew at the end. */
  readonly servers: readonly ServerInfo[];
  /** Gets what callbacks of subscriptions throw. */
  readonly onError: (error: unknown) => void;
}

/** A connection to a network in memory. */
export class MemoryTransport implements Transport, Link {
  readonly clock: Clock;
  readonly random: Random;
  readonly maxPayload: number;
  /** For the network: what is between this process and its server. */
  readonly wire: Wire;
  readonly #broker: Broker;
  readonly #servers: readonly ServerInfo[];
  readonly #onError: (error: unknown) => void;
  readonly #subscriptions = new Set<MemorySubscription>();
  readonly #listeners = new Set<(status: TransportStatus) => void>();
  #status: TransportStatus = Object.freeze({ state: "connected", generation: 1 });

  constructor(broker: Broker, options: MemoryTransportOptions) {
    const process = new MemoryProcess(broker.clock, broker.faults.random);
    this.clock = process.clock;
    this.wire = new Wire(broker.clock, broker.faults, process);
    this.random = broker.random;
    this.maxPayload = options.maxPayload;
    this.#servers = options.servers;
    this.#broker = broker;
    this.#onError = options.onError;
  }

  get status(): TransportStatus {
    return this.#status;
  }

  get server(): ServerInfo {
    return this.#servers[(this.#status.generation - 1) % this.#servers.length];
  }

  onStatus(listener: (status: TransportStatus) => void): () => void {
    // one of its own for each call, so that a listener given twice is taken away once
    const own = (status: TransportStatus) => listener(status);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  publish(subject: string, data: string | Uint8Array, options: PublishOptions = {}): void {
    this.#checkOpen();
    checkSubject(subject);
    const { reply } = options;
    if (reply !== undefined) checkSubject(reply);
    const headers = options.headers && copyHeaders(options.headers);
    const bytes = typeof data === "string" ? encoder.encode(data) : new Uint8Array(data);
    const size = bytes.length + (headers ? headersSize(headers) : 0);
    if (size > this.maxPayload) {
      throw new CatgaError(
        "TOO_LARGE",
        `a message to ${subject} has ${size} bytes with its headers; the network takes at most ${this.maxPayload}`,
      );
    }
    if (this.#status.state === "connected") this.#broker.publish(this, { subject, data: bytes, reply, headers });
  }

  subscribe(subject: string, options: SubscribeOptions, onMessage: (message: TransportMessage) => void): Subscription {
    this.#checkOpen();
    checkPattern(subject, options.queue);
    const subscription = new MemorySubscription(this.#broker, this, subject, options.queue, {
      onMessage,
      onDrained: (back) => this.#roundTrip(back),
      // in a turn of its own: what the listener throws must not hold up other messages
      onError: (error) => this.clock.soon(() => this.#onError(error)),
      onEnd: () => this.#subscriptions.delete(subscription),
    });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  flush(): Promise<void> {
    const { epoch } = this.wire;
    return new Promise((resolve, reject) => {
      this.#roundTrip(() => {
        if (this.#status.state === "closed") reject(closedError());
        else if (this.wire.has(epoch)) resolve();
        else reject(new CatgaError("UNAVAILABLE", "the connection to the network was lost", { retryable: true }));
      });
    });
  }

  close(): Promise<void> {
    if (this.#status.state !== "closed") {
      for (const subscription of this.#subscriptions) subscription.close();
      this.#change({ state: "closed", generation: this.#status.generation });
      // behind what was published before
      this.wire.up(() => this.wire.detach());
    }
    return new Promise((resolve) => this.#roundTrip(resolve));
  }

  /** Loses the connection; for the network. */
  cut(): void {
    if (!this.wire.attached) return;
    this.wire.process.enter(() => {
      if (this.#status.state !== "connected") return;
      this.#change({ state: "disconnected", generation: this.#status.generation });
    });
    this.wire.detach();
  }

  /** Connects again, to the next server; for the network. A process that is frozen does when it goes on. */
  restore(): void {
    this.wire.process.enter(() => {
      if (this.#status.state !== "disconnected") return;
      this.wire.attach();
      this.#change({ state: "connected", generation: this.#status.generation + 1 });
    });
  }

  /** Freezes the process; for the network. */
  pause(): void {
    this.wire.process.pause();
  }

  /** Lets the process go on; for the network. */
  resume(): void {
    this.wire.process.resume();
  }

  /** The process is gone; for the network. What has left it still arrives, and behind it the server's notice. */
  kill(): void {
    if (this.wire.process.dead) return;
    this.wire.process.kill();
    this.wire.hangUp(() => this.#vanish());
  }

  #vanish(): void {
    for (const subscription of this.#subscriptions) this.#broker.remove(subscription);
    if (this.wire.attached) this.wire.detach();
  }

  /** To the server and back, behind everything that is on either way; at once when the connection is lost. */
  #roundTrip(back: () => void): void {
    const { wire } = this;
    if (wire.process.dead) return this.#broker.settled(back);
    const end = () => this.#broker.settled(() => wire.process.enter(back));
    wire.up(() => wire.down(end, end), end);
  }

  #change(status: TransportStatus): void {
    this.#status = Object.freeze(status);
    for (const listener of [...this.#listeners]) listener(status);
  }

  #checkOpen(): void {
    if (this.#status.state === "closed") throw closedError();
  }
}

interface SubscriptionEvents {
  readonly onMessage: (message: TransportMessage) => void;
  /** Calls back when all that the server has sent so far has been delivered. */
  readonly onDrained: (back: () => void) => void;
  readonly onError: (error: unknown) => void;
  readonly onEnd: () => void;
}

class MemorySubscription implements Subscription, Taker {
  readonly link: Link;
  readonly subject: string;
  readonly queue: string | undefined;
  readonly #broker: Broker;
  readonly #events: SubscriptionEvents;
  #open = true;
  /** The server is to know it. */
  #wanted = true;

  constructor(broker: Broker, link: Link, subject: string, queue: string | undefined, events: SubscriptionEvents) {
    this.link = link;
    this.subject = subject;
    this.queue = queue;
    this.#broker = broker;
    this.#events = events;
    const add = () => {
      if (this.#wanted) broker.add(this);
    };
    // while there is no connection, it goes with the next one
    link.wire.up(add, add);
  }

  take(message: TransportMessage): void {
    if (!this.#open) return;
    try {
      this.#events.onMessage(message);
    } catch (error) {
      this.#events.onError(error);
    }
  }

  drain(): Promise<void> {
    this.#remove();
    return new Promise((resolve) =>
      this.#events.onDrained(() => {
        this.close();
        resolve();
      })
    );
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#remove();
    this.#events.onEnd();
  }

  #remove(): void {
    if (!this.#wanted) return;
    const remove = () => {
      this.#wanted = false;
      this.#broker.remove(this);
    };
    this.link.wire.up(remove, remove);
  }
}

const encoder = new TextEncoder();

/** What arrives of headers: values without spaces at their ends; no headers at all instead of none. */
function copyHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> | undefined {
  const names = Object.keys(headers);
  if (names.length === 0) return undefined;
  for (const name of names) checkHeader(name, headers[name]);
  return Object.freeze(Object.fromEntries(names.map((name) => [name, headers[name].trim()])));
}

/** The bytes of a header block as NATS writes it. */
function headersSize(headers: Readonly<Record<string, string>>): number {
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`);
  return encoder.encode(`NATS/1.0\r\n${lines.join("")}\r\n`).length;
}

function closedError(): CatgaError {
  return new CatgaError("CLOSED", "the connection to the network is closed");
}
