/** Calls that cannot be sent now: each waits for the connection, or for a node that handles its contract. */
import { noHandler, noneChosen } from "../../dispatch/outcome.ts";
import { type CatgaError, unavailable } from "../../error.ts";
import type { Clock, Timer } from "../../ports/clock.ts";
import type { Call } from "../wire/call.ts";
import type { Candidates } from "./node_choice.ts";
import { nextTick } from "node:process";

/**
 * Contracts in a gap: a node handled them in the last 5 minutes, and no node handles them now, perhaps because that
 * node restarts.
 */
export interface KnownGaps {
  /** Returns true if this node knows that the contract was handled in the last 5 minutes. */
  knows(name: string): boolean;
  /**
   * Asks other nodes about a contract; {@link WaitingCalls.gapFound} is called if one of them remembers that it was
   * handled in the last 5 minutes.
   */
  ask(name: string): void;
}

/** Dependencies of {@link WaitingCalls} on the router. */
interface WaitingCallsOptions {
  readonly clock: Clock;
  readonly candidates: Pick<Candidates, "of" | "handling" | "reachable">;
  readonly gaps: KnownGaps;
  /** Returns true if this node is connected, so that its view of the other nodes is the present one. */
  connected(): boolean;
  /** Sends a call that no longer needs to wait. */
  retry(call: Call): void;
  /** Fails a call that has waited for long enough, or that came when too many calls were waiting. */
  fail(call: Call, error: CatgaError): void;
}

/** The wait of a call for a node that handles it. */
interface NodeWait {
  /** Timer that ends the wait; `undefined`: the call waits until its deadline. */
  timer: Timer | undefined;
  /** True if the call waits because the node of its last attempt was gone ({@link WaitingCalls.forReturn}). */
  readonly away: boolean;
}

/** The calls of one node that wait for the connection or for another node. */
export class WaitingCalls {
  readonly #options: WaitingCallsOptions;
  /** Calls that wait for the connection, in the order in which they came. */
  readonly #forConnection: Set<Call> = new Set();
  readonly #forNode: Map<Call, NodeWait> = new Map();
  /** Number of waiting calls whose {@link NodeWait.away} is true. */
  #away = 0;
  #checking = false;
  #polling = false;
  #stopping = false;

  constructor(options: WaitingCallsOptions) {
    this.#options = options;
  }

  /**
   * Lets a call wait until {@link WaitingCalls.connected} is called: for the connection, or until this node has
   * joined.
   */
  forConnection(call: Call): void {
    if (this.#full) return this.#refuse(call, NOT_CONNECTED);
    this.#forConnection.add(call);
  }

  /**
   * Lets a call wait for a node that handles it: until its deadline if the contract was handled in the last 5 minutes,
   * else for 500 ms. Without a connection the call waits for that first, because nobody knows then who handles it.
   */
  forNode(call: Call): void {
    if (!this.#stopping && !this.#options.connected()) return this.forConnection(call);
    if (this.#full) return this.#refuse(call, "no node handles it now");
    const { gaps } = this.#options;
    const { name } = call.request.contract;
    const unhandled = !this.#stopping && this.#isUnhandled(call);
    const known = unhandled && gaps.knows(name);
    this.#forNode.set(call, { timer: known ? undefined : this.#limit(call), away: false });
    if (unhandled && !known) gaps.ask(name);
  }

  /**
   * Lets a call wait until its deadline for a node, and sends it again. Fails the call with `error` if it allows no
   * retries, or is for one particular node, or if too many calls wait or this node stops. Called when the call's
   * attempts are used up, and the node of the last attempt could not be reached ({@link isAway}).
   */
  forReturn(call: Call, error: CatgaError): void {
    const { request } = call;
    if (this.#stopping || this.#full || request.retries === 0 || request.node !== undefined) {
      return this.#options.fail(call, error);
    }
    call.failedOn = undefined;
    // the call has used its last retry on a node that had gone, and is allowed one more
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

  /**
   * Lets the calls of a contract that would wait for 500 ms wait until their deadlines. Called when it becomes known
   * that the contract was handled in the last 5 minutes.
   */
  gapFound(name: string): void {
    if (this.#stopping) return;
    for (const [call, wait] of this.#forNode) {
      if (call.request.contract.name !== name || !this.#isUnhandled(call)) continue;
      wait.timer?.cancel();
      wait.timer = undefined;
    }
  }

  /**
   * Lets calls that wait for a node wait for 500 ms more at most, also those that wait for the connection before that.
   * Called when this node stops, and no longer notices nodes that join.
   */
  stop(): void {
    this.#stopping = true;
    const { candidates, connected } = this.#options;
    const unhandled = connected() ? [] : [...this.#forConnection].filter((call) => candidates.of(call).length === 0);
    for (const call of unhandled) {
      this.#forConnection.delete(call);
      this.forNode(call);
    }
    for (const [call, wait] of this.#forNode) wait.timer ??= this.#limit(call);
  }

  /**
   * Sends the calls that waited for the connection, or for this node to join. Called when the connection is back, or
   * this node has joined.
   */
  connected(): void {
    const calls = [...this.#forConnection];
    this.#forConnection.clear();
    for (const call of calls) this.#options.retry(call);
  }

  /**
   * Checks in the next tick of the event loop if calls that wait for a node can be sent; several calls of this method
   * before that tick cause one check. Called when the membership has changed.
   */
  nodesChanged(): void {
    if (this.#forNode.size === 0 || this.#checking) return;
    this.#checking = true;
    nextTick(() => {
      this.#checking = false;
      this.#check();
    });
  }

  /** Removes a call that has ended from the waiting calls. */
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

  /** Returns true if the call is for no particular node, and no node handles its contract. */
  #isUnhandled({ request }: Call): boolean {
    return request.node === undefined && this.#options.candidates.handling(request.contract.name).length === 0;
  }

  #limit(call: Call): Timer {
    return this.#options.clock.after(NO_HANDLER_WAIT, () => {
      if (this.#stopping || this.#options.connected()) return this.#options.fail(call, this.#noNode(call));
      this.#leave(call);
      this.forConnection(call);
    });
  }

  /** Returns the error of a call that has waited for a node for long enough. */
  #noNode(call: Call): CatgaError {
    const { contract, node } = call.request;
    const { candidates, connected, gaps } = this.#options;
    const what = `${contract.kind} ${contract.name} ${call.fate}`;
    const inGap = this.#stopping && node === undefined &&
      (this.#forNode.get(call)?.away || gaps.knows(contract.name));
    if (inGap) return unavailable(`${what}: no node that handles it is there, and this one stops`);
    if (candidates.of(call).length > 0) return noneChosen(contract).error;
    // without a connection it is not known if a node handles the contract
    return connected()
      ? noHandler(contract, node).error
      : unavailable(`${what}: ${NOT_CONNECTED}, and this node stops`);
  }

  #leave(call: Call): void {
    const wait = this.#forNode.get(call);
    if (wait === undefined) return;
    wait.timer?.cancel();
    if (wait.away) this.#away--;
    this.#forNode.delete(call);
  }

  /**
   * Sends the waiting calls for which there is a node now, in the order in which they came. (A node that has just
   * joined queues or refuses requests that are too many for it.)
   */
  #check(): void {
    const { candidates, retry } = this.#options;
    // iterates over a copy, because `retry` may put a call back into the map
    for (const [call, { away }] of [...this.#forNode]) {
      if (call.done) continue;
      const sendable = away ? candidates.reachable(call.request.contract.name) : candidates.of(call).length > 0;
      if (!sendable) continue;
      this.#leave(call);
      retry(call);
    }
  }

  /**
   * Checks the waiting calls again after a pause. A node may be back without a change of the membership: a process that
   * was stopped for a moment has not become suspect.
   */
  #poll(): void {
    if (this.#polling) return;
    this.#polling = true;
    const again = () => {
      this.#polling = false;
      if (this.#away === 0) return;
      this.#check();
      if (this.#away > 0) this.#poll();
    };
    // a background timer, because the calls' deadlines keep the process alive
    this.#options.clock.after(POLL, again, { background: true });
  }
}

/** Maximum number of calls that wait for the connection or for a node. */
export const MAX_WAITING = 65_536;
const NO_HANDLER_WAIT = 500; // ms: a node that has just joined is in every view some milliseconds later
const POLL = 250; // ms
const NOT_CONNECTED = "the network is not connected";
