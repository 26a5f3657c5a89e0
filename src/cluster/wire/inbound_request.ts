/**
 * A request that another process has sent: its frame, its place in the frame, its meta (id, headers and the like),
 * and its answer. `inbound_requests.ts` decides when the request runs, or refuses it.
 */
import type { Observer } from "../../contract/observer.ts";
import { toText } from "../../data/encoding.ts";
import type { CatgaError } from "../../error.ts";
import { writeError } from "../../dispatch/error_encoding.ts";
import { type Outcome, Refusal, VersionRefusal } from "../../dispatch/outcome.ts";
import type { WireMeta } from "./frame.ts";
import { tooLarge } from "./frame_limits.ts";
import { failureItem } from "./frame_writer.ts";
import { ReaderLine } from "./open_streams.ts";
import type { Peer } from "./peer.ts";
import type { RunningRequest } from "./running_requests.ts";
import { WireEnvelope } from "./wire_envelope.ts";

/** Dependencies on the node for answering a request. */
export interface RequestAnswerOptions {
  readonly observer: Observer;
  /** Returns the size of the largest answer, in bytes. */
  payloadLimit(): number;
}

/** A request that has arrived in a frame. */
export class InboundRequest extends WireEnvelope {
  readonly peer: Peer;
  readonly seq: number;
  readonly index: number;
  /** Name of the request's contract. */
  readonly contract: string;
  /** Time at which the request's frame arrived, by the monotonic clock. */
  readonly at: number;
  override readonly sentAt: number;
  #items: { readonly line: ReaderLine } | undefined = undefined;

  /** Makes the request at place `index` among the requests of frame `seq`. */
  constructor(peer: Peer, seq: number, index: number, contract: string, meta: WireMeta | undefined) {
    super(meta);
    this.peer = peer;
    this.seq = seq;
    this.index = index;
    this.contract = contract;
    this.at = peer.lastSeenAt;
    this.sentAt = this.at - peer.late;
  }

  /**
   * The {@link ReaderLine} that sends the items of the requested stream to its reader; only for requests of streams.
   */
  get items(): { readonly line: ReaderLine } {
    return this.#items ??= { line: new ReaderLine(this) };
  }

  /** Registers the handler's run (or wait for a turn) for this request, so that it can be cancelled. */
  begun(run: RunningRequest): void {
    this.peer.running.begun(this.seq, this.index, run);
  }

  /** Removes the registration made by `begun`. Called when the request no longer runs or waits. */
  ended(): void {
    this.peer.running.ended(this.seq, this.index);
  }

  /** Answers the request, with its result or with the code of a refusal. */
  answer(outcome: Outcome, { observer, payloadLimit }: RequestAnswerOptions): void {
    const { peer, seq, index, contract } = this;
    if (outcome instanceof Refusal) return peer.outgoing.refuse(seq, index, outcome.code);
    const { value } = outcome;
    if (outcome.ok && value === undefined) return peer.outgoing.answer(seq, index, undefined);
    const fail = (error: CatgaError, refused: 0 | 1 | 2 = 0) =>
      peer.outgoing.item(failureItem(seq, index, writeError(error, payloadLimit()), refused), true);
    if (!outcome.ok) return fail(outcome.error, outcome instanceof VersionRefusal ? outcome.ofStored ? 2 : 1 : 0);
    let text: string;
    try {
      text = toText(value, "INVALID_RESPONSE", "the answer", contract);
      const error = tooLarge("the answer", contract, text, payloadLimit());
      if (error !== undefined) throw error;
    } catch (thrown) {
      const error = thrown as CatgaError; // `toText` throws CatgaErrors only
      observer({ type: "fault", during: "answering", error });
      return fail(error);
    }
    peer.outgoing.answer(seq, index, text);
  }

  protected override name(): string {
    return `${this.peer.theirCalls}${this.seq}.${this.index}`;
  }
}
