/**
 * The endpoint of this process on the network: its subscriptions and its peers (other processes). `frame_sender.ts`
 * sends frames (messages) to them at the end of each turn of the event loop, `frame_receiver.ts` handles the frames
 * that arrive; `watchdog.ts` decides what bounces and silence mean.
 */
import { bounceSubject, nodeOf, nodeSubject } from "../../contract/nodes/subjects.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import { delay, token } from "../../ports/clock.ts";
import type { Subscription, Transport, TransportMessage, TransportStatus } from "../../ports/transport.ts";
import type { Call } from "./call.ts";
import { ResendBuffer, SendTurn } from "./frame_sender.ts";
import { ELSEWHERE, type MalformedCount } from "./frame_reader.ts";
import { InboundRequests, type InboundRequestsOptions } from "./inbound_requests.ts";
import { Peer, PeerTable } from "./peer.ts";
import { BounceProbe, ReconnectGrace, Watchdog } from "./watchdog.ts";
import { FrameReceiver, type FrameReceiverOptions } from "./frame_receiver.ts";

/** Dependencies of an {@link Endpoint} on the app. */
export interface EndpointOptions
  extends
    Pick<InboundRequestsOptions, Passed>,
    Pick<FrameReceiverOptions, "accused" | "asked" | "gap" | "stats" | "shapes" | "shapesKnown"> {
  readonly transport: Transport;
  readonly namespace: string;
  /** Name of this process on the network: the node's id, a dot, and a nonce. */
  readonly endpoint: string;
  readonly observer: Observer;
  readonly malformed: MalformedCount;
  /**
   * Called with `alive` when a frame comes from another process for the first time, for the first time after a bounce,
   * or while a ping to it is unanswered; with `bounced` when a frame to it has bounced; with `silent` when it has not
   * answered a ping in time.
   */
  observed(peer: Peer, sign: "alive" | "bounced" | "silent"): void;
  /** Called when the connection to NATS is back. */
  reconnected(): void;
  /** Called when items of this stream for a plain NATS client have bounced: the client no longer reads them. */
  unread(stream: number): void;
}

type Passed = "concurrency" | "host" | "runner";

/** The endpoint of this process: sends and receives frames. */
export class Endpoint {
  readonly endpoint: string;
  /** The requests that other processes have sent to this one. */
  readonly inbound: InboundRequests;
  /** The time after each reconnect of this process in which bounces prove nothing. */
  readonly grace: ReconnectGrace;
  /** The turn of the event loop in which this process gathers frames. */
  readonly turn: SendTurn;
  readonly #options: EndpointOptions;
  readonly #transport: Transport;
  readonly #peers: PeerTable;
  #closed = false;
  readonly #bounceProbe: BounceProbe;
  readonly #watchdog: Watchdog;
  readonly #resendBuffer: ResendBuffer;
  readonly #framePrefix: string;
  readonly #bouncePrefix: string;
  #subscriptions: Subscription[] = [];
  readonly #offStatus: () => void;

  /** Subscribes to the subjects of this process at once. */
  constructor(options: EndpointOptions) {
    const { transport, namespace, endpoint, observer } = options;
    const { clock } = transport;
    this.#options = options;
    this.#transport = transport;
    this.endpoint = endpoint;
    this.#framePrefix = nodeSubject(namespace, endpoint);
    this.#bouncePrefix = bounceSubject(namespace, endpoint);
    this.#resendBuffer = new ResendBuffer({
      clock,
      connected: () => this.connected,
      isCurrent: (to) => !this.#closed && this.find(to.endpoint)?.outgoing === to,
    });
    this.turn = new SendTurn({
      ...{ transport, resends: this.#resendBuffer },
      fault: (during, error) => observer({ type: "fault", during, error }),
    });
    this.grace = new ReconnectGrace(clock);
    this.#peers = new PeerTable(transport.random, (other, identity) =>
      new Peer(this.turn, endpoint, other, {
        ...identity,
        subject: this.#subjectOf(other),
        bounces: `${this.#bouncePrefix}${identity.slot}.`,
      }));
    this.inbound = new InboundRequests({ ...options, clock, payloadLimit: () => this.payloadLimit });
    this.#watchdog = new Watchdog({
      clock,
      observer,
      connected: () => this.connected,
      clustered: () => transport.server.clustered,
      conclusive: (peer) => this.concludes(peer),
      peers: () => this.#peers.values(),
      observed: (peer, sign) => options.observed(peer, sign),
    });
    const receiver = new FrameReceiver({
      ...options,
      prefix: this.#framePrefix,
      ...{ epoch: this.turn.epoch, clock },
      peers: this.#peers,
      inbound: this.inbound,
      observed: (peer) => options.observed(peer, "alive"),
      resends: this.#resendBuffer,
    });
    this.#offStatus = transport.onStatus((status) => this.#onStatus(status));
    this.#subscriptions = [
      transport.subscribe(`${this.#framePrefix}>`, {}, (message) => receiver.receive(message)),
      transport.subscribe(`${this.#bouncePrefix}>`, {}, (message) => this.#onBounce(message)),
    ];
    this.#bounceProbe = new BounceProbe({
      transport,
      subject: this.#subjectOf(`${nodeOf(endpoint)}.${token(transport.random, 12)}`),
      reply: this.#bouncePrefix + PROBE,
      noBounces: () => observer({ type: "no-bounces" }),
    });
  }

  /** True if this process is connected, so that frames can be sent. */
  get connected(): boolean {
    return this.turn.connected;
  }

  /** Size of the largest payload, answer or item, in bytes. */
  get payloadLimit(): number {
    return this.turn.payloadLimit;
  }

  /**
   * True if a bounce (NATS: no responders) proves that the process at the frame's subject, or its connection, is gone,
   * so that requests sent to it earlier get no answer. False with several servers, and while other processes may be
   * reconnecting after an outage.
   */
  get conclusive(): boolean {
    return !this.#transport.server.clustered && !this.grace.running;
  }

  /**
   * Returns true if the bounce of a frame to this peer proves that its process is gone, so that requests sent to it
   * earlier get no answer. False for a peer that leaves the cluster: it has answered its requests, and the bounce has
   * overtaken the answers.
   */
  concludes(peer: Peer): boolean {
    return this.conclusive && !peer.leaving;
  }

  /** True while the NATS server denies this process a subscription that it needs. */
  get forbidden(): boolean {
    return this.#subscriptions.some(({ forbidden }) => forbidden);
  }

  /**
   * Prefix of the reply subjects of stream items for plain NATS clients: there the server reports an item that bounced.
   * The stream's number follows.
   */
  get plainBounces(): string {
    return this.#bouncePrefix + PLAIN;
  }

  /** All other processes with which this process exchanges frames. */
  get peers(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** Returns the process at this endpoint; `undefined`: no frames were exchanged with it. */
  find(endpoint: string): Peer | undefined {
    return this.#peers.find(endpoint);
  }

  /** Returns the process at this endpoint, also if no frames were exchanged with it yet. */
  peer(endpoint: string): Peer {
    return this.#peers.get(endpoint);
  }

  /**
   * Sends a request with `ttl` ms left until its deadline. Its outcome is reported to the router, by the methods of
   * {@link CallOwner}.
   */
  send(call: Call, peer: Peer, ttl: number): void {
    peer.request(call, ttl);
    if (!this.#watchdog.running) this.#watchdog.start();
  }

  /**
   * Refuses requests with `DRAINING` from now on. Tells the other processes at once, by a frame that refuses no
   * request, that this process leaves: they then know it before a frame bounces, however late they see that its record
   * is gone.
   */
  refuse(others: readonly string[]): void {
    if (!this.inbound.refuse()) return;
    for (const other of others) if (other !== this.endpoint) this.peer(other).outgoing.add(["n", 0, 0, "DRAINING"]);
  }

  /** Sends all gathered items, and ends the subscriptions of this process. */
  async close(): Promise<void> {
    this.inbound.close();
    await this.#linger();
    this.#closed = true;
    this.#watchdog.stop();
    this.#bounceProbe.stop();
    this.#resendBuffer.stop();
    this.turn.flush();
    this.#offStatus();
    await Promise.all(this.#subscriptions.splice(0).map((subscription) => subscription.drain()));
    this.turn.flush();
  }

  /**
   * Waits until no request has arrived for 50 ms, at most 500 ms, before the endpoint's subscriptions end. A sender
   * that does not know that this process leaves takes the bounce of a request as the loss of its earlier ones: so these
   * must have been answered or refused before any request bounces.
   */
  async #linger(): Promise<void> {
    const until = this.turn.now() + LONGEST_LINGER;
    while (this.connected) {
      const left = Math.min(this.inbound.busyAt + LINGER, until) - this.turn.now();
      if (!(left > 0)) return;
      await delay(this.#transport.clock, left);
    }
  }

  /** Returns the subject of frames from this process to another one. */
  #subjectOf(endpoint: string): string {
    return nodeSubject(this.#options.namespace, endpoint, this.endpoint);
  }

  #onStatus({ state, generation }: TransportStatus): void {
    this.#options.observer({ type: "connection", state, generation });
    // forget bounces: a process that was gone before this one was cut off may be back
    for (const peer of this.#peers.values()) peer.bounces.clear();
    if (state !== "connected") return;
    this.turn.measure();
    this.grace.begin();
    this.#resendBuffer.resume();
    for (const peer of this.#peers.values()) {
      peer.pingedAt = -1; // a ping sent before the cut may never have arrived
      peer.outgoing.resume();
      // requests and answers sent before the cut may be lost: the ping asks what has arrived
      if (peer.ledger.outstanding > 0) peer.ping({ again: true });
    }
    this.#options.reconnected();
  }

  /** Handles the bounce of a frame: no process subscribes to the frame's target. */
  #onBounce(message: TransportMessage): void {
    // anybody may publish to this subject; only the server's own answer 503 counts
    if (!message.noResponders || message.data.length > 0) return;
    if (!message.subject.startsWith(this.#bouncePrefix)) return this.#options.malformed.add(message.subject, ELSEWHERE);
    const place = message.subject.slice(this.#bouncePrefix.length);
    // the probe has bounced: messages without subscribers do bounce
    if (place === PROBE) return this.#bounceProbe.stop();
    if (place.startsWith(PLAIN)) return this.#options.unread(Number(place.slice(PLAIN.length)));
    if (!/^\d+\.\d+$/.test(place)) return;
    const [slot, seq] = place.split(".").map(Number);
    const peer = this.#peers.bySlot(slot);
    if (peer === undefined || !(seq <= peer.outgoing.seq)) return;
    this.#resendBuffer.bounced(peer.outgoing, seq);
    this.#watchdog.bounced(peer, seq);
  }
}

const PROBE = "probe"; // in bounce subjects, in place of a peer's slot and a frame's number
const PLAIN = "plain."; // stands in place of a slot; the stream's number follows
const LINGER = 50; // ms: many times as long as a message takes
const LONGEST_LINGER = 500; // ms
