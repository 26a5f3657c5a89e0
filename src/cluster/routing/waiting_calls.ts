/** Calls that cannot be sent now: they wait for the connection, or for a node that handles them. */
import { nextTick } from "node:process";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Call } from "../wire/call.ts";

/** What waiting calls need of the router. */
export interface WaitingCallsOptions {
  readonly clock: Clock;
  /** Whether a node handles the call now. */
  sendable(call: Call): boolean;
  /** It need not wait any longer. */
  retry(call: Call): void;
  /** No node that handles it has joined within 500 ms. */
  noNode(call: Call): void;
}

/** The waiting calls of one node. */
export class WaitingCalls {
  readonly #options: WaitingCallsOptions;
  /** In the order in which they came. */
  readonly #forConnection: Set<Call> = new Set();
  readonly #forNode: Map<Call, Timer> = new Map();
  #checking = false;

  constructor(options: WaitingCallsOptions) {
    this.#options = options;
  }

  /** Has a call wait for {@link WaitingCalls.connected}. `false`: {@link MAX_OFFLINE} calls do already. */
  forConnection(call: Call): boolean {
    if (this.#forConnection.size >= MAX_OFFLINE) return false;
    this.#forConnection.add(call);
    return true;
  }

  /** Has a call wait for a node that handles it. */
  forNode(call: Call): void {
    const { clock, noNode } = this.#options;
    this.#forNode.set(call, clock.after(NO_HANDLER_WAIT, () => noNode(call)));
  }

  /** The connection is back. */
  connected(): void {
    const calls = [...this.#forConnection];
    this.#forConnection.clear();
    for (const call of calls) this.#options.retry(call);
  }

  /** The nodes have changed: those that wait for one are looked at in the next tick, once for many changes. */
  nodesChanged(): void {
    if (this.#forNode.size === 0 || this.#checking) return;
    this.#checking = true;
    nextTick(() => {
      this.#checking = false;
      this.#check();
    });
  }

  /** A call has ended. */
  delete(call: Call): void {
    if (this.#forConnection.size > 0) this.#forConnection.delete(call);
    const timer = this.#forNode.size === 0 ? undefined : this.#forNode.get(call);
    if (timer === undefined) return;
    timer.cancel();
    this.#forNode.delete(call);
  }

  #check(): void {
    const { sendable, retry } = this.#options;
    // a copy: a call may have to wait again
    for (const [call, timer] of [...this.#forNode]) {
      if (call.done || !sendable(call)) continue;
      timer.cancel();
      this.#forNode.delete(call);
      retry(call);
    }
  }
}

/** How many calls may wait for the connection. */
export const MAX_OFFLINE = 65_536;
const NO_HANDLER_WAIT = 500; // ms: a node that has just joined is in every view some milliseconds later
