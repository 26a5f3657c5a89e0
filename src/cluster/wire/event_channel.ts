/**
 * Sends and receives events. Events of one contract with equal meta (headers and the like) that are published in one
 * turn of the event loop travel as one message; if a turn has few events, they travel together with those of the next
 * turn. Nodes of a service subscribe in a queue group named after the service, so that one of them gets each event.
 * Events that a node drops, because too many wait, are counted and reported (`DroppedEvents`).
 */
import { eventSubject } from "../../contract/nodes/subjects.ts";
import { nextTick } from "node:process";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Counts } from "../../dispatch/contract_counts.ts";
import type { Envelope } from "../../dispatch/context_host.ts";
import { type CatgaError, unavailable } from "../../error.ts";
import { isTagged, Unreadable } from "../../data/tags.ts";
import { payloadLimit, payloadName, unlessFits } from "../../data/message_room.ts";
import { toText } from "../../data/encoding.ts";
import type { Meta, RemoteEvent } from "../../dispatch/remote.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { Subscription, TransportMessage } from "../../ports/transport.ts";
import type { EventFrame } from "./frame.ts";
import { eventFrameText, FRAME_LENGTH } from "./frame_writer.ts";
import { HEADERS, Malformed, readEventFrame, unreadable } from "./frame_reader.ts";
import { WireEnvelope } from "./wire_envelope.ts";
import type { EndpointOptions } from "./endpoint.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { Clock, Timer } from "../../ports/clock.ts";

/** Dependencies of an {@link EventChannel} on the node. */
interface EventChannelOptions
  extends Pick<EndpointOptions, "transport" | "namespace" | "endpoint" | "observer" | "malformed"> {
  readonly service: string;
  /** The node's counts of messages, by contract. */
  readonly counts: Counts;
  /**
   * Runs the handlers of an event. `each`: `"service"` runs the handlers that run once in each service; `"node"`
   * those that run on every node.
   */
  deliver(name: string, payload: unknown, from: { envelope: () => Envelope; each: "service" | "node" }): void;
}

/** Events of one contract with equal meta (headers and the like), to be sent as one message. */
interface EventBatch {
  readonly contract: AnyContract;
  readonly meta: Meta | undefined;
  readonly tagged: boolean;
  text: string;
  count: number;
}

/** Publishes and receives the events of one node. */
export class EventChannel {
  readonly #options: EventChannelOptions;
  readonly #batches: Map<string, EventBatch> = new Map();
  readonly #subscriptions: Subscription[] = [];
  readonly #subjects: Map<string, string> = new Map();
  #seq = 0;
  #runs = 0;
  /** Number of events published since this channel last sent its messages. */
  #gathered = 0;
  #ticking = false;
  #closing = false;
  /** Time at which a message was last sent, by the wall clock. */
  #sentAt = -Infinity;

  constructor(options: EventChannelOptions) {
    this.#options = options;
  }

  /** True while the NATS server denies this channel a subscription. */
  get forbidden(): boolean {
    return this.#subscriptions.some(({ forbidden }) => forbidden);
  }

  /**
   * Subscribes to the events of this name. `each`: `"service"`: this node gets the events that NATS gives to it among
   * the nodes of its service; `"node"`: it gets all events.
   */
  subscribe(name: string, each: "service" | "node"): void {
    const { transport, service } = this.#options;
    const onMessage = (message: TransportMessage) => this.#onMessage(name, message, each);
    const options = each === "service" ? { queue: service } : {};
    this.#subscriptions.push(transport.subscribe(this.#subject(name), options, onMessage));
  }

  /** Adds an event to the messages that are sent at the end of this turn of the event loop. */
  publish({ contract, payload, meta }: RemoteEvent): Result<void> {
    const { transport } = this.#options;
    if (transport.status.state !== "connected") {
      const message = `event ${contract.name} was not published: the network is not connected`;
      return { ok: false, error: unavailable(message) };
    }
    let text = "";
    try {
      if (payload !== undefined) text = toText(payload, "INVALID_MESSAGE", "the payload", contract.name);
    } catch (error) {
      return { ok: false, error: error as CatgaError }; // `toText` throws CatgaErrors only
    }
    const { name } = contract;
    const metaText = meta === undefined ? "" : JSON.stringify(meta);
    const limit = payloadLimit(transport.maxPayload);
    const whole = text + metaText;
    const error = unlessFits(payloadName(name, meta?.headers !== undefined), whole, limit, "send");
    if (error !== undefined) return { ok: false, error };
    // an event without a payload, or with an id, is sent in its own message
    const alone = payload === undefined || meta?.id !== undefined;
    const tagged = isTagged(text);
    const key = alone ? `${name} #${++this.#runs}` : meta === undefined ? name : `${name} ${metaText}`;
    let batch = this.#batches.get(key);
    if (
      batch !== undefined &&
      (batch.tagged !== tagged || batch.count === MAX_EVENTS ||
        (batch.text.length + whole.length) * 3 > Math.min(3 * FRAME_LENGTH, limit))
    ) {
      this.#batches.delete(key);
      this.#send(batch);
      batch = undefined;
    }
    if (batch === undefined) {
      batch = { contract, meta, tagged, text: "", count: 0 };
      this.#batches.set(key, batch);
      if (!this.#ticking) nextTick(this.#endTurn);
      this.#ticking = true;
    }
    if (payload !== undefined) batch.text += "," + (tagged ? text.slice(1) : text);
    batch.count++;
    this.#gathered++;
    return { ok: true, value: undefined };
  }

  /** Sends the events gathered while the connection was lost. Called when the connection is back. */
  resume(): void {
    this.#flush();
  }

  /** Sends the gathered events and ends the subscriptions; events that NATS has delivered already are handled. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#flush();
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
  }

  /**
   * Returns the subject of an event's name. The same string object each time, because the transport compares it with
   * the last one.
   */
  #subject(name: string): string {
    let subject = this.#subjects.get(name);
    if (subject === undefined) {
      subject = eventSubject(this.#options.namespace, name);
      this.#subjects.set(name, subject);
    }
    return subject;
  }

  /**
   * Ends a turn of the event loop: sends its events, or keeps them for the next turn. With few events in each turn,
   * every event would be a message and a write to the socket. So if the last message was sent less than 1 ms ago, the
   * few events of the turn share a message with the next turn, which follows at once: 1.5 to 1.7 times as many events
   * a second (docs/internals/measurements.md).
   */
  readonly #endTurn = (): void => {
    const { clock } = this.#options.transport;
    const many = this.#gathered > MAX_EVENTS / 2;
    // the wall clock is precise enough: a jump only changes which events share a message
    if (many || this.#closing || Math.abs(clock.now() - this.#sentAt) > 1) this.#flush();
    else clock.soon(this.#flush);
  };

  readonly #flush = (): void => {
    this.#ticking = false;
    if (this.#options.transport.status.state !== "connected") return;
    for (const batch of this.#batches.values()) this.#send(batch);
    this.#batches.clear();
    this.#gathered = 0;
  };

  #send({ contract, meta, text, tagged, count }: EventBatch): void {
    const { transport, endpoint, observer, counts } = this.#options;
    const seq = ++this.#seq;
    const now = this.#sentAt = transport.clock.now();
    const { name } = contract;
    try {
      transport.publish(this.#subject(name), eventFrameText(endpoint, now, meta, seq, text, tagged));
      counts.published(contract, count);
    } catch (error) {
      observer({ type: "fault", during: `publishing ${name}`, error });
    }
  }

  #onMessage(name: string, message: TransportMessage, each: "service" | "node"): void {
    if (message.noResponders) return;
    const { malformed } = this.#options;
    // no node sends headers: this message was published by JetStream or by another program
    if (message.headers !== undefined) return malformed.add(message.subject, HEADERS);
    if (message.subject !== this.#subject(name)) return malformed.add(message.subject, "it is on another subject");
    let frame: EventFrame;
    try {
      frame = readEventFrame(message.data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      return malformed.add(message.subject, error.message);
    }
    const { payloads } = frame;
    const count = Math.max(1, payloads.length); // a batch without payloads is one event whose payload is `undefined`
    for (let index = 0; index < count; index++) {
      const payload = payloads[index];
      if (payload instanceof Unreadable) {
        this.#options.observer({ type: "fault", during: `handling ${name}`, error: unreadable(name, payload) });
        continue;
      }
      const envelope = () => new EventEnvelope(frame, index, this.#nextRun);
      this.#options.deliver(name, payload, { envelope, each });
    }
  }

  readonly #nextRun = (): string => `${this.#options.endpoint}.e${++this.#runs}`;
}

/** The envelope of one handler's run, for one event of a batch. */
class EventEnvelope extends WireEnvelope {
  readonly #frame: EventFrame;
  readonly #index: number;
  readonly #nextRun: () => string;

  constructor(frame: EventFrame, index: number, nextRun: () => string) {
    super(frame.meta);
    this.#frame = frame;
    this.#index = index;
    this.#nextRun = nextRun;
  }

  protected override name(): string {
    return this.#nextRun();
  }

  protected override defaultId(): string {
    const { sender, meta } = this.#frame;
    return `${sender}.e${meta.seq}.${this.#index}`;
  }

  /**
   * Always empty: the publisher of an event does not wait for its handlers, so the handlers cannot cause a deadlock
   * with the publisher.
   */
  override get ancestry(): readonly string[] {
    return [];
  }
}

const MAX_EVENTS = 64; // limited, because a queue group gives the whole batch to one node

/**
 * Counts the events that one node has dropped because too many waited, and reports them by contract: at once, and then
 * once a minute.
 */
export class DroppedEvents {
  readonly #clock: Clock;
  readonly #observer: Observer;
  /**
   * Contracts whose dropped events were reported less than a minute ago, with the number of events dropped since that
   * report.
   */
  readonly #reported: Map<string, Unreported> = new Map();

  constructor(clock: Clock, observer: Observer) {
    this.#clock = clock;
    this.#observer = observer;
  }

  add(contract: string): void {
    const unreported = this.#reported.get(contract);
    if (unreported !== undefined) unreported.count++;
    else this.#report(contract, 1);
  }

  /** Reports the events dropped since the last report. */
  report(): void {
    for (const [contract, { count, timer }] of this.#reported) {
      timer.cancel();
      if (count > 0) this.#observer({ type: "event-dropped", contract, count });
    }
    this.#reported.clear();
  }

  #report(contract: string, count: number): void {
    // after a minute the events dropped since are reported, even if no further event is dropped
    const timer = this.#clock.after(60_000, () => this.#endMinute(contract), { background: true });
    this.#reported.set(contract, { count: 0, timer });
    this.#observer({ type: "event-dropped", contract, count });
  }

  #endMinute(contract: string): void {
    const { count } = this.#reported.get(contract)!;
    this.#reported.delete(contract);
    if (count > 0) this.#report(contract, count);
  }
}

/** Number of dropped events of one contract since they were last reported. */
interface Unreported {
  count: number;
  readonly timer: Timer;
}
