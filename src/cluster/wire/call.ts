/**
 * A request on its way to another process, from the send to its result. Its life:
 *
 * | state     | `peer` | `frame` | `at`      | next                                                              |
 * | --------- | ------ | ------- | --------- | ----------------------------------------------------------------- |
 * | waiting   | –      | –       | –         | gathered, or running here: the router has chosen a node           |
 * | gathered  | set    | –       | the node  | sent; waiting when the connection is lost before the frame leaves |
 * | sent      | set    | set     | the node  | done by an answer; waiting when it certainly did not run          |
 * | lost      | –      | –       | the node  | gathered elsewhere, if it may run twice; else done                |
 * | here      | –      | –       | this node | done; waiting when this node refuses it                           |
 * | done      | –      | –       | any       | nothing: it has its result, in each state by deadline or abort    |
 *
 * The owner of a call (`routing/router.ts`) ends it at its deadline, and `routing/retry_decision.ts` decides with which
 * error, or whether another attempt follows a failure.
 *
 * "Waiting" is for a connection, for a node with a handler, or for the end of a backoff: the router has it. A peer's
 * ledger has it while it is gathered or sent. A lost one may have run: its process is gone, or does not respond.
 */
import type { CatgaError } from "../../error.ts";
import type { Result } from "../../contract/result.ts";
import { toText } from "../../data/encoding.ts";
import { Deadlined } from "../../ports/deadline_wheel.ts";
import type { Meta, RemoteRequest, ResultReceiver } from "../../dispatch/remote.ts";
import { cancelled } from "../../dispatch/unfinished.ts";
import { nodeOf } from "./frame.ts";
import { tooLarge } from "./frame_limits.ts";

/** How an attempt failed on a node. */
export type AttemptFailure =
  /** It certainly did not run there: a bounce, a refusal, or a pong that reports its frame missing. */
  | { readonly how: "undelivered"; readonly code: NotRunCode }
  /**
   * It was delivered, or perhaps, and the process is gone; `answered`: the process is there, and its answer was lost.
   */
  | { readonly how: "lost"; readonly answered?: true }
  /** Its process does not answer pings: it may have run, and may yet. */
  | { readonly how: "silent" };

/** Is called with what becomes of a call. */
export interface CallOwner {
  /** The node answered. */
  answered(call: Call, result: Result<unknown>): void;
  /** The attempt on this node failed. */
  failed(call: Call, failure: AttemptFailure, node: string): void;
  /** The connection was lost before its frame left. */
  disconnected(call: Call): void;
  /** Its deadline has passed. */
  expired(call: Call): void;
  /** The caller gave up, or the app stops. */
  aborted(call: Call, reason: CatgaError): void;
}

/** The process that a call waits for. */
export interface Answerer {
  /** The caller has given up: sends the process a cancellation. */
  cancel(call: Call): void;
  /** No answer to this call is awaited any more. */
  settle(call: Call): void;
  /** The reader of a stream says how far it is. */
  word(call: Call, consumed: number, received: number, again: boolean): void;
}

/** A frame with requests that has been sent. */
export class SentFrame {
  readonly seq: number;
  readonly calls: readonly Call[];
  /** When it was sent, by the monotonic clock. */
  readonly at: number;
  /** Written at once, before the end of its turn. */
  readonly now: boolean;
  /** Number of its calls that wait for an answer. */
  open = 0;

  constructor(seq: number, calls: readonly Call[], at: number, now = false) {
    this.seq = seq;
    this.calls = calls;
    this.at = at;
    this.now = now;
  }
}

/** Why a request certainly did not run on a node. */
export type NotRunCode =
  | "BOUNCED"
  | "LOST"
  | "OVERLOADED"
  | "DRAINING"
  | "NO_HANDLER"
  | "LATE"
  | "DEADLOCK"
  | "TOO_LARGE"
  | "BREAKER_OPEN";

/** The codes of a node's refusals; one with another code did not run there either. */
const REFUSALS = ["OVERLOADED", "DRAINING", "NO_HANDLER", "DEADLOCK"] as const;

/** Returns true if a code is that of a node's refusal. */
export function isRefusal(code: string): code is typeof REFUSALS[number] {
  return REFUSALS.some((each) => each === code);
}

/** A request on its way. */
export class Call extends Deadlined {
  readonly request: RemoteRequest;
  readonly owner: CallOwner;
  readonly caller: ResultReceiver;
  /** The payload as text, once it has been encoded; `undefined` for `undefined`. */
  text: string | undefined = undefined;
  encoded = false;
  attempt = 1;
  /** Retries that are left. */
  retriesLeft: number;
  /** How many attempts went on to an untried node, and used up no retry. */
  moves = 0;
  /** The message id: the sender's, or the name that the request had in its first frame; the same in every attempt. */
  id: string | undefined;
  /** The process whose answer it waits for. */
  peer: Answerer | undefined = undefined;
  /** The frame that it was sent in; `undefined` before. */
  frame: SentFrame | undefined = undefined;
  /** The id of the node where it may be running, or have run; `undefined` while it certainly runs nowhere. */
  at: string | undefined = undefined;
  /** The id of the node where an earlier attempt of a command may have run, whatever becomes of this one. */
  ran: string | undefined = undefined;
  /** How it is described when its last attempt certainly did not run: an earlier one may have. */
  fate: "did not run" | "was not answered" = "did not run";
  /** Its place among the frame's requests. */
  index = 0;
  /** The ids of the nodes that it failed on since all had a chance. */
  failedOn: Set<string> | undefined = undefined;
  /** The shapes whose schemas refused it, and what the last of them said. */
  refusedBy: Set<string> | undefined = undefined;
  refusal: CatgaError | undefined = undefined;
  /** Versions of nodes that refused what is stored of its entity: the hashes of all their shapes. */
  refusedByVersions: Set<string> | undefined = undefined;
  /** It has its result. */
  done = false;
  /** The listener on the caller's signal. */
  onAbort: (() => void) | undefined = undefined;

  constructor(
    owner: CallOwner,
    request: RemoteRequest,
    due: number,
    caller: ResultReceiver,
  ) {
    super(due);
    this.owner = owner;
    this.request = request;
    this.retriesLeft = request.retries;
    this.caller = caller;
    this.id = request.meta?.id;
  }

  /** Encodes the payload; returns the error of one that cannot be sent, or that takes more than `limit` bytes. */
  encode(limit: number): CatgaError | undefined {
    const { contract: { name }, payload, text: known, meta } = this.request;
    try {
      if (payload !== undefined) this.text = known ?? toText(payload, "INVALID_MESSAGE", "the payload", name);
    } catch (error) {
      return error as CatgaError; // the only one that it throws
    }
    this.encoded = true;
    const text = (this.text ?? "") + (meta === undefined ? "" : JSON.stringify(meta));
    return tooLarge(meta?.headers === undefined ? "the payload" : "payload and headers", name, text, limit);
  }

  /** Its meta in this attempt; `undefined`: all of it is default. */
  get meta(): Meta | undefined {
    const { request: { meta, ofEntity, timeout }, id, ran } = this;
    const span = meta?.span ?? (ofEntity && ran !== undefined ? timeout : undefined);
    return id === undefined && span === undefined ? meta : { ...meta, id, span };
  }

  /** Says how far the reader of this stream is, while it runs elsewhere. */
  word(consumed: number, received: number, again: boolean): void {
    this.peer?.word(this, consumed, received, again);
  }

  /** Aborts it with the caller's signal. */
  listen(signal: AbortSignal): void {
    this.onAbort = () => this.abort(cancelled(this.request.contract));
    signal.addEventListener("abort", this.onAbort, { once: true });
  }

  /**
   * An attempt has failed, and another one follows; `moves`: on a node that has not failed it, which uses up no retry.
   */
  count(moves: boolean): void {
    this.attempt++;
    if (moves) this.moves++;
    else this.retriesLeft--;
  }

  /** Removes the listener from the caller's signal. */
  unlisten(): void {
    if (this.onAbort !== undefined) this.request.signal!.removeEventListener("abort", this.onAbort);
  }

  override expire(): void {
    if (!this.done) this.owner.expired(this);
  }

  override abort(reason: CatgaError): void {
    if (!this.done) this.owner.aborted(this, reason);
  }
}

/** Prefix of the names of requests. Frames are counted for each receiver anew, so its nonce stands there. */
export function callPrefix(sender: string, receiver: string): string {
  return `${sender}.${receiver.slice(nodeOf(receiver).length + 1)}.`;
}
