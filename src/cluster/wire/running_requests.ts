/**
 * The requests of one other process that run in this process or wait until it has room for them, by the number of their
 * frame and their place in it.
 */
import type { CatgaError } from "../../error.ts";
import { FrameRing } from "./frame_ring.ts";

/** A request that runs or waits in this process, and can be aborted. */
export interface RunningRequest {
  abort(reason: CatgaError): void;
}

/** The requests of one frame that still run or wait. */
interface FrameRequests {
  readonly seq: number;
  /** Requests by their place in the frame; `undefined` in place of ended ones. */
  readonly requests: (RunningRequest | undefined)[];
  open: number;
}

/** The requests of one other process that run or wait in this process. */
export class RunningRequests {
  readonly #frames: FrameRing<FrameRequests> = new FrameRing();

  /** True if no request of the other process runs or waits. */
  get none(): boolean {
    return this.#frames.size === 0;
  }

  /** Places of the requests that run or wait, as `[seq, index, seq, index, …]`. */
  get places(): number[] {
    return this.#frames.values().flatMap(({ seq, requests }) =>
      requests.flatMap((request, index) => request === undefined ? [] : [seq, index])
    );
  }

  /** Returns the request at place `index` of frame `seq`; `undefined`: it neither runs nor waits. */
  find(seq: number, index: number): RunningRequest | undefined {
    return this.#frames.get(seq)?.requests[index];
  }

  /**
   * Adds a request that begins to run, or to wait until there is room for it. Its frame `seq` must be the newest one,
   * or one that has requests in this list.
   */
  begun(seq: number, index: number, request: RunningRequest): void {
    let frame = this.#frames.get(seq);
    if (frame === undefined) this.#frames.add(frame = { seq, requests: [], open: 0 });
    frame.requests[index] = request;
    frame.open++;
  }

  /**
   * Removes a request whose handler has ended, or that has left its queue: because it was dropped, or because it is
   * about to run (`begun` then adds it again).
   */
  ended(seq: number, index: number): void {
    const frame = this.#frames.get(seq);
    if (frame === undefined) return;
    frame.requests[index] = undefined;
    if (--frame.open === 0) this.#frames.delete(seq);
  }
}
