/**
 * Handles the frames (messages of other processes) that arrive. Each frame is checked, and shows that its sender is
 * alive; its requests go to their handlers, its answers to the calls that wait for them. A frame that has come before,
 * or that a pong has reported missing to its sender, is refused. If a frame is late, its lateness is subtracted from
 * the time that its requests have.
 */
import type { Clock } from "../../ports/clock.ts";
import type { TransportMessage } from "../../ports/transport.ts";
import { isRefusal } from "./call.ts";
import { ELSEWHERE, HEADERS, Malformed, type MalformedCount, readFrame } from "./frame_reader.ts";
import type {
  FailureItem,
  Frame,
  FrameItem,
  PingItem,
  PongItem,
  RequestItem,
  RequestsItem,
  ShapesAskedItem,
  StatsAskedItem,
  StreamItem,
  VersionsItem,
} from "./frame.ts";
import { isEndpoint } from "../../contract/nodes/subjects.ts";
import { PROTOCOL } from "../../version.ts";
import type { InboundRequests } from "./inbound_requests.ts";
import type { Peer, PeerTable } from "./peer.ts";
import type { ResendBuffer } from "./frame_sender.ts";
import { readError } from "../../dispatch/error_encoding.ts";
import { VersionRefusal } from "../../dispatch/outcome.ts";

/** Dependencies of a {@link FrameReceiver} on the endpoint. */
export interface FrameReceiverOptions {
  /** Prefix of the subjects of frames to this process; the sender's endpoint follows. */
  readonly prefix: string;
  /** Number added to the monotonic clock to get the time by a clock that does not jump, in ms. */
  readonly epoch: number;
  readonly clock: Clock;
  readonly peers: PeerTable;
  readonly inbound: InboundRequests;
  readonly resends: ResendBuffer;
  readonly malformed: MalformedCount;
  /**
   * Called when a frame shows that its sender is alive: when it is the sender's first frame, or its first after a
   * bounce, or arrives while a ping to the sender is unanswered.
   */
  observed(peer: Peer): void;
  /** Called when another node reports that frames to the process at `endpoint` bounce on its server. */
  accused(endpoint: string, server: string): void;
  /**
   * Returns how long this node will remember that some node handled this contract, in ms; 0: it does not remember
   * any.
   */
  asked(name: string): number;
  /**
   * Called when another process answers that it will remember, for `left` ms more, that some node handled this
   * contract.
   */
  gap(name: string, left: number): void;
  /** Returns the statistics of this node, as JSON. */
  stats(): string;
  /** Returns the shapes of this node's contracts as JSON; with `names`, the descriptions of these contracts. */
  shapes(names: readonly string[]): string;
  /** Called with another node's answer to this node's question `n` for the shapes or descriptions of its contracts. */
  shapesKnown(n: number, answer: unknown): void;
}

/** Receives the frames for one process, and handles their items. */
export class FrameReceiver {
  readonly #options: FrameReceiverOptions;

  constructor(options: FrameReceiverOptions) {
    this.#options = options;
  }

  /** Handles a message of the node's subscription. */
  receive(message: TransportMessage): void {
    if (message.noResponders) return;
    const { prefix, epoch, clock, peers, inbound, resends, malformed } = this.#options;
    if (!message.subject.startsWith(prefix)) return malformed.add(message.subject, ELSEWHERE);
    const sender = message.subject.slice(prefix.length);
    if (peers.find(sender) === undefined && !isEndpoint(sender)) {
      return malformed.add(message.subject, "the sender is not an endpoint");
    }
    // no node sends headers: this message was published by JetStream or by another program
    if (message.headers !== undefined) return malformed.add(message.subject, HEADERS);
    let frame: Frame;
    try {
      frame = readFrame(message.data);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      malformed.add(message.subject, error.message);
      if (error.version !== undefined) peers.get(sender).versions([PROTOCOL]);
      return;
    }
    const peer = peers.get(sender);
    const { upTo } = peer.received;
    const runs = peer.received.take(frame.seq);
    const now = clock.monotonic();
    const late = peer.lateness.note(frame.sentAt, epoch + now);
    if (peer.lastSeenAt < 0 || peer.pingedAt >= 0) this.#options.observed(peer);
    peer.lastSeenAt = now;
    peer.late = late;
    peer.pingedAt = -1;
    peer.bounces.clear();
    let index = 0;
    let [ping, asked] = [-1, -1];
    let askedShapes: ShapesAskedItem | undefined;
    let lacking = false;
    for (const item of frame.items) {
      if (item[0] === "p") {
        ping = item[1];
        if (item[2] === 1) resends.again(peer.outgoing);
        if (item[3] !== undefined && item[3].length > 0) {
          resends.missing(peer.outgoing, item[3]);
          lacking = true;
        }
      } else if (item[0] === "s") {
        asked = item[1];
      } else if (item[0] === "k") {
        askedShapes = item;
      } else if (item[0] === "v") {
        malformed.add(message.subject, `its sender speaks protocol ${item.slice(1)}: ${OTHER}`);
      } else if (item[0] === "q" || item[0] === "m") {
        index = this.#onRequests(peer, frame.seq, item, index, runs ? late : Infinity);
      } else this.#onItem(peer, item);
    }
    // frames before this one are missing, and with them perhaps stream items; the peer may have lost frames with the
    // progress of this process's readers as well
    if (upTo > 0 && frame.seq > upTo + 1) peer.doubt();
    if (index > 0) inbound.busyAt = peer.lastSeenAt;
    // one pong and one answer for each frame, however many pings or questions the frame has
    if (ping >= 0) peer.pong(ping, inbound.load, lacking);
    if (asked >= 0) peer.outgoing.item(`["t",${asked},${this.#options.stats()}]`);
    if (askedShapes !== undefined) {
      const [, n, ...names] = askedShapes;
      peer.outgoing.item(`["l",${n},${this.#options.shapes(names)}]`);
    }
  }

  /**
   * Handles an item with requests of one contract. `index`: place of the item's first request in the frame, by which
   * the answer names the request; returns the place after the last one. `late`: the frame's lateness in ms; `Infinity`:
   * its requests must not run.
   */
  #onRequests(peer: Peer, seq: number, item: RequestsItem | RequestItem, index: number, late: number): number {
    const { inbound } = this.#options;
    if (item[0] === "m") {
      if (late < Infinity) inbound.request(peer, seq, index, item[1], item[2] - late, item[4], item[3]);
      return index + 1;
    }
    const count = Math.max(1, item.length - 3);
    for (let i = 0; late < Infinity && i < count; i++) {
      inbound.request(peer, seq, index + i, item[1], item[2] - late, item[3 + i]);
    }
    return index + count;
  }

  #onItem(peer: Peer, item: OtherItem): void {
    const { inbound } = this.#options;
    switch (item[0]) {
      case "r":
        return peer.ledger.answered(item);
      case "e":
        return onFailure(peer, item);
      case "n": {
        if (item[3] === "DRAINING") peer.leaving = true;
        const call = peer.ledger.find(item[1], item[2]);
        if (call !== undefined) peer.ledger.refused(call, isRefusal(item[3]) ? item[3] : "LATE");
        return;
      }
      case "i":
      case "a":
      case "z":
        return onStreamItem(peer, item);
      case "w":
        return inbound.onProgress(peer, item);
      case "c":
        return inbound.cancel(peer, item);
      case "o":
        return onPong(peer, item);
      case "b":
        return this.#options.accused(item[1], item[2]);
      case "h": {
        const left = this.#options.asked(item[1]);
        if (left > 0) peer.outgoing.add(["g", item[1], left]);
        return;
      }
      case "g":
        return this.#options.gap(item[1], item[2]);
      case "l":
        return this.#options.shapesKnown(item[1], item[2]);
      case "t":
        return;
    }
  }
}

/** Ends the call whose handler has failed, or whose payload the peer's version of the contract refuses. */
function onFailure(peer: Peer, [, seq, index, text, refused]: FailureItem): void {
  const call = peer.ledger.find(seq, index);
  if (call === undefined) return;
  peer.settle(call);
  peer.ledger.failed++;
  const error = readError(text, peer.node);
  const isRefusedVersion = refused === 1 || refused === 2;
  call.owner.answered(
    call,
    isRefusedVersion ? new VersionRefusal(error, { ofStored: refused === 2 }) : { ok: false, error },
  );
}

/** Gives items of a stream, a question for its reader's progress, or its end to the reader. */
function onStreamItem(peer: Peer, item: StreamItem): void {
  const call = peer.ledger.find(item[1], item[2]);
  const sink = call?.request.items;
  // no reader waits for this stream: its handler must end
  if (call === undefined) peer.outgoing.add(["c", item[1], item[2]]);
  else if (item[0] === "i") sink?.items(call, item[3], item, 4);
  else if (item[0] === "a") sink?.report(call, item[3]);
  else sink?.end(call, item[3]);
}

function onPong(peer: Peer, [, ping, upTo, missing, [inFlight, queued], inHand]: PongItem): void {
  peer.ponged(ping);
  peer.load = inFlight + queued;
  peer.ledger.missing(upTo, missing);
  if (missing.length > 0 && missing[missing.length - 1] > peer.lostUpTo) {
    peer.lostUpTo = missing[missing.length - 1];
    peer.doubt();
  }
  // calls fail as lost only if the peer knows all of its frames that are missing here; otherwise the next ping lists
  // those, and asks for the answers in them
  if (inHand !== undefined && peer.received.settle(ping)) peer.ledger.inHand(upTo, inHand);
}

/** Items that are handled one by one, in the order of the frame. */
type OtherItem = Exclude<
  FrameItem,
  RequestsItem | RequestItem | PingItem | VersionsItem | StatsAskedItem | ShapesAskedItem
>;

const OTHER = `this node ${PROTOCOL}; run one version of Catga everywhere`;
