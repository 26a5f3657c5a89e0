/** A request of another process: its frame, its place in it, what came with it, and how it is answered. */
import type { Observer } from "../../contract/observer.ts";
import { toText } from "../../data/encoding.ts";
import { writeError } from "../../dispatch/error_encoding.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import type { CatgaError } from "../../error.ts";
import type { WireMeta } from "./frame.ts";
import type { Peer } from "./peer.ts";
import type { RunningRequest } from "./running_requests.ts";
import { tooLarge } from "./size_limits.ts";
import { WireEnvelope } from "./wire_envelope.ts";

/** What an answer needs of the node. */
export interface AnswerOptions {
  readonly observer: Observer;
  /** The largest answer, in bytes. */
  payloadLimit(): number;
}

/** A request that came in a frame. */
export class InboundRequest extends WireEnvelope {
  readonly peer: Peer;
  readonly seq: number;
  readonly index: number;
  /** The contract's name. */
  readonly contract: string;
  /** When its frame arrived, by the monotonic clock. */
  readonly at: number;
  override readonly sentAt: number;

  /** The request at this place among those of the frame. */
  constructor(peer: Peer, seq: number, index: number, contract: string, meta: WireMeta | undefined) {
    super(meta);
    this.peer = peer;
    this.seq = seq;
    this.index = index;
    this.contract = contract;
    this.at = peer.lastSeenAt;
    this.sentAt = this.at - peer.late;
  }

  /** It runs, or waits for its turn, from now on. */
  begun(run: RunningRequest): void {
    this.peer.running.begun(this.seq, this.index, run);
  }

  /** It does so no longer. */
  ended(): void {
    this.peer.running.ended(this.seq, this.index);
  }

  /** Answers it, or says that it was refused. */
  answer(outcome: Outcome, { observer, payloadLimit }: AnswerOptions): void {
    const { peer, seq, index, contract } = this;
    if (outcome instanceof Refusal) return peer.refuse(seq, index, outcome.code);
    const { value } = outcome;
    if (outcome.ok && value === undefined) return peer.answer(seq, index, undefined);
    if (!outcome.ok) return peer.failure(seq, index, writeError(outcome.error, payloadLimit()));
    let text: string;
    try {
      text = toText(value, "INVALID_RESPONSE", "the answer", contract);
      const error = tooLarge("the answer", contract, text, payloadLimit());
      if (error !== undefined) throw error;
    } catch (thrown) {
      const error = thrown as CatgaError; // the only one that it throws
      observer({ type: "fault", during: "answering", error });
      return peer.failure(seq, index, writeError(error, payloadLimit()));
    }
    peer.answer(seq, index, text);
  }

  protected override name(): string {
    return `${this.peer.theirCalls}${this.seq}.${this.index}`;
  }
}
