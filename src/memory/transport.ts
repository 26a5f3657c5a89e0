/** The transport within one process: a client of a simulated server, the {@link Broker}. */
import { type Clock, EndingClock, type Random } from "../ports/clock.ts";
import { CatgaError, unavailable } from "../error.ts";
import {
  messageSize,
  type ServerInfo,
  type SubscribeOptions,
  type Subscription,
  type Transport,
  type TransportMessage,
  type TransportPublishOptions,
  type TransportStatus,
} from "../ports/transport.ts";
import type { Broker, BrokerClient, BrokerSubscriber } from "./broker.ts";
import { ServerLink } from "./server_link.ts";
import { MemoryProcess } from "./memory_process.ts";
import { tooLarge } from "../data/message_room.ts";
import { checkHeader, checkPattern, checkSubject } from "../data/checks.ts";

/** Dependencies of a {@link MemoryTransport} on its network. */
export interface MemoryTransportOptions {
  readonly maxPayload: number;
  /** Servers to which the transport connects: at each reconnect to the next one, cyclically. */
  readonly servers: readonly ServerInfo[];
  /** Called with errors that callbacks of subscriptions throw. */
  readonly onError: (error: unknown) => void;
}

/** A connection to a {@link MemoryNetwork}. The network calls some of its methods, to simulate faults. */
export class MemoryTransport implements Transport, BrokerClient {
  /** Clock whose timers end when the transport is closed. */
  readonly clock: Clock;
  /** Clock for timers of the program, which go on when the transport is closed. */
  readonly programClock: Clock;
  readonly #clock: EndingClock;
  readonly random: Random;
  readonly maxPayload: number;
  /** Link between this process and its simulated server. The network uses it, too. */
  readonly link: ServerLink;
  readonly #broker: Broker;
  readonly #servers: readonly ServerInfo[];
  readonly #onError: (error: unknown) => void;
  readonly #subscriptions = new Set<MemorySubscription>();
  readonly #listeners = new Set<(status: TransportStatus) => void>();
  #status: TransportStatus = Object.freeze({ state: "connected", generation: 1 });

  constructor(broker: Broker, options: MemoryTransportOptions) {
    const process = new MemoryProcess(broker.clock, broker.faults.random);
    this.programClock = process.clock;
    this.clock = this.#clock = new EndingClock(process.clock);
    this.link = new ServerLink(broker.links, broker.faults, process);
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
    // a new function for each call, so that a listener that was added twice is removed once
    const own = (status: TransportStatus) => listener(status);
    this.#listeners.add(own);
    return () => this.#listeners.delete(own);
  }

  publish(subject: string, data: string | Uint8Array, options: TransportPublishOptions = {}): void {
    this.#checkOpen();
    checkSubject(subject);
    const { reply } = options;
    if (reply !== undefined) checkSubject(reply);
    const headers = options.headers && copyHeaders(options.headers);
    const bytes = typeof data === "string" ? encoder.encode(data) : new Uint8Array(data);
    const size = messageSize({ data: bytes, headers });
    if (size > this.maxPayload) {
      throw tooLarge(`a message to ${subject}, with its headers,`, size, this.maxPayload, "send");
    }
    if (this.#status.state === "connected") this.#broker.publish(this, { subject, data: bytes, reply, headers });
  }

  subscribe(subject: string, options: SubscribeOptions, onMessage: (message: TransportMessage) => void): Subscription {
    this.#checkOpen();
    checkPattern(subject, options.queue);
    const subscription = new MemorySubscription(this.#broker, this, { subject, queue: options.queue, onMessage });
    this.#subscriptions.add(subscription);
    return subscription;
  }

  flush(): Promise<void> {
    const { epoch } = this.link;
    return new Promise((resolve, reject) => {
      this.roundTrip(() => {
        if (this.#status.state === "closed") reject(closedError());
        else if (this.link.has(epoch)) resolve();
        else reject(unavailable("the connection to the network was lost"));
      });
    });
  }

  close(): Promise<void> {
    if (this.#status.state !== "closed") {
      for (const subscription of this.#subscriptions) subscription.close();
      this.#change({ state: "closed", generation: this.#status.generation });
      // the server closes the connection only after it has received everything that was published before
      this.link.toServer(() => this.link.detach());
    }
    return new Promise((resolve) =>
      this.roundTrip(() => {
        this.#clock.end();
        resolve();
      })
    );
  }

  /** Breaks the connection. Only the network calls this method. */
  cut(): void {
    if (!this.link.attached) return;
    this.link.process.enter(() => {
      if (this.#status.state !== "connected") return;
      this.#change({ state: "disconnected", generation: this.#status.generation });
    });
    this.link.detach();
  }

  /** Reconnects to the next server; a frozen process reconnects when it goes on. Only the network calls this method. */
  restore(): void {
    this.link.process.enter(() => {
      // a process that has just gone on has not noticed yet that its connection was cut while it was frozen: try again
      // in a later turn
      if (this.#status.state === "connected" && !this.link.attached) return this.clock.soon(() => this.restore());
      if (this.#status.state !== "disconnected") return;
      this.link.attach();
      this.#change({ state: "connected", generation: this.#status.generation + 1 });
    });
  }

  /** Sets the difference of the process's wall clock to the network's. Only the network calls this method. */
  skew(ms: number): void {
    this.link.process.skew = ms;
  }

  /** Freezes the process. Only the network calls this method. */
  pause(): void {
    this.link.process.pause();
  }

  /** Lets the process go on. Only the network calls this method. */
  resume(): void {
    this.link.process.resume();
  }

  /**
   * Kills the process: messages sent before still arrive, and the server notices the death after them. Only the network
   * calls this method.
   */
  kill(): void {
    if (this.link.process.dead) return;
    this.link.process.kill();
    this.link.hangUp(() => this.#vanish());
  }

  /** Reports an error that the callback of a subscription threw. */
  report(error: unknown): void {
    // the error is reported in a later turn of the event loop: an error of the listener must not delay other messages
    this.clock.soon(() => this.#onError(error));
  }

  /** Removes a subscription that has ended from the transport. */
  forget(subscription: MemorySubscription): void {
    this.#subscriptions.delete(subscription);
  }

  #vanish(): void {
    for (const subscription of this.#subscriptions) this.#broker.remove(subscription);
    if (this.link.attached) this.link.detach();
  }

  /**
   * Calls `back` when a message could have travelled to the server and back, behind everything in transit; at once if
   * the connection is lost. The transport's subscriptions call this method.
   */
  roundTrip(back: () => void): void {
    const { link } = this;
    if (link.process.dead) return this.#broker.settled(back);
    const end = () => this.#broker.settled(() => link.process.enter(back));
    link.toServer(() => link.toProcess(end, end), end);
  }

  #change(status: TransportStatus): void {
    this.#status = Object.freeze(status);
    for (const listener of [...this.#listeners]) listener(status);
  }

  #checkOpen(): void {
    if (this.#status.state === "closed") throw closedError();
  }
}

class MemorySubscription implements Subscription, BrokerSubscriber {
  readonly client: MemoryTransport;
  readonly subject: string;
  readonly queue: string | undefined;
  readonly #broker: Broker;
  readonly #onMessage: (message: TransportMessage) => void;
  #open = true;
  /** True from the beginning of the subscription until its end, even while the connection is lost. */
  #wanted = true;

  constructor(
    broker: Broker,
    client: MemoryTransport,
    { subject, queue, onMessage }: {
      readonly subject: string;
      readonly queue: string | undefined;
      readonly onMessage: (message: TransportMessage) => void;
    },
  ) {
    this.client = client;
    this.subject = subject;
    this.queue = queue;
    this.#broker = broker;
    this.#onMessage = onMessage;
    const add = () => {
      if (this.#wanted) broker.add(this);
    };
    // `toServer` is called also without a connection: the subscription is then made with the next connection
    client.link.toServer(add, add);
  }

  deliver(message: TransportMessage): void {
    if (!this.#open) return;
    try {
      this.#onMessage(message);
    } catch (error) {
      this.client.report(error);
    }
  }

  drain(): Promise<void> {
    this.#remove();
    // the promise resolves after everything that the server has sent so far was delivered
    return new Promise((resolve) =>
      this.client.roundTrip(() => {
        this.close();
        resolve();
      })
    );
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#remove();
    this.client.forget(this);
  }

  #remove(): void {
    if (!this.#wanted) return;
    const remove = () => {
      this.#wanted = false;
      this.#broker.remove(this);
    };
    this.client.link.toServer(remove, remove);
  }
}

const encoder = new TextEncoder();

/** Copies headers into the form in which they arrive: values are trimmed, and no headers are `undefined`. */
function copyHeaders(headers: Readonly<Record<string, string>>): Readonly<Record<string, string>> | undefined {
  const names = Object.keys(headers);
  if (names.length === 0) return undefined;
  for (const name of names) checkHeader(name, headers[name]);
  return Object.freeze(Object.fromEntries(names.map((name) => [name, headers[name].trim()])));
}

function closedError(): CatgaError {
  return new CatgaError("CLOSED", "the connection to the network is closed");
}
