/**
 * A request, from the send to its result. It is mostly handled by another process, the peer; the router
 * (`routing/router.ts`) owns it. Its states, with the fields of {@link Call} that are set (–: `undefined`):
 *
 * | state    | meaning                                | `peer` | `frame` | `at`      | next state              |
 * | -------- | -------------------------------------- | ------ | ------- | --------- | ----------------------- |
 * | waiting  | the router has no node for it now      | –      | –       | –         | gathered, here          |
 * | gathered | in the next frame to the peer          | set    | –       | the node  | sent, waiting           |
 * | sent     | its frame was sent                     | set    | set     | the node  | waiting, lost           |
 * | lost     | it may have run: no answer will come   | –      | –       | the node  | waiting                 |
 * | here     | handled by this process                | –      | –       | this node | waiting                 |
 * | done     | it has its result                      | –      | –       | unchanged | none                    |
 *
 * `at` is the id of the node where it may run or have run. Each state may be followed by done: by an answer, by an
 * error after which `routing/retry_decision.ts` allows no other attempt, at the deadline, or when the caller gives up.
 *
 * A waiting call waits for a connection, for a node with a handler, or for the pause before another attempt. A gathered
 * call waits again if the connection is lost before its frame is sent; a sent one, or one here, if it certainly did not
 * run. A sent call is lost if the peer is gone, does not answer pings, or says that it has sent the answer; it waits
 * again if it may run twice. Gathered and sent calls are in the peer's ledger (list of unanswered requests).
 */
import type { CatgaError } from "../../error.ts";
import type { Result } from "../../contract/calls/result.ts";
import { payloadName, unlessFits } from "../../data/message_room.ts";
import { toText } from "../../data/encoding.ts";
import { Deadlined } from "../../ports/deadline_wheel.ts";
import type { Meta, RemoteRequest, ResultReceiver } from "../../dispatch/remote.ts";
import { cancelled } from "../../dispatch/outcome.ts";
import { nodeOf } from "../../contract/nodes/subjects.ts";

/** Failure of an attempt to have a call handled by a node. */
export type AttemptFailure =
  /**
   * The request certainly did not run at the node: it bounced, was refused, or a pong has reported its frame missing.
   */
  | { readonly how: "undelivered"; readonly code: NotRunCode }
  /**
   * The request was, or may have been, delivered, and no answer will come. `answered`: the process lives and has
   * answered, but its answer was lost; absent: the process is gone.
   */
  | { readonly how: "lost"; readonly answered?: true }
  /** The process does not answer pings: the request may have run, and may still be running. */
  | { readonly how: "silent" };

/** Owner of a call (the router): its methods are called when the state of the call changes. */
export interface CallOwner {
  /** Called when the node has answered the call. */
  answered(call: Call, result: Result<unknown>): void;
  /**
   * Called when a node has answered an attempt that was given up because the node was silent. The call may have ended,
   * wait for another node, or be on its way to one.
   */
  answeredLate(call: Call, result: Result<unknown>): void;
  /** Called when the attempt to have the call handled by this node has failed. */
  failed(call: Call, failure: AttemptFailure, node: string): void;
  /** Called when the connection was lost before the frame with the call was sent. */
  disconnected(call: Call): void;
  /** Called when the call's deadline has passed. */
  expired(call: Call): void;
  /** Called when the caller has given up, or the app stops. */
  aborted(call: Call, reason: CatgaError): void;
}

/** The process whose answer a call waits for. */
export interface Answerer {
  /** Sends a cancellation of the call to the process, because the caller has given up. */
  cancel(call: Call): void;
  /** Called when no answer to the call is awaited any more. */
  settle(call: Call): void;
  /**
   * Sends the process the progress of a stream's reader: how many items it has consumed and received. `again`: the
   * items after the received ones may be lost, and must be sent again.
   */
  reportProgress(call: Call, consumed: number, received: number, again: boolean): void;
}

/** A sent frame (message to another process), as far as it has requests. */
export class SentFrame {
  readonly seq: number;
  readonly calls: readonly Call[];
  /** Time at which the frame was sent, by the monotonic clock. */
  readonly at: number;
  /** True if the frame was written to the socket at once, before the end of its turn of the event loop. */
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

/** Codes with which a node refuses a request before it runs. A refusal with any other code is handled as `LATE`. */
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
  /** The payload as JSON text, set by {@link Call.encode}; `undefined` for the payload `undefined`. */
  text: string | undefined = undefined;
  encoded = false;
  attempt = 1;
  /** Number of retries that the call has left. */
  retriesLeft: number;
  /** Number of attempts that went on to another node without using up a retry. */
  moves = 0;
  /**
   * Id of the message, the same in every attempt: given by the sender, or else the name that the request had in its
   * first frame (processes, number of the frame, place in it); `undefined`: the sender gave none, and no attempt has
   * failed yet.
   */
  id: string | undefined;
  /** The process whose answer this call waits for; `undefined`: none. */
  peer: Answerer | undefined = undefined;
  /** The frame in which this call was sent; `undefined`: it was not sent yet. */
  frame: SentFrame | undefined = undefined;
  /** Id of the node where this call may be running, or have run; `undefined` while it certainly runs nowhere. */
  at: string | undefined = undefined;
  /** Id of the node where an earlier attempt of a command may have run, whatever the outcome of the present one. */
  ran: string | undefined = undefined;
  /**
   * Words for the call in its error if the last attempt certainly did not run: `was not answered` if an earlier attempt
   * may have run, else `did not run`.
   */
  fate: "did not run" | "was not answered" = "did not run";
  /** Index of this call among the requests of its frame. */
  index = 0;
  /**
   * Ids of the nodes on which this call has failed (`undefined`: none); reset when it has failed on every node, so that
   * each may be tried again.
   */
  failedOn: Set<string> | undefined = undefined;
  /** Names of the shapes whose input schemas have refused this call. */
  refusedBy: Set<string> | undefined = undefined;
  /** Error of the last refusal of this call by an input schema. */
  refusal: CatgaError | undefined = undefined;
  /**
   * Versions of nodes (hashes of all their shapes) that have refused the stored state or events of this call's entity;
   * `undefined`: none has.
   */
  refusedByVersions: Set<string> | undefined = undefined;
  /** True when this call has its result. */
  done = false;
  /** Listener on the signal of the call's caller. */
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
      return error as CatgaError; // `toText` throws CatgaErrors only
    }
    this.encoded = true;
    const text = (this.text ?? "") + (meta === undefined ? "" : JSON.stringify(meta));
    return unlessFits(payloadName(name, meta?.headers !== undefined), text, limit, "send");
  }

  /**
   * Meta (id, headers and the like) of the request in this attempt; `undefined`: all of its members have their
   * defaults.
   */
  get meta(): Meta | undefined {
    const { request: { meta, ofEntity, timeout }, id, ran } = this;
    const span = meta?.span ?? (ofEntity && ran !== undefined ? timeout : undefined);
    if (ran !== undefined) return { ...meta, id, span, ran: true };
    return id === undefined && span === undefined ? meta : { ...meta, id, span };
  }

  /**
   * Sends the process that feeds this stream the progress of its reader: how many items it has consumed and received.
   * `again`: items beyond these may be lost, and must be sent again.
   */
  reportProgress(consumed: number, received: number, again: boolean): void {
    this.peer?.reportProgress(this, consumed, received, again);
  }

  /** Listens to the caller's signal: this call aborts when the signal does. */
  listen(signal: AbortSignal): void {
    this.onAbort = () => this.abort(cancelled(this.request.contract));
    signal.addEventListener("abort", this.onAbort, { once: true });
  }

  /**
   * Counts a failed attempt after which another one follows. `moves`: the next attempt goes to a node on which the
   * call has not failed, and uses up no retry.
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
 * Returns the prefix of the names of one process's requests to another. It includes the receiver's nonce, because
 * frames are numbered anew for each receiver.
 */
export function callPrefix(sender: string, receiver: string): string {
  return `${sender}.${receiver.slice(nodeOf(receiver).length + 1)}.`;
}
