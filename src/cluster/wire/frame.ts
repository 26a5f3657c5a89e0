/**
 * The format of frames, as types: `frame_reader.ts` reads frames, `frame_writer.ts` writes them. A frame is a message
 * with everything that one process sends to another in one turn of the event loop, as the JSON text
 * `[1, seq, sentAt, item, item, …]`.
 */
import type { Meta } from "../../dispatch/remote.ts";

/**
 * `["q", name, ttl, payload, …]`: requests of one contract. Without a payload: one request with the payload
 * `undefined`.
 */
export type RequestsItem = ["q", name: string, ttl: number, ...payloads: unknown[]];
/** `["m", name, ttl, meta, payload]`: one request whose meta (id, headers and the like) is not the default. */
export type RequestItem = ["m", name: string, ttl: number, meta: WireMeta, payload?: unknown];
/**
 * `["r", seq, index, value, …]`: answers to consecutive requests of frame `seq`; the first value answers the request at
 * index `index` among the frame's requests (from 0). Without a value: one answer `undefined`.
 */
export type AnswersItem = ["r", seq: number, index: number, ...values: unknown[]];
/**
 * `["e", seq, index, error]`: the handler of a request failed. With a 1 at the end: the node's version of the contract
 * refused the request, and no handler began; with a 2: the stored state or events of the request's entity were refused.
 */
export type FailureItem = ["e", seq: number, index: number, error: unknown, refused?: 1 | 2];
/** `["n", seq, index, code]`: a request was refused before its handler began. */
type RefusalItem = ["n", seq: number, index: number, code: string];
/**
 * `["c", seq, index]`: the caller of a request has given up. With a 1 at the end: the request has moved to another
 * node; a handler of the receiver that has acquired the claim (record that reserves the request's id) may go on.
 */
export type CancelItem = ["c", seq: number, index: number, moved?: 1];
/**
 * `["i", seq, index, n, value, …]`: items of the stream that answers request `index` of frame `seq`; the first item has
 * number `n`.
 */
type ItemsItem = ["i", seq: number, index: number, n: number, ...values: unknown[]];
/** `["a", seq, index, n]`: asks the reader of a stream to report when it has consumed `n` items. */
type AskItem = ["a", seq: number, index: number, n: number];
/** `["z", seq, index, n]`: a stream has `n` items in all. */
type EndItem = ["z", seq: number, index: number, n: number];
/**
 * `["w", seq, index, consumed, received]`: progress of a stream's reader: the number of items consumed and received.
 * With a 1 at the end: items beyond these may be lost, and must be sent again.
 */
export type ProgressItem = ["w", seq: number, index: number, consumed: number, received: number, again?: 1];
/**
 * `["p", n]`: a ping. With a 1, its sender has reconnected, and asks for all answers again. `missing`: numbers of the
 * receiver's frames that have not arrived at the sender; the sender asks for the answers in them.
 */
export type PingItem = ["p", n: number, again?: 0 | 1, missing?: number[]];
/**
 * `["o", n, upTo, missing, load]`: a pong, the answer to ping `n`. Its sender has received frames up to
 * `upTo`, except those in `missing` (`[from, to, from, to, …]`, both included), whose requests it will never run.
 * `load`: its number of requests in flight and queued. If the ping listed missing frames, the pong adds the requests of
 * the pinging process that run or wait in the pong's sender, `[seq, index, seq, index, …]`.
 */
export type PongItem = ["o", n: number, upTo: number, missing: number[], load: [number, number], inHand?: number[]];
/**
 * `["v", version, …]`: the versions of the protocol that the sender speaks; the answer to a frame of another version.
 */
export type VersionsItem = ["v", ...versions: number[]];
/**
 * `["b", endpoint, server]`: frames to that process bounce on that server. The receiver, on another server, pings the
 * process.
 */
type BouncesItem = ["b", endpoint: string, server: string];
/** `["h", name]`: asks if the receiver remembers a node that handled this contract; if not, it sends no answer. */
type HandledItem = ["h", name: string];
/** `["g", name, left]`: the sender will remember for `left` ms more that a node handled this contract. */
type GapItem = ["g", name: string, left: number];
/** `["s", n]`: asks for the receiver's statistics; `n` is the question's number. */
export type StatsAskedItem = ["s", n: number];
/**
 * `["t", n, stats]`: the answer to question `n`, a `NodeStats` without members that are 0 or empty. Nodes ignore it;
 * tools read it.
 */
type StatsItem = ["t", n: number, stats: unknown];

/**
 * `["k", n, name, …]`: question `n`, for the shapes of the receiver's contracts; with names, for the descriptions of
 * these contracts.
 */
export type ShapesAskedItem = ["k", n: number, ...names: string[]];
/**
 * `["l", n, answer]`: the answer to question `n`: the shapes of a node's contracts, as `NodeShapes`; or descriptions of
 * contracts, by name.
 */
type ShapesItem = ["l", n: number, answer: unknown];

/** An item that a handler's process sends to the reader of the handler's stream. */
export type StreamItem = ItemsItem | AskItem | EndItem;

/**
 * An item of a frame, of any kind.
 * @decides what a frame looks like
 */
export type FrameItem =
  | RequestsItem
  | RequestItem
  | AnswersItem
  | FailureItem
  | RefusalItem
  | CancelItem
  | StreamItem
  | ProgressItem
  | PingItem
  | PongItem
  | VersionsItem
  | BouncesItem
  | HandledItem
  | GapItem
  | StatsAskedItem
  | StatsItem
  | ShapesAskedItem
  | ShapesItem;

/**
 * A frame that has been checked: every item has the form of its kind. Items of unknown kinds are left out.
 * `Q`, `M`, `R`, `E` and `I` on the wire are `q`, `m`, `r`, `e` and `i` with tagged payloads, values and errors (tags
 * are texts for values that JSON lacks); a checked frame has the values instead.
 */
export interface Frame {
  readonly seq: number;
  /**
   * Time of sending in ms, by a clock of the sender that does not jump; lateness is measured by differences of such
   * times.
   */
  readonly sentAt: number;
  readonly items: readonly FrameItem[];
}

/** Meta of a request (id, headers and the like) as sent: without members that have their default. */
export interface WireMeta extends Meta {
  /** Number of the attempt; absent: 1. */
  readonly attempt?: number;
}

/**
 * A batch of events as sent: `[1, sender, sentAt, meta, payload, …]`. `meta`: headers and the like, the same for all
 * events of the batch; its `seq` is the number of the batch among the sender's batches.
 */
export interface EventFrame {
  readonly sender: string;
  /** Time of sending in ms, by the sender's wall clock. */
  readonly sentAt: number;
  readonly meta: WireMeta & { readonly seq: number };
  readonly payloads: readonly unknown[];
}
