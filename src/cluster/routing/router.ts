/**
 * Decides which node handles a request, this node or another. The router sends each call to a candidate
 * (`node_choice.ts`), lets calls that cannot be sent now wait (`WaitingCalls`), and after a failed attempt follows
 * `decideRetry`: another attempt, or an error. A broadcast goes once to each node.
 * @decides the deadline of a request to another node passes
 */
import type { Failure, Result } from "../../contract/calls/result.ts";
import type { BroadcastResult } from "../../contract/calls/sender.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { parseAnswer } from "../../dispatch/message_schema.ts";
import type { NodeHost } from "../../dispatch/node_host.ts";
import { plainResult, Refusal, VersionRefusal } from "../../dispatch/outcome.ts";
import { type RemoteRequest, requestOf, type RequestRouter, type ResultReceiver } from "../../dispatch/remote.ts";
import { CatgaError } from "../../error.ts";
import type { Clock, Random } from "../../ports/clock.ts";
import { type AttemptFailure, Call, type CallOwner } from "../wire/call.ts";
import type { Endpoint } from "../wire/endpoint.ts";
import type { Peer } from "../wire/peer.ts";
import { type BreakerOptions, Breakers, type KnownNode } from "./breakers.ts";
import { Candidates, type KnownShapes } from "./node_choice.ts";
import { afterRefusedRequest } from "../../contract/schemas/shape_rules.ts";
import { isHandlerFailing } from "../../contract/nodes/alarms.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { type KnownGaps, WaitingCalls } from "./waiting_calls.ts";
import { decideRetry, type GivenUp, isAway, isOverload, mayMoveOn, retryPause } from "./retry_decision.ts";
import { toText } from "../../data/encoding.ts";

/** Options of a router. */
export interface RouterOptions {
  readonly app: NodeHost;
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly breaker: BreakerOptions;
  /** Returns the present members of the cluster, this node included. */
  members(): readonly KnownNode[];
  readonly gaps: KnownGaps;
  readonly shapes: KnownShapes;
}

/** Routes the requests of one node to the nodes that handle them. */
export class Router implements CallOwner, RequestRouter {
  readonly #options: RouterOptions;
  readonly #breakers: Breakers;
  readonly #candidates: Candidates;
  readonly #waiting: WaitingCalls;
  /** Resolves when this node has joined the cluster, or closes. */
  readonly #joining = Promise.withResolvers<void>();
  #joined = false;
  /** Number of this node's calls without a result. */
  #underWay = 0;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { app, random, endpoint, breaker, clock, observer, shapes } = options;
    this.#breakers = new Breakers({
      ...{ ...breaker, clock, observer, members: options.members },
      changed: () => this.refresh(),
    });
    this.#candidates = new Candidates({
      self: app.node,
      endpoint,
      random,
      ...{ clock, breakers: this.#breakers, ownUnready: () => app.unready },
      underWay: () => this.#underWay,
      ...{ members: options.members, shapes },
    });
    this.#waiting = new WaitingCalls({
      clock,
      candidates: this.#candidates,
      gaps: options.gaps,
      connected: () => options.endpoint.connected,
      retry: (call) => this.#retry(call),
      fail: (call, error) => this.#fail(call, error),
    });
  }

  request(request: RemoteRequest, refused?: Refusal): Promise<Result<unknown>> {
    return new Promise((resolve, reject) => this.begin(request, { resolve, reject }, refused));
  }

  /** Sends a request to every node that handles it: one attempt for each node, not repeated. */
  async broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]> {
    await this.#joining.promise;
    const nodes = this.#candidates.handling(request.contract.name);
    return await broadcast(request, nodes, (each) => this.request(each));
  }

  /**
   * Sends the calls that waited for this node to join. Called when this node has become a member and knows the other
   * members; they may have sent requests to this node before.
   */
  joined(): void {
    this.#joined = true;
    this.#joining.resolve();
    this.#waiting.connected();
  }

  begin(request: RemoteRequest, caller: ResultReceiver, refused?: Refusal): void {
    const { app, clock } = this.#options;
    const left = refused === undefined ? request.timeout : refused.remaining(clock.monotonic());
    const call = new Call(this, request, app.wheel.now() + left, caller);
    if (request.refusedBy !== undefined) call.refusedBy = new Set(request.refusedBy);
    app.underWay.begin();
    this.#underWay++;
    app.wheel.add(call);
    if (request.signal !== undefined) call.listen(request.signal);
    request.parent?.execution.adopt(call);
    if (refused === undefined) this.#dispatch(call, left);
    else this.failed(call, { how: "undelivered", code: refused.code }, app.node);
  }

  /** Sends a call to a node, or lets it wait for a node. `left`: the time until the call's deadline, in ms. */
  #dispatch(call: Call, left: number): void {
    if (call.done) return;
    const { app, endpoint } = this.#options;
    const chosen = this.#choose(call);
    if (call.done) return;
    if (chosen === undefined) return this.#joined ? this.#waiting.forNode(call) : this.#waiting.forConnection(call);
    if (call.request.sent !== undefined) call.request.sent.endpoint = chosen.endpoint;
    if (chosen.id === app.node) return this.#runHere(call, left);
    const error = call.encoded ? undefined : call.encode(endpoint.payloadLimit);
    if (error !== undefined) return this.#settle(call, { ok: false, error });
    if (!endpoint.connected) return this.disconnected(call);
    const peer = endpoint.peer(chosen.endpoint);
    if (!this.#breakers.passes(peer)) return this.failed(call, { how: "undelivered", code: "BREAKER_OPEN" }, chosen.id);
    endpoint.send(call, peer, Math.max(1, left));
  }

  /**
   * Chooses the node for a call. Returns `undefined` if there is no candidate, or if the user's routing strategy
   * picks none or throws; an error of the strategy ends the call.
   */
  #choose(call: Call): NodeInfo | undefined {
    const candidates = this.#candidates.of(call);
    const error = candidates.length === 0 ? call.refusal ?? this.#candidates.otherKind(call) : undefined;
    if (error !== undefined) this.#fail(call, error);
    if (candidates.length === 0) return undefined;
    try {
      return this.#candidates.choose(call, candidates);
    } catch (error) {
      if (this.#finish(call)) call.caller.reject(error);
      return undefined;
    }
  }

  /**
   * Runs the call in this node's own handler, whose context has the call's deadline and aborts with the sender's
   * context. `left`: the time until the deadline, in ms.
   */
  #runHere(call: Call, left: number): void {
    const { app } = this.#options;
    app.wheel.delete(call);
    call.at = app.node;
    const { request, meta } = call;
    // if neither the time left nor the meta (id, headers and the like) has changed, as in the first attempt, the
    // request is passed on without a copy
    const isSame = left === request.timeout && meta === request.meta;
    const own = isSame ? request : { ...request, timeout: Math.max(1, left), meta };
    app.runner.local(own, call.attempt).then((outcome) => {
      if (!(outcome instanceof Refusal)) return this.#conclude(call, outcome);
      if (call.done) return;
      app.wheel.add(call);
      call.at = undefined;
      this.failed(call, { how: "undelivered", code: outcome.code }, app.node);
    });
  }

  /**
   * Returns the name of this node's shape of a contract, if nodes with other versions handle the contract, too; else
   * `undefined`.
   */
  shapeBesideOthers(contract: AnyContract): string | undefined {
    return this.#candidates.shapeBesideOthers(contract);
  }

  /** Returns a node of this service with another version of a contract; `undefined`: none. */
  ofAnotherVersion(contract: AnyContract, service: string): NodeInfo | undefined {
    return this.#candidates.ofAnotherVersion(contract, service);
  }

  /**
   * Lets calls of a contract wait until their deadlines. Called when another node reports that this contract was
   * handled in the last 5 minutes.
   */
  gapFound(name: string): void {
    this.#waiting.gapFound(name);
  }

  /** Lets calls that wait for a node wait for 500 ms more at most. Called when this node stops. */
  stop(): void {
    this.#waiting.stop();
  }

  /**
   * Computes the candidates again, and checks the waiting calls. Called when the membership or a breaker has changed.
   */
  refresh(): void {
    this.#candidates.refresh();
    this.#waiting.nodesChanged();
  }

  /** Sends the calls that waited for the connection. Called when the connection is back. */
  resume(): void {
    this.#waiting.connected();
  }

  /** Stops the timers of the circuit breakers. */
  close(): void {
    this.#joining.resolve(); // this node may never have joined the cluster
    this.#breakers.close();
  }

  /** Closes the circuit breaker of a process that has shown that it is alive. */
  reachable(peer: Peer): void {
    this.#breakers.succeeded(peer);
  }

  /**
   * Counts a failed delivery to a process whose frame has bounced, except in the grace after a reconnect, when a bounce
   * proves nothing about the process.
   */
  deliveryFailed(peer: Peer): void {
    if (!this.#options.endpoint.grace.running) this.#breakers.failed(peer);
  }

  /**
   * Moves calls that may run twice from a process to another node, if one handles them that is not suspect and whose
   * circuit breaker is closed. Called when the process does not answer pings.
   */
  moveFrom(peer: Peer): void {
    peer.release((call) => {
      const { request, retriesLeft } = call;
      const { contract, ofEntity } = request;
      if (decideRetry(contract, { how: "silent" }, retriesLeft, peer.node, { ofEntity }) !== "again") return false;
      return request.node === undefined && this.#candidates.trustedBesides(request.contract.name, peer.node);
    });
  }

  answered(call: Call, result: Result<unknown>): void {
    const { contract } = call.request;
    const parsed = contract.options.output === undefined ? result : parseAnswer(contract, result);
    if (parsed instanceof Promise) parsed.then((later) => this.#conclude(call, later));
    else this.#conclude(call, parsed);
  }

  answeredLate(call: Call, result: Result<unknown>): void {
    const { peer } = call;
    if (peer !== undefined) {
      peer.cancel(call); // another node has the call by now
      peer.settle(call);
    }
    this.answered(call, result);
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
    // an attempt that bounced uses up no retry in the grace (the time after a reconnect of this node):
    // the other node may be reconnecting as well
    const returning = undelivered && failed.code === "BOUNCED" && endpoint.grace.running;
    const stuck = undelivered && failed.code === "DEADLOCK" && !this.#mayMove(call, node);
    (call.failedOn ??= new Set()).add(node);
    const moves = undelivered && mayMoveOn(call) && this.#candidates.untried(call);
    const left = stuck ? 0 : returning || moves ? 1 : call.retriesLeft;
    const next = decideRetry(contract, failed, left, node, { ofEntity, fate: call.fate });
    if (next === "wait") return; // an answer, or the deadline, will end the call
    if (next !== "again") return isAway(failed) ? this.#waiting.forReturn(call, next) : this.#fail(call, next);
    if (!undelivered) {
      call.fate = "was not answered";
      if (contract.kind === "command") call.ran = node;
    }
    if (!returning) call.count(moves);
    const reason = undelivered ? failed.code : failed.how;
    observer({ type: "retry", contract: contract.name, node, reason, attempt: call.attempt, headers: meta?.headers });
    if (call.request.node === undefined && this.#candidates.of(call).length > 0) return this.#retry(call);
    // the call has failed on every node: each node may be tried again
    call.failedOn = undefined;
    const pause = returning ? random() * RETURN_PAUSE : retryPause(call, failed, random);
    if (isOverload(failed) && clock.monotonic() + pause >= call.due) {
      // without attempts left, `decideRetry` never returns "again"
      return this.#fail(call, decideRetry(contract, failed, 0, node, { ofEntity, fate: call.fate }) as CatgaError);
    }
    // a background timer, because the call's deadline keeps the process alive
    clock.after(pause, () => this.#retry(call), { background: true });
  }

  /** Returns true if another node may run the call now. A message of an ordered contract must stay at one node. */
  #mayMove(call: Call, node: string): boolean {
    return !call.request.contract.options.ordered && this.#candidates.of(call).some(({ id }) => id !== node);
  }

  /**
   * Makes another attempt, unless the call's deadline has passed: the timer that ends calls is up to two ticks (of 10
   * ms) late, and later after a freeze.
   */
  #retry(call: Call): void {
    const left = call.due - this.#options.clock.monotonic();
    if (left <= 0 && !call.done) return this.expired(call);
    this.#dispatch(call, left);
  }

  /** Ends a call whose caller no longer waits. `failed`: why. */
  #giveUp(call: Call, failed: GivenUp): void {
    const { peer, at = call.ran ?? "" } = call;
    if (peer !== undefined) {
      if (failed.how === "aborted") peer.cancel(call);
      peer.settle(call);
    }
    const error = decideRetry(call.request.contract, failed, 0, at, { fate: call.fate });
    if (error instanceof CatgaError) this.#settle(call, { ok: false, error });
  }

  /**
   * Ends a call with the result that a node has answered. If the answer is `UNAVAILABLE` (the node could not claim the
   * message's id) and an earlier attempt may have run, the result is `OUTCOME_UNKNOWN`.
   */
  #conclude(call: Call, result: Result<unknown>): void {
    if (result instanceof VersionRefusal) return this.#refused(call, result);
    if (result.error !== undefined && call.at !== undefined && isHandlerFailing(result.error.code)) {
      this.#candidates.failedAt(call.at);
    }
    if (call.ran !== undefined && result.error?.code === "UNAVAILABLE") this.#fail(call, result.error);
    else this.#settle(call, result);
  }

  /**
   * Handles the refusal of a call by a node's version of the contract, before a handler began, or because of the stored
   * state of the call's entity. The call goes on to one node of each other version (shape) of the contract, which uses
   * up no retry. A request for one particular node fails with the refusal.
   */
  #refused(call: Call, { error, ofStored }: VersionRefusal): void {
    if (call.done) return;
    const { app, observer } = this.#options;
    const { contract, meta, node: only } = call.request;
    const node = call.at ?? error.node ?? app.node;
    this.#candidates.refused(call, node, ofStored);
    call.refusal = error;
    const untried = only === undefined ? this.#candidates.unrefused(call) : [];
    const next = afterRefusedRequest(untried, { mayHaveRun: call.ran !== undefined });
    if (next === "invalid") return this.#settle(call, { ok: false, error });
    if (next === "unknown") return this.#fail(call, error);
    if (node === app.node) app.wheel.add(call); // a call that ran on this node was taken out of the wheel of deadlines
    call.at = undefined;
    call.count(true);
    observer({
      type: "retry",
      contract: contract.name,
      node,
      reason: "SCHEMA",
      attempt: call.attempt,
      headers: meta?.headers,
    });
    this.#retry(call);
  }

  /**
   * Ends a call whose last attempt failed. Its result is this error, or `OUTCOME_UNKNOWN` if an earlier attempt may
   * have run.
   */
  #fail(call: Call, error: CatgaError): void {
    const { ran: node, request: { contract: { kind, name } } } = call;
    if (node === undefined) return this.#settle(call, { ok: false, error });
    const message = `${kind} ${name} may have run on node ${node}, which did not answer; last error: ${error.message}`;
    this.#settle(call, { ok: false, error: new CatgaError("OUTCOME_UNKNOWN", message, { node, cause: error }) });
  }

  #settle(call: Call, result: Result<unknown>): void {
    if (!this.#finish(call)) return;
    this.#options.app.runner.counts.sent(call.request.contract, result);
    call.caller.resolve(plainResult(result));
  }

  /** Ends a call. Returns false if it has ended already. */
  #finish(call: Call): boolean {
    if (call.done) return false;
    call.done = true;
    const { app } = this.#options;
    this.#underWay--;
    app.wheel.delete(call);
    this.#waiting.delete(call);
    call.unlisten();
    call.request.parent?.execution.release(call);
    app.underWay.end();
    return true;
  }
}

const RETURN_PAUSE = 100; // ms: maximum pause between attempts in the grace after a reconnect

/**
 * Sends a broadcast request once to each of `nodes`, or only to the node that the request names. A failed send is not
 * repeated, neither to the same node nor to another.
 */
export async function broadcast(
  request: RemoteRequest,
  nodes: readonly NodeInfo[],
  send: (request: RemoteRequest) => Promise<Result<unknown>>,
): Promise<BroadcastResult<unknown>[]> {
  const wanted = request.node === undefined ? nodes : nodes.filter(({ id }) => id === request.node);
  const { contract: { name }, payload } = request;
  let text: string | undefined;
  try {
    // the payload is encoded first, because this node's own handler may change it
    if (payload !== undefined && wanted.length > 1) text = toText(payload, "INVALID_MESSAGE", "the payload", name);
  } catch (thrown) {
    const result: Failure = { ok: false, error: thrown as CatgaError }; // `toText` throws only CatgaErrors
    return wanted.map(({ id }) => ({ node: id, result }));
  }
  return await Promise.all(
    wanted.map(async ({ id }) => ({ node: id, result: await send({ ...requestOf(request, id), text }) })),
  );
}
