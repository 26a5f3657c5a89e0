/**
 * The other processes that this one exchanges frames with, as many as fit into the memory: forged senders must not
 * fill it.
 */
import type { Random } from "../../ports/clock.ts";
import type { Peer, PeerIdentity } from "./peer.ts";

/** The peers of one process. */
export class PeerTable {
  readonly #random: Random;
  readonly #make: (endpoint: string, identity: PeerIdentity) => Peer;
  readonly #peers: Map<string, Peer> = new Map();
  readonly #bySlot: Map<number, Peer> = new Map();
  #slots = 0;
  /** Peers have been forgotten: a new one may be an old one. */
  #forgot = false;
  /** The highest number of a frame to a forgotten peer, which would take a lower one for an old frame. */
  #forgottenSeq = 0;
  /** How many peers there may be before some are forgotten. */
  #room = MAX_PEERS;

  /** `make` is called for each new peer. */
  constructor(random: Random, make: (endpoint: string, identity: PeerIdentity) => Peer) {
    this.#random = random;
    this.#make = make;
  }

  /** All of them. */
  values(): Iterable<Peer> {
    return this.#peers.values();
  }

  /** The peer of this endpoint, if frames were exchanged with it. */
  find(endpoint: string): Peer | undefined {
    return this.#peers.get(endpoint);
  }

  /** The peer with this number. */
  bySlot(slot: number): Peer | undefined {
    return this.#bySlot.get(slot);
  }

  /** The peer of this endpoint; a new one takes the place of forgotten ones when there are too many. */
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
   * First number of frames to a new peer: a random one, so that nobody can guess which answers it may
   * give. Above those of forgotten peers the range is a small part of what is left, which therefore lasts however many
   * are forgotten.
   */
  #begin(): number {
    const range = (HIGHEST_BEGIN - this.#forgottenSeq) / (this.#forgot ? 65_536 : 16);
    return this.#forgottenSeq + Math.floor(this.#random() * range);
  }

  /** Forgets peers with nothing under way, those that were last seen the longest ago. */
  #forget(): void {
    const idle = [...this.#peers.values()].filter((peer) => peer.idle).sort((a, b) => a.lastSeenAt - b.lastSeenAt);
    for (const peer of idle.slice(0, MAX_PEERS / 2)) {
      this.#peers.delete(peer.endpoint);
      this.#bySlot.delete(peer.slot);
      this.#forgot = true;
      this.#forgottenSeq = Math.max(this.#forgottenSeq, peer.seq);
    }
    // when most of them are busy, not to look through all of them at every message
    this.#room = Math.max(MAX_PEERS, 2 * this.#peers.size);
  }
}

/** Peers before some are forgotten. */
export const MAX_PEERS = 4_096;
/** Numbers up to the highest safe integer, 2^53 - 1, remain for the frames. */
const HIGHEST_BEGIN = 2 ** 52;
