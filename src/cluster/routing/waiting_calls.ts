/** Calls that cannot be sent now: they wait for the connection, or for a node that handles them. */
import { noHandler, noneChosen } from "../../dispatch/outcome.ts";
import { type CatgaError, unavailable } from "../../error.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Call } from "../wire/call.ts";
import type { Candidates } from "./node_choice.ts";
import { nextTick } from "node:process";

/** The contracts that a node handled lately, and that none handles now: a node that handles them may be restarting. */
export interface KnownGaps {
  /** Returns true if this contract is known to be one of them. */
  knows(name: string): boolean;
  /** Asks other nodes; {@link WaitingCalls.gapFound} is called when one says so. */
  ask(name: string): void;
}

/** Dependencies of waiting calls on the router. */
interface WaitingCallsOptions {
  readonly clock: Clock;
  readonly candidates: Pick<Candidates, "of" | "handling" | "reachable">;
  readonly gaps: KnownGaps;
  /** It need not wait any longer. */
  retry(call: Call): void;
  /** It has waited for long enough, or too many wait already. */
  fail(call: Call, error: CatgaError): void;
}

/** How a call waits for a node. */
interface NodeWait {
  /** Ends the wait; without one the call waits until its deadline. */
  timer: Timer | undefined;
  /** There were nodes that handle it, and none of them was there when the call was sent. */
  readonly away: boolean;
}

/** The waiting calls of one node. */
export class WaitingCalls {
  readonly #options: WaitingCallsOptions;
  /** In the order in which they came. */
  readonly #forConnection: Set<Call> = new Set();
  readonly #forNode: Map<Call, NodeWait> = new Map();
  /** How many of these wait for a node that was away. */
  #away = 0;
  #checking = false;
  #polling = false;
  #stopping = false;

  constructor(options: WaitingCallsOptions) {
    this.#options = options;
  }

  /** Has a call wait for {@link WaitingCalls.connected}: for the connection, or until this node has joined. */
  forConnection(call: Call): void {
    if (this.#full) return this.#refuse(call, "the network is not connected");
    this.#forConnection.add(call);
  }

  /** Has a call wait for a node that handles it: until its deadline if its contract is in a gap, else for 500 ms. */
  forNode(call: Call): void {
    if (this.#full) return this.#refuse(call, "no node handles it now");
    const { gaps } = this.#options;
    const { name } = call.request.contract;
    const unhandled = !this.#stopping && this.#isUnhandled(call);
    const known = unhandled && gaps.knows(name);
    this.#forNode.set(call, { timer: known ? undefined : this.#limit(call), away: false });
    if (unhandled && !known) gaps.ask(name);
  }

  /**
   * The attempts of a call are used up, and its last one found nobody there. Has it wait until its deadline for a node,
   * and try again; `error` is its result if it may not, because it has no retries or is for one node.
   */
  forReturn(call: Call, error: CatgaError): void {
    const { request } = call;
    if (this.#stopping || this.#full || request.retries === 0 || request.node !== undefined) {
      return this.#options.fail(call, error);
    }
    call.failedOn = undefined;
    // the last one was used up without a node
    call.retriesLeft = Math.max(call.retriesLeft, 1);
    this.#forNode.set(call, { timer: undefined, away: true });
    this.#away++;
    this.#poll();
  }

  /** Returns true if a call waits until its deadline for a node. */
  inGap(call: Call): boolean {
    const wait = this.#forNode.get(call);
    return wait !== undefined && wait.timer === undefined;
  }

  /** It has turned out that a contract is in a gap: calls that would wait for 500 ms wait until their deadlines. */
  gapFound(name: string): void {
    if (this.#stopping) return;
    for (const [call, wait] of this.#forNode) {
      if (call.request.contract.name !== name || !this.#isUnhandled(call)) continue;
      wait.timer?.cancel();
      wait.timer = undefined;
    }
  }

  /** This node stops, and notices no node that joins: calls wait for one no longer than 500 ms. */
  stop(): void {
    this.#stopping = true;
    for (const [call, wait] of this.#forNode) wait.timer ??= this.#limit(call);
  }

  /** The connection is back, or this node has joined. */
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
    if (this.#forNode.size > 0) this.#leave(call);
  }

  get #full(): boolean {
    return this.#forConnection.size + this.#forNode.size >= MAX_WAITING;
  }

  #refuse(call: Call, why: string): void {
    const message = `${why}, and ${MAX_WAITING} requests wait already`;
    this.#options.fail(call, unavailable(message));
  }

  /** Returns true if any node may have the call, and none handles its contract. */
  #isUnhandled({ request }: Call): boolean {
    return request.node === undefined && this.#options.candidates.handling(request.contract.name).length === 0;
  }

  #limit(call: Call): Timer {
    return this.#options.clock.after(NO_HANDLER_WAIT, () => this.#options.fail(call, this.#noNode(call)));
  }

  #noNode(call: Call): CatgaError {
    const { contract, node } = call.request;
    const { candidates, gaps } = this.#options;
    const inGap = this.#stopping && node === undefined &&
      (this.#forNode.get(call)?.away || gaps.knows(contract.name));
    if (!inGap) return (candidates.of(call).length > 0 ? noneChosen(contract) : noHandler(contract, node)).error;
    const message =
      `${contract.kind} ${contract.name} ${call.fate}: no node that handles it is there, and this one stops`;
    return unavailable(message);
  }

  #leave(call: Call): void {
    const wait = this.#forNode.get(call);
    if (wait === undefined) return;
    wait.timer?.cancel();
    if (wait.away) this.#away--;
    this.#forNode.delete(call);
  }

  /** In the order in which they came. A node that has just joined queues what is too much for it, or refuses it. */
  #check(): void {
    const { candidates, retry } = this.#options;
    // a copy: a call may have to wait again
    for (const [call, { away }] of [...this.#forNode]) {
      if (call.done) continue;
      const sendable = away ? candidates.reachable(call.request.contract.name) : candidates.of(call).length > 0;
      if (!sendable) continue;
      this.#leave(call);
      retry(call);
    }
  }

  /** A node that refuses because it stops is no suspect, so that no change may follow. */
  #poll(): void {
    if (this.#polling) return;
    this.#polling = true;
    const again = () => {
      this.#polling = false;
      if (this.#away === 0) return;
      this.#check();
      if (this.#away > 0) this.#poll();
    };
    this.#options.clock.after(POLL, again, { background: true }); // the calls' deadlines keep the process alive
  }
}

/** Limit of waiting calls. */
export const MAX_WAITING = 65_536;
const NO_HANDLER_WAIT = 500; // ms: a node that has just joined is in every view some milliseconds later
const POLL = 250; // ms
