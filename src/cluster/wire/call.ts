/** A request on its way to another process, from the send to its result. */
import { Deadlined } from "../../dispatch/deadline_wheel.ts";
import type { CatgaError } from "../../error.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import type { Result } from "../../contract/result.ts";

/** What becomes of a call besides an answer; the router decides what follows. */
export interface CallOwner {
  /** The node answered. */
  answered(call: Call, result: Result<unknown>): void;
  /** It certainly did not run there: a bounce, a refusal, or a pong that has not heard of it. */
  undelivered(call: Call, code: RefusalCode, node: string): void;
  /** It was delivered, or perhaps, and the process is gone. */
  lost(call: Call, node: string): void;
  /** Its process does not hear, and it may run elsewhere. */
  silent(call: Call, node: string): void;
  /** The connection was down when it was to leave; it has not left. */
  held(call: Call): void;
  /** Its deadline has passed. */
  expired(call: Call): void;
  /** The caller gave up, or the app stops. */
  aborted(call: Call, reason: CatgaError): void;
}

/** The process that a call waits for. */
export interface Answerer {
  /** The caller has given up: tells the process. */
  cancel(call: Call): void;
  /** The process owes this call no answer any more. */
  settle(call: Call): void;
}

/** A frame with requests that has left. */
export class SentFrame {
  readonly seq: number;
  readonly calls: readonly Call[];
  /** When, by the monotonic clock. */
  readonly at: number;
  /** Calls of it that wait for an answer. */
  open = 0;

  constructor(seq: number, calls: readonly Call[], at: number) {
    this.seq = seq;
    this.calls = calls;
    this.at = at;
  }
}

/** Why a request certainly did not run on a node. */
export type RefusalCode =
  | "BOUNCED"
  | "LOST"
  | "OVERLOADED"
  | "DRAINING"
  | "NO_HANDLER"
  | "LATE"
  | "DEADLOCK"
  | "TOO_LARGE"
  | "BREAKER_OPEN";

/** A request on its way. */
export class Call extends Deadlined {
  readonly request: RemoteRequest;
  readonly owner: CallOwner;
  readonly resolve: (result: Result<unknown>) => void;
  readonly reject: (error: unknown) => void;
  /** The payload as JSON, once it has been encoded; `undefined` for `undefined`. */
  text: string | undefined = undefined;
  encoded = false;
  attempt = 1;
  /** What it is called in every attempt, once it has been called something. */
  id: string | undefined;
  /** The process that owes it an answer. */
  peer: Answerer | undefined = undefined;
  /** The frame that it left with; `undefined` before. */
  frame: SentFrame | undefined = undefined;
  /** The id of the node where it may be running, or have run; `undefined` while it certainly runs nowhere. */
  at: string | undefined = undefined;
  /** The id of the node where an earlier attempt of a command may have run, whatever becomes of this one. */
  ran: string | undefined = undefined;
  /** Its place among the frame's requests. */
  index = 0;
  /** The ids of the nodes that it failed on since all had a chance. */
  failedOn: Set<string> | undefined = undefined;
  /** The caller's signal calls it. */
  onAbort: (() => void) | undefined = undefined;
  /** It has its result. */
  done = false;

  constructor(
    owner: CallOwner,
    request: RemoteRequest,
    due: number,
    resolve: (result: Result<unknown>) => void,
    reject: (error: unknown) => void,
  ) {
    super(due);
    this.owner = owner;
    this.request = request;
    this.resolve = resolve;
    this.reject = reject;
    this.id = request.meta?.id;
  }

  override expire(): void {
    if (!this.done) this.owner.expired(this);
  }

  override abort(reason: CatgaError): void {
    if (!this.done) this.owner.aborted(this, reason);
  }
}
