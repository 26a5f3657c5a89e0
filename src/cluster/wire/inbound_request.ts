/** A request of another process: its frame, its place in it, and what came with it. */
import type { WireMeta } from "./frame.ts";
import type { Peer } from "./peer.ts";
import { WireEnvelope } from "./wire_envelope.ts";

/** A request that came in a frame. */
export class InboundRequest extends WireEnvelope {
  readonly peer: Peer;
  readonly seq: number;
  readonly index: number;
  /** The contract's name. */
  readonly contract: string;

  /** The request at this place among those of the frame. */
  constructor(peer: Peer, seq: number, index: number, contract: string, meta: WireMeta | undefined) {
    super(meta);
    this.peer = peer;
    this.seq = seq;
    this.index = index;
    this.contract = contract;
  }

  protected override name(): string {
    return `${this.peer.theirCalls}${this.seq}.${this.index}`;
  }
}
