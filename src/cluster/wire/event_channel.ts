/**
 * Events on the wire: those of one name and one meta that are published in one turn of the event loop travel as one
 * message, in two turns when many are published. A service's nodes share a queue group, so that one of them gets it.
 */
import { nextTick } from "node:process";
import type { Envelope } from "../../dispatch/context_host.ts";
import { CatgaError } from "../../error.ts";
import { toJson } from "../../data/json.ts";
import type { Observer } from "../../contract/observer.ts";
import type { Meta, RemoteEvent } from "../../dispatch/remote.ts";
import type { Result } from "../../contract/result.ts";
import type { EventSource } from "../../dispatch/runner.ts";
import type { Subscription, Transport, TransportMessage } from "../../ports/transport.ts";
import { byteLength, exceeds } from "../../data/utf8.ts";
import { type EventFrame, Malformed, readEventFrame } from "./frame.ts";
import { eventFrameText } from "./frame_writer.ts";
import { HEADERS, type MalformedCount } from "./malformed_count.ts";
import { WireEnvelope } from "./wire_envelope.ts";

/** What the channel needs of the app. */
export interface EventChannelOptions {
  readonly transport: Transport;
  readonly namespace: string;
  readonly service: string;
  /** `<id>.<nonce>`. */
  readonly endpoint: string;
  readonly observer: Observer;
  readonly malformed: MalformedCount;
  /** Runs the handlers of an event that each service, or every node, has. */
  deliver(name: string, payload: unknown, from: { source: EventSource; each: "service" | "node" }): void;
}

/** Events of one name and one meta that leave together. */
interface Batch {
  readonly name: string;
  readonly meta: Meta | undefined;
  text: string;
  count: number;
}

/** Publishes and takes the events of one node. */
export class EventChannel {
  readonly #options: EventChannelOptions;
  readonly #batches: Map<string, Batch> = new Map();
  readonly #subscriptions: Subscription[] = [];
  readonly #subjects: Map<string, string> = new Map();
  #seq = 0;
  #runs = 0;
  /** Events since the last flush. */
  #gathered = 0;
  #ticking = false;
  #closing = false;
  /** When a message last left, by the wall clock. */
  #leftAt = -Infinity;

  constructor(options: EventChannelOptions) {
    this.#options = options;
  }

  /** Takes the events of this name from now on: those that fall to this node of its service, or all. */
  subscribe(name: string, each: "service" | "node"): void {
    const { transport, service } = this.#options;
    const onMessage = (message: TransportMessage) => this.#onMessage(name, message, each);
    const options = each === "service" ? { queue: service } : {};
    this.#subscriptions.push(transport.subscribe(this.#subject(name), options, onMessage));
  }

  /** Puts an event into this turn's batch. */
  publish({ contract, payload, meta }: RemoteEvent): Result<void> {
    const { transport } = this.#options;
    if (transport.status.state !== "connected") {
      return refused("UNAVAILABLE", `event ${contract.name} was not published: the network is not connected`, true);
    }
    let text = "";
    try {
      if (payload !== undefined) text = toJson(payload, "INVALID_MESSAGE", "the payload", contract.name);
    } catch (error) {
      return { ok: false, error: error as CatgaError }; // the only one that it throws
    }
    const { name } = contract;
    const metaText = meta === undefined ? "" : JSON.stringify(meta);
    const limit = transport.maxPayload - FRAME_OVERHEAD;
    const whole = text + metaText;
    if (exceeds(whole, limit)) {
      return refused(
        "TOO_LARGE",
        `the payload of ${name} is ${byteLength(whole)} bytes; the server takes ${limit} at most`,
      );
    }
    // an event without a payload, or with an id of its own, travels alone
    const alone = payload === undefined || meta?.id !== undefined;
    const key = alone ? `${name} #${++this.#runs}` : meta === undefined ? name : `${name} ${metaText}`;
    let batch = this.#batches.get(key);
    if (
      batch !== undefined &&
      (batch.count === MAX_EVENTS || (batch.text.length + whole.length) * 3 > Math.min(FRAME_LENGTH, limit))
    ) {
      this.#batches.delete(key);
      this.#leave(batch);
      batch = undefined;
    }
    if (batch === undefined) {
      batch = { name, meta, text: "", count: 0 };
      this.#batches.set(key, batch);
      if (!this.#ticking) nextTick(this.#endTurn);
      this.#ticking = true;
    }
    if (payload !== undefined) batch.text += "," + text;
    batch.count++;
    this.#gathered++;
    return { ok: true, value: undefined };
  }

  /** The connection is there again: lets go what had gathered when it was lost. */
  resume(): void {
    this.#flush();
  }

  /** Lets go what has gathered, and takes no more events; what has been taken is delivered. */
  async close(): Promise<void> {
    this.#closing = true;
    this.#flush();
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
  }

  /** The same string for a name each time: that is what the transport knows it by. */
  #subject(name: string): string {
    let subject = this.#subjects.get(name);
    if (subject === undefined) {
      subject = `catga.${this.#options.namespace}.event.${name}`;
      this.#subjects.set(name, subject);
    }
    return subject;
  }

  /**
   * Events that come one a turn would each be a message, and a write to the socket: a turn of few that ends within 1 ms of
   * the last message shares one with the next, which follows at once (1.5 to 1.7 × as many a second, measured).
   */
  readonly #endTurn = (): void => {
    const { clock } = this.#options.transport;
    const many = this.#gathered > MAX_EVENTS / 2;
    // a wall clock that has jumped does no harm
    if (many || this.#closing || Math.abs(clock.now() - this.#leftAt) > 1) this.#flush();
    else clock.soon(this.#flush);
  };

  readonly #flush = (): void => {
    this.#ticking = false;
    if (this.#options.transport.status.state !== "connected") return;
    for (const batch of this.#batches.values()) this.#leave(batch);
    this.#batches.clear();
    this.#gathered = 0;
  };

  #leave({ name, meta, text }: Batch): void {
    const { transport, endpoint, observer } = this.#options;
    const seq = ++this.#seq;
    const now = this.#leftAt = transport.clock.now();
    try {
      transport.publish(this.#subject(name), eventFrameText(endpoint, now, meta, seq, text));
    } catch (error) {
      observer({ type: "fault", during: `publishing ${name}`, error });
    }
  }

  #onMessage(name: string, message: TransportMessage, each: "service" | "node"): void {
    if (message.noResponders) return;
    const { malformed } = this.#options;
    // JetStream publishes what is stored wherever it is asked to, with headers or under the subject of the record
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
    const count = Math.max(1, payloads.length); // without one an event whose payload is `undefined`
    for (let index = 0; index < count; index++) {
      const source = new HeardEvent(frame, index, this.#nextRun);
      this.#options.deliver(name, payloads[index], { source, each });
    }
  }

  readonly #nextRun = (): string => `${this.#options.endpoint}.e${++this.#runs}`;
}

/** An event of a batch. */
class HeardEvent implements EventSource {
  readonly frame: EventFrame;
  readonly index: number;
  readonly nextRun: () => string;

  constructor(frame: EventFrame, index: number, nextRun: () => string) {
    this.frame = frame;
    this.index = index;
    this.nextRun = nextRun;
  }

  envelope(): Envelope {
    return new EventEnvelope(this);
  }
}

/** What one of the handlers of an event is told about it. */
class EventEnvelope extends WireEnvelope {
  readonly #event: HeardEvent;

  constructor(event: HeardEvent) {
    super(event.frame.meta);
    this.#event = event;
  }

  protected override name(): string {
    return this.#event.nextRun();
  }

  protected override defaultId(): string {
    const { frame: { sender, meta }, index } = this.#event;
    return `${sender}.e${meta.seq}.${index}`;
  }

  /** Nobody awaits an event: whatever it waits for, its publisher does not. */
  override get ancestry(): readonly string[] {
    return [];
  }
}

const MAX_EVENTS = 64; // a queue group gives the whole batch to one node
const FRAME_LENGTH = 192_000; // bytes at most, counted as 3 a code unit
const FRAME_OVERHEAD = 2_048;

function refused(
  code: "UNAVAILABLE" | "INVALID_MESSAGE" | "TOO_LARGE",
  message: string,
  retryable = false,
  cause?: unknown,
): Result<void> {
  return { ok: false, error: new CatgaError(code, message, { retryable, cause }) };
}
