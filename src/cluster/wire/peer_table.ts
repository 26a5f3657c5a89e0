/**
 * The peers of one process: other processes with which it exchanges frames. Their number is limited, so that forged
 * senders cannot fill the memory.
 */
import type { Random } from "../../ports/clock.ts";
import type { Peer, PeerIdentity } from "./peer.ts";

/** Finds, makes and forgets the peers of one process: other processes with which it exchanges frames. */
export class PeerTable {
  readonly #random: Random;
  readonly #make: (endpoint: string, identity: PeerIdentity) => Peer;
  readonly #peers: Map<string, Peer> = new Map();
  readonly #bySlot: Map<number, Peer> = new Map();
  #slots = 0;
  /** True if peers have been forgotten: a peer that is made now may be one of the forgotten ones. */
  #forgot = false;
  /**
   * Highest number of a frame that was sent to a forgotten peer. If the next frame to it had a lower number, the peer
   * would ignore it as an old frame.
   */
  #forgottenSeq = 0;
  /** Number of peers at which some are forgotten. */
  #room = MAX_PEERS;

  /** `make`: makes the peer for an endpoint. */
  constructor(random: Random, make: (endpoint: string, identity: PeerIdentity) => Peer) {
    this.#random = random;
    this.#make = make;
  }

  /** Returns all peers. */
  values(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** Returns the peer with this endpoint; `undefined`: no frames were exchanged with it. */
  find(endpoint: string): Peer | undefined {
    return this.#peers.get(endpoint);
  }

  /** Returns the peer to which this process has given this number; `undefined`: none. */
  bySlot(slot: number): Peer | undefined {
    return this.#bySlot.get(slot);
  }

  /**
   * Returns the peer with this endpoint, making it if there is none. If there are too many peers, others are
   * forgotten.
   */
  get(endpoint: string): Peer {
    const known = this.#peers.get(endpoint);
    if (known !== undefined) return known;
    if (this.#peers.size >= this.#room) this.#forget();
    const slot = this.#slots++;
    const peer = this.#make(endpoint, { slot, after: this.#begin(), forgotten: this.#forgot });
    this.#peers.set(endpoint, peer);
    this.#bySlot.set(slot, peer);
    return peer;
  }

  /**
   * Returns a number for a new peer, whose first frame gets the next number: random, so that nobody can guess which
   * requests the peer may answer. It is above the numbers used for forgotten peers, in a small part of the remaining
   * range, so that the range lasts however many peers are forgotten.
   */
  #begin(): number {
    const range = (HIGHEST_BEGIN - this.#forgottenSeq) / (this.#forgot ? 65_536 : 16);
    return this.#forgottenSeq + Math.floor(this.#random() * range);
  }

  /** Forgets peers that have nothing under way, beginning with the peer that was last seen the longest ago. */
  #forget(): void {
    const idle = [...this.#peers.values()].filter((peer) => peer.idle).sort((a, b) => a.lastSeenAt - b.lastSeenAt);
    for (const peer of idle.slice(0, MAX_PEERS / 2)) {
      this.#peers.delete(peer.endpoint);
      this.#bySlot.delete(peer.slot);
      this.#forgot = true;
      this.#forgottenSeq = Math.max(this.#forgottenSeq, peer.outgoing.seq);
    }
    // if most peers are busy, the limit grows, so that they are not all checked at every message
    this.#room = Math.max(MAX_PEERS, 2 * this.#peers.size);
  }
}

/** Number of peers at which some are forgotten. */
export const MAX_PEERS = 4_096;
/** Limit of the random start; the numbers from it to the highest safe integer, 2^53 - 1, remain for frames. */
const HIGHEST_BEGIN = 2 ** 52;
