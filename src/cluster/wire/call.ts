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

/** Failure of an attempt on a node. */
export type AttemptFailure =
  /** The request certainly did not run there: a bounce, a refusal, or a pong that reports its frame missing. */
  | { readonly how: "undelivered"; readonly code: NotRunCode }
  /**
   * The request was, or may have been, delivered, and the process is gone; `answered`: the process is there, and its
   * answer was lost.
   */
  | { readonly how: "lost"; readonly answered?: true }
  /** The process does not answer pings: the request may have run, and may still run. */
  | { readonly how: "silent" };

/** Owner of a call; its methods are called when the state of the call changes. */
export interface CallOwner {
  /** Called when the node answered. */
  answered(call: Call, result: Result<unknown>): void;
  /** Called when the attempt on this node failed. */
  failed(call: Call, failure: AttemptFailure, node: string): void;
  /** Called when the connection was lost before the call's frame left. */
  disconnected(call: Call): void;
  /** Called when the call's deadline has passed. */
  expired(call: Call): void;
  /** Called when the caller gave up, or the app stops. */
  aborted(call: Call, reason: CatgaError): void;
}

/** The process whose answer a call waits for. */
export interface Answerer {
  /** Sends a cancellation to the process, because the caller has given up. */
  cancel(call: Call): void;
  /** Called when no answer to this call is awaited any more. */
  settle(call: Call): void;
  /** Tells the process how many items the reader of a stream has consumed and received. */
  word(call: Call, consumed: number, received: number, again: boolean): void;
}

/** A frame with requests that has been sent. */
export class SentFrame {
  readonly seq: number;
  readonly calls: readonly Call[];
  /** Time at which the frame was sent, by the monotonic clock. */
  readonly at: number;
  /** True if the frame was written at once, before the end of its turn. */
  readonly now: boolean;
  /** Number of calls in the frame that wait for an answer. */
  open = 0;

  constructor(seq: number, calls: readonly Call[], at: number, now = false) {
    this.seq = seq;
    this.calls = calls;
    this.at = at;
    this.now = now;
  }
}

/** Reason why a request certainly did not run on a node. */
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

/** Codes with which a node refuses a request; a node that answers with another refusal code did not run it either. */
const REFUSALS = ["OVERLOADED", "DRAINING", "NO_HANDLER", "DEADLOCK"] as const;

/** Returns true if a code is one of a node's refusals. */
export function isRefusal(code: string): code is typeof REFUSALS[number] {
  return REFUSALS.some((each) => each === code);
}

/** A request on its way to another process. */
export class Call extends Deadlined {
  readonly request: RemoteRequest;
  readonly owner: CallOwner;
  readonly caller: ResultReceiver;
  /** The payload as text, once {@link Call.encode} has been called; `undefined` for a payload that is `undefined`. */
  text: string | undefined = undefined;
  encoded = false;
  attempt = 1;
  /** Number of retries that are left. */
  retriesLeft: number;
  /** Number of attempts that went on to an untried node, and used up no retry. */
  moves = 0;
  /** The message id: the sender's, or the name that the request had in its first frame; the same in every attempt. */
  id: string | undefined;
  /** The process whose answer this call waits for. */
  peer: Answerer | undefined = undefined;
  /** The frame in which this call was sent; `undefined` before. */
  frame: SentFrame | undefined = undefined;
  /** Id of the node where this call may be running, or have run; `undefined` while it certainly runs nowhere. */
  at: string | undefined = undefined;
  /** Id of the node where an earlier attempt of a command may have run, whatever the outcome of the present one. */
  ran: string | undefined = undefined;
  /**
   * Description of the call in the error if its last attempt certainly did not run: an earlier attempt may have run.
   */
  fate: "did not run" | "was not answered" = "did not run";
  /** Place of this call among the requests of its frame. */
  index = 0;
  /** Ids of the nodes on which this call failed; emptied when every node has failed it, for another chance. */
  failedOn: Set<string> | undefined = undefined;
  /** Names of the shapes whose schemas refused this call. */
  refusedBy: Set<string> | undefined = undefined;
  /** The last refusal by a schema. */
  refusal: CatgaError | undefined = undefined;
  /**
   * Versions of nodes that refused the stored state or events of this call's entity: the hashes of all their shapes.
   */
  refusedByVersions: Set<string> | undefined = undefined;
  /** True if this call has its result. */
  done = false;
  /** Listener on the caller's signal. */
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

  /** Encodes the payload. Returns an error if the payload cannot be sent, or takes more than `limit` bytes. */
  encode(limit: number): CatgaError | undefined {
    const { contract: { name }, payload, text: known, meta } = this.request;
    try {
      if (payload !== undefined) this.text = known ?? toText(payload, "INVALID_MESSAGE", "the payload", name);
    } catch (error) {
      return error as CatgaError; // `toText` throws only CatgaErrors
    }
    this.encoded = true;
    const text = (this.text ?? "") + (meta === undefined ? "" : JSON.stringify(meta));
    return tooLarge(meta?.headers === undefined ? "the payload" : "payload and headers", name, text, limit);
  }

  /** The request's meta in this attempt; `undefined`: all of its members have their defaults. */
  get meta(): Meta | undefined {
    const { request: { meta, ofEntity, timeout }, id, ran } = this;
    const span = meta?.span ?? (ofEntity && ran !== undefined ? timeout : undefined);
    return id === undefined && span === undefined ? meta : { ...meta, id, span };
  }

  /** Tells the process that feeds this stream how many items its reader has consumed and received. */
  word(consumed: number, received: number, again: boolean): void {
    this.peer?.word(this, consumed, received, again);
  }

  /** Aborts this call when the caller's signal aborts. */
  listen(signal: AbortSignal): void {
    this.onAbort = () => this.abort(cancelled(this.request.contract));
    signal.addEventListener("abort", this.onAbort, { once: true });
  }

  /**
   * Counts a failed attempt that another one follows. `moves`: it goes to a node that has not failed this call, which
   * uses up no retry.
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

/**
 * Returns the prefix of the names of requests. Frames are numbered for each receiver anew, so the prefix includes its
 * nonce.
 */
export function callPrefix(sender: string, receiver: string): string {
  return `${sender}.${receiver.slice(nodeOf(receiver).length + 1)}.`;
}
