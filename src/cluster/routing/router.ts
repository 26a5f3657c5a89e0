/**
 * The calls of one node that are under way: sends each to a candidate (`candidates.ts`), and when that fails does what
 * `retry_decision.ts` decides: another attempt, or an error.
 */
import type { Failure, Result } from "../../contract/result.ts";
import type { BroadcastResult } from "../../contract/sender.ts";
import type { Observer } from "../../contract/observer.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import { parseAnswer } from "../../dispatch/message_schema.ts";
import type { NodeHost } from "../../dispatch/node_host.ts";
import { Refusal } from "../../dispatch/outcome.ts";
import { type RemoteRequest, requestOf } from "../../dispatch/remote.ts";
import { CatgaError } from "../../error.ts";
import type { Clock, Random } from "../../ports/clock.ts";
import { type AttemptFailure, Call, type CallOwner } from "../wire/call.ts";
import type { Endpoint } from "../wire/endpoint.ts";
import type { Peer } from "../wire/peer.ts";
import { type BreakerOptions, Breakers } from "./breakers.ts";
import { Candidates, type KnownNode } from "./candidates.ts";
import { decideRetry, type GivenUp, isAway, isOverload, mayMoveOn, retryPause } from "./retry_decision.ts";
import { type KnownGaps, WaitingCalls } from "./waiting_calls.ts";
import { toText } from "../../data/encoding.ts";

/** What a router is made of. */
export interface RouterOptions {
  readonly app: NodeHost;
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly breaker: BreakerOptions;
  /** The nodes as the membership has them now, this one included. */
  members(): readonly KnownNode[];
  readonly gaps: KnownGaps;
}

/** Routes the requests of one node. */
export class Router implements CallOwner {
  readonly #options: RouterOptions;
  readonly #breakers: Breakers;
  readonly #candidates: Candidates;
  readonly #waiting: WaitingCalls;
  /** Calls without a result. */
  #underWay = 0;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { app, random, endpoint, breaker, clock, observer } = options;
    this.#breakers = new Breakers({ ...breaker, clock, observer, changed: () => this.refresh() });
    this.#candidates = new Candidates({
      self: app.node,
      endpoint,
      random,
      breakers: this.#breakers,
      underWay: () => this.#underWay,
      members: options.members,
    });
    this.#waiting = new WaitingCalls({
      clock,
      candidates: this.#candidates,
      gaps: options.gaps,
      retry: (call) => this.#retry(call),
      fail: (call, error) => this.#fail(call, error),
    });
  }

  /** Sends a request to one node and resolves with its answer. Rejects only with what a user's strategy throws. */
  request(request: RemoteRequest): Promise<Result<unknown>> {
    return new Promise((resolve, reject) => this.#begin(request, resolve, reject));
  }

  /** Sends a request to every node that handles it: one attempt each, on that node and no other. */
  broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]> {
    const nodes = this.#candidates.handling(request.contract.name);
    return broadcast(request, nodes, (each) => this.request(each));
  }

  #begin(request: RemoteRequest, resolve: (result: Result<unknown>) => void, reject: (error: unknown) => void): void {
    const { app } = this.#options;
    const call = new Call(this, request, app.wheel.now() + request.timeout, resolve, reject);
    app.pending++;
    this.#underWay++;
    app.wheel.add(call);
    if (request.signal !== undefined) call.listen(request.signal);
    request.parent?.execution.adopt(call);
    this.#dispatch(call, request.timeout);
  }

  /** Sends a call to a node, or has it wait for one. `left`: what is left of its time, in ms. */
  #dispatch(call: Call, left: number): void {
    if (call.done) return;
    const { app, endpoint } = this.#options;
    const chosen = this.#choose(call);
    if (call.done) return;
    if (chosen === undefined) return this.#waiting.forNode(call);
    if (chosen.id === app.node) return this.#runHere(call, left);
    const error = call.encoded ? undefined : call.encode(endpoint.payloadLimit);
    if (error !== undefined) return this.#settle(call, { ok: false, error });
    if (!endpoint.connected) return this.disconnected(call);
    const peer = endpoint.peer(chosen.endpoint);
    if (!this.#breakers.passes(peer)) {
      return this.failed(call, { how: "undelivered", code: "BREAKER_OPEN" }, chosen.id);
    }
    endpoint.send(call, peer, Math.max(1, left));
  }

  /** `undefined` without a candidate, or when the user's strategy picks none or throws: the latter ends the call. */
  #choose(call: Call): NodeInfo | undefined {
    const candidates = this.#candidates.of(call);
    const error = candidates.length === 0 ? this.#candidates.otherKind(call) : undefined;
    if (error !== undefined) this.#fail(call, error);
    if (candidates.length === 0) return undefined;
    try {
      return this.#candidates.choose(call, candidates);
    } catch (error) {
      if (this.#finish(call)) call.reject(error);
      return undefined;
    }
  }

  /** Runs this node's own handler: its context has the deadline, and is aborted with the sender's. */
  #runHere(call: Call, left: number): void {
    const { app } = this.#options;
    app.wheel.delete(call);
    call.at = app.node;
    const { request, meta } = call;
    app.runner.local({ ...request, timeout: Math.max(1, left), meta }, call.attempt).then((outcome) => {
      if (!(outcome instanceof Refusal)) return this.#conclude(call, outcome);
      if (call.done) return;
      app.wheel.add(call);
      call.at = undefined;
      this.failed(call, { how: "undelivered", code: outcome.code }, app.node);
    });
  }

  /** Another node says that this contract was handled lately. */
  gapFound(name: string): void {
    this.#waiting.gapFound(name);
  }

  /** This node stops: it notices no node that joins from now on, and waits for none. */
  stop(): void {
    this.#waiting.stop();
  }

  /** The membership or a breaker has changed. */
  refresh(): void {
    this.#candidates.refresh();
    this.#waiting.nodesChanged();
  }

  /** The connection is back: sends the calls that waited for it. */
  resume(): void {
    this.#waiting.connected();
  }

  /** Stops the breakers' timers. */
  close(): void {
    this.#breakers.close();
  }

  /** A process has answered, or shown that it is alive. */
  reachable(peer: Peer): void {
    this.#breakers.succeeded(peer);
  }

  /** A frame to a process has bounced; in the grace after a reconnect that says nothing about the process. */
  deliveryFailed(peer: Peer): void {
    if (!this.#options.endpoint.grace.running) this.#breakers.failed(peer);
  }

  /** A process does not respond: calls that may run twice move to another node, if a trusted one handles them. */
  moveFrom(peer: Peer): void {
    peer.release((call) => {
      const { request, retriesLeft } = call;
      const { contract, ofEntity } = request;
      if (decideRetry(contract, { how: "silent" }, retriesLeft, peer.node, ofEntity) !== "again") {
        return false;
      }
      return request.node === undefined && this.#candidates.trustedBesides(request.contract.name, peer.node);
    });
  }

  answered(call: Call, result: Result<unknown>): void {
    const { contract } = call.request;
    const parsed = contract.options.output === undefined ? result : parseAnswer(contract, result);
    if (parsed instanceof Promise) parsed.then((later) => this.#conclude(call, later));
    else this.#conclude(call, parsed);
  }

  disconnected(call: Call): void {
    this.#waiting.forConnection(call);
  }

  expired(call: Call): void {
    const away = this.#waiting.inGap(call);
    this.#giveUp(call, { how: "expired", sent: (call.at ?? call.ran) !== undefined, away });
  }

  aborted(call: Call, reason: CatgaError): void {
    this.#giveUp(call, { how: "aborted", sent: (call.at ?? call.ran) !== undefined, reason });
  }

  failed(call: Call, failed: AttemptFailure, node: string): void {
    if (call.done) return;
    const { observer, clock, random, endpoint } = this.#options;
    const { contract, meta, ofEntity } = call.request;
    const undelivered = failed.how === "undelivered";
    // the node may be on its way back from an outage: such attempts are not counted
    const returning = undelivered && failed.code === "BOUNCED" && endpoint.grace.running;
    const stuck = undelivered && failed.code === "DEADLOCK" && !this.#mayMove(call, node);
    (call.failedOn ??= new Set()).add(node);
    const moves = undelivered && mayMoveOn(call) && this.#candidates.untried(call);
    const next = decideRetry(contract, failed, stuck ? 0 : returning || moves ? 1 : call.retriesLeft, node, ofEntity);
    if (next === "wait") return; // for an answer, or the deadline
    if (next !== "again") {
      return isAway(failed) ? this.#waiting.forReturn(call, next) : this.#fail(call, next);
    }
    if (!undelivered && contract.kind === "command") call.ran = node;
    if (!returning) call.count(moves);
    const reason = undelivered ? failed.code : failed.how;
    observer({ type: "retry", contract: contract.name, node, reason, attempt: call.attempt, headers: meta?.headers });
    if (call.request.node === undefined && this.#candidates.of(call).length > 0) return this.#retry(call);
    // every node has failed: each has another chance
    call.failedOn = undefined;
    const pause = returning ? random() * RETURN_PAUSE : retryPause(call, failed, random);
    if (isOverload(failed) && clock.monotonic() + pause >= call.due) {
      // without attempts left there is no "again"
      return this.#fail(call, decideRetry(contract, failed, 0, node) as CatgaError);
    }
    clock.after(pause, () => this.#retry(call), { background: true }); // its deadline keeps the process alive
  }

  /** Whether another node may run it now; an ordered key has its turn at one node. */
  #mayMove(call: Call, node: string): boolean {
    return !call.request.contract.options.ordered && this.#candidates.of(call).some(({ id }) => id !== node);
  }

  /**
   * Makes another attempt, unless the deadline has passed: the wheel is up to two ticks late, and later after a freeze.
   */
  #retry(call: Call): void {
    const left = call.due - this.#options.clock.monotonic();
    if (left <= 0 && !call.done) return this.expired(call);
    this.#dispatch(call, left);
  }

  /** The caller does not wait any longer. */
  #giveUp(call: Call, failed: GivenUp): void {
    const { peer, at = call.ran ?? "" } = call;
    if (peer !== undefined) {
      if (failed.how === "aborted") peer.cancel(call);
      peer.settle(call);
    }
    const error = decideRetry(call.request.contract, failed, 0, at);
    if (error instanceof CatgaError) this.#settle(call, { ok: false, error });
  }

  /** It was answered. UNAVAILABLE, by a node that could not claim the id, says nothing about an earlier attempt. */
  #conclude(call: Call, result: Result<unknown>): void {
    if (call.ran !== undefined && result.error?.code === "UNAVAILABLE") this.#fail(call, result.error);
    else this.#settle(call, result);
  }

  /** The last attempt failed: the result is its error, or OUTCOME_UNKNOWN when an earlier attempt may have run. */
  #fail(call: Call, error: CatgaError): void {
    const next = call.ran === undefined ? error : decideRetry(call.request.contract, { how: "lost" }, 0, call.ran);
    // without attempts left there is no "again"
    this.#settle(call, { ok: false, error: next as CatgaError });
  }

  #settle(call: Call, result: Result<unknown>): void {
    if (!this.#finish(call)) return;
    this.#options.app.runner.counts.sent(call.request.contract, result);
    call.resolve(result);
  }

  /** `false` when it has ended already. */
  #finish(call: Call): boolean {
    if (call.done) return false;
    call.done = true;
    const { app } = this.#options;
    this.#underWay--;
    app.wheel.delete(call);
    this.#waiting.delete(call);
    call.unlisten();
    call.request.parent?.execution.release(call);
    if (--app.pending === 0) app.idle();
    return true;
  }
}

const RETURN_PAUSE = 100; // ms at most between attempts in the grace after a reconnect

// A broadcast: one request for each node that handles it, encoded once.

/** Sends a request to each of these nodes, or to the one that it names: one attempt each, on that node and no other. */
export async function broadcast(
  request: RemoteRequest,
  nodes: readonly NodeInfo[],
  send: (request: RemoteRequest) => Promise<Result<unknown>>,
): Promise<BroadcastResult<unknown>[]> {
  const wanted = request.node === undefined ? nodes : nodes.filter(({ id }) => id === request.node);
  const { contract: { name }, payload } = request;
  let text: string | undefined;
  try {
    // before this node's own handler runs
    if (payload !== undefined && wanted.length > 1) text = toText(payload, "INVALID_MESSAGE", "the payload", name);
  } catch (thrown) {
    const result: Failure = { ok: false, error: thrown as CatgaError }; // the only one that it throws
    return wanted.map(({ id }) => ({ node: id, result }));
  }
  return await Promise.all(
    wanted.map(async ({ id }) => ({ node: id, result: await send({ ...requestOf(request, id), text }) })),
  );
}
