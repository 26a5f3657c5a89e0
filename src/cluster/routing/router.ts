/**
 * Decides which node handles a send, this one or another: sends each call that is under way to a candidate
 * (`node_choice.ts`), lets it wait where it cannot be sent now (`WaitingCalls`), and when an attempt fails does what
 * `decideRetry` says: another attempt, or an error.
 */
import type { Failure, Result } from "../../contract/result.ts";
import type { BroadcastResult } from "../../contract/sender.ts";
import type { Observer } from "../../contract/observer.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import { parseAnswer } from "../../dispatch/message_schema.ts";
import type { NodeHost } from "../../dispatch/node_host.ts";
import { noHandler, noneChosen, plainResult, Refusal, SchemaRefusal } from "../../dispatch/outcome.ts";
import { type RemoteRequest, requestOf, type RequestRouter, type ResultReceiver } from "../../dispatch/remote.ts";
import { CatgaError, unavailable } from "../../error.ts";
import { backoff, type Clock, type Random, type Timer } from "../../ports/clock.ts";
import { type AttemptFailure, Call, type CallOwner, isRefusal, type NotRunCode } from "../wire/call.ts";
import type { Endpoint } from "../wire/endpoint.ts";
import type { Peer } from "../wire/peer.ts";
import type { BreakerOptions } from "./breaker.ts";
import { Breakers, Candidates, type KnownNode, type KnownShapes } from "./node_choice.ts";
import { afterRefusedRequest } from "../../contract/shape_rules.ts";
import { toText } from "../../data/encoding.ts";
import { nextTick } from "node:process";
import type { AnyContract } from "../../contract/contract.ts";

/** Options of a router. */
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
  readonly shapes: KnownShapes;
}

/** Routes the requests of one node. */
export class Router implements CallOwner, RequestRouter {
  readonly #options: RouterOptions;
  readonly #breakers: Breakers;
  readonly #candidates: Candidates;
  readonly #waiting: WaitingCalls;
  /** Resolves when this node has joined, or closes. */
  readonly #joining = Promise.withResolvers<void>();
  #joined = false;
  /** Calls without a result. */
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
      breakers: this.#breakers,
      underWay: () => this.#underWay,
      ...{ members: options.members, shapes },
    });
    this.#waiting = new WaitingCalls({
      clock,
      candidates: this.#candidates,
      gaps: options.gaps,
      retry: (call) => this.#retry(call),
      fail: (call, error) => this.#fail(call, error),
    });
  }

  request(request: RemoteRequest, refused?: Refusal): Promise<Result<unknown>> {
    return new Promise((resolve, reject) => this.begin(request, { resolve, reject }, refused));
  }

  /** Sends a request to every node that handles it: one attempt each, on that node and no other. */
  async broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]> {
    await this.#joining.promise;
    const nodes = this.#candidates.handling(request.contract.name);
    return await broadcast(request, nodes, (each) => this.request(each));
  }

  /** This node has joined: it knows the others, and itself. Until then others may have sent it requests already. */
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

  /** Sends a call to a node, or has it wait for one. `left`: what is left of its time, in ms. */
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

  /** `undefined` without a candidate, or when the user's strategy picks none or throws: the latter ends the call. */
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

  /** Runs this node's own handler: its context has the deadline, and is aborted with the sender's. */
  #runHere(call: Call, left: number): void {
    const { app } = this.#options;
    app.wheel.delete(call);
    call.at = app.node;
    const { request, meta } = call;
    // its first attempt needs no copy
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

  /** The name of this node's shape of a contract, if nodes with others handle it, too. */
  shapeBesideOthers(contract: AnyContract): string | undefined {
    return this.#candidates.shapeBesideOthers(contract);
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
    this.#joining.resolve(); // it may never have joined
    this.#breakers.close();
  }

  /** A process has shown that it is alive. */
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
    const left = stuck ? 0 : returning || moves ? 1 : call.retriesLeft;
    const next = decideRetry(contract, failed, left, node, { ofEntity, fate: call.fate });
    if (next === "wait") return; // for an answer, or the deadline
    if (next !== "again") return isAway(failed) ? this.#waiting.forReturn(call, next) : this.#fail(call, next);
    if (!undelivered) {
      call.fate = "was not answered";
      if (contract.kind === "command") call.ran = node;
    }
    if (!returning) call.count(moves);
    const reason = undelivered ? failed.code : failed.how;
    observer({ type: "retry", contract: contract.name, node, reason, attempt: call.attempt, headers: meta?.headers });
    if (call.request.node === undefined && this.#candidates.of(call).length > 0) return this.#retry(call);
    // every node has failed: each has another chance
    call.failedOn = undefined;
    const pause = returning ? random() * RETURN_PAUSE : retryPause(call, failed, random);
    if (isOverload(failed) && clock.monotonic() + pause >= call.due) {
      // without attempts left there is no "again"
      return this.#fail(call, decideRetry(contract, failed, 0, node, { ofEntity, fate: call.fate }) as CatgaError);
    }
    clock.after(pause, () => this.#retry(call), { background: true }); // its deadline keeps the process alive
  }

  /** Returns true if another node may run it now; an ordered key has its turn at one node. */
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
    const error = decideRetry(call.request.contract, failed, 0, at, { fate: call.fate });
    if (error instanceof CatgaError) this.#settle(call, { ok: false, error });
  }

  /** It was answered. UNAVAILABLE, by a node that could not claim the id, says nothing about an earlier attempt. */
  #conclude(call: Call, result: Result<unknown>): void {
    if (result instanceof SchemaRefusal) return this.#refused(call, result);
    if (call.ran !== undefined && result.error?.code === "UNAVAILABLE") this.#fail(call, result.error);
    else this.#settle(call, result);
  }

  /**
   * The input schema of a node refused it, or what is stored of its entity, and no handler began: it goes on to each
   * other shape once, which uses up no retry. A request for one node ends there.
   */
  #refused(call: Call, { error, ofStored }: SchemaRefusal): void {
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
    if (node === app.node) app.wheel.add(call); // while it ran here it was not in it
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

  /** The last attempt failed: the result is its error, or OUTCOME_UNKNOWN when an earlier attempt may have run. */
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
    app.underWay.end();
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

// Calls that cannot be sent now: they wait for the connection, or for a node that handles them.

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

// What follows when an attempt has failed, a node's death included: another attempt, or which error. One function for
// every combination.

/** Why the caller waits no longer. `sent`: an attempt may have run. */
export type GivenUp =
  /** The deadline passed; `away`: while the call waited for a node that handles it. */
  | { readonly how: "expired"; readonly sent: boolean; readonly away?: boolean }
  /** The caller gave up, or the app stops. */
  | { readonly how: "aborted"; readonly sent: boolean; readonly reason: CatgaError };

/** How an attempt ended without an answer. */
export type Failed = AttemptFailure | GivenUp;

/**
 * Decides what follows a failure on `node`: `"again"`, another attempt; `"wait"`, for an answer that may still come; or
 * the error that the caller gets. `attempts`: how many more there may be. A request that certainly did not run is
 * repeated whatever it is; one that may have run, only when it is a query, an idempotent command, or a command of an
 * entity. `fate`: that of the request if this attempt did not run.
 */
export function decideRetry(
  contract: AnyContract,
  failed: Failed,
  attempts: number,
  node: string,
  { ofEntity = false, fate = "did not run" }: { ofEntity?: boolean | undefined; fate?: Call["fate"] } = {},
): "again" | "wait" | CatgaError {
  const what = `${contract.kind} ${contract.name}`;
  // an idempotent command, or one of an entity, has one recorded result for its id, whoever runs it
  const repeatable = contract.kind === "query" || Boolean(contract.options.idempotent) || ofEntity;
  const unknown = (why: string): CatgaError =>
    new CatgaError("OUTCOME_UNKNOWN", `${what}: ${why}, so it may have run on node ${node}`, { node });
  switch (failed.how) {
    case "undelivered": {
      if (failed.code === "TOO_LARGE") {
        return new CatgaError("TOO_LARGE", `${what} is too large for the server: send a reference`);
      }
      if (attempts > 0) return "again";
      const code = isRefusal(failed.code) ? failed.code : "UNAVAILABLE";
      return new CatgaError(
        code,
        `${what} ${fate}: ${REASONS[failed.code]} (node ${node}, the last of its attempts)`,
        { retryable: code !== "NO_HANDLER" && code !== "DEADLOCK", node },
      );
    }
    case "lost":
      if (repeatable && attempts > 0) return "again";
      if (contract.kind === "stream") {
        const why = failed.answered ? "its end was lost" : `the process of node ${node} is gone`;
        return new CatgaError("STREAM_BROKEN", `${what} broke: ${why}`, { retryable: true, node });
      }
      if (contract.kind !== "query") {
        return unknown(failed.answered ? ANSWER_LOST : `${GONE}, or lost its connection, with it in hand`);
      }
      return unavailable(`${what}: ${failed.answered ? ANSWER_LOST : GONE} (node ${node}, the last of its attempts)`, {
        node,
      });
    case "silent":
      return repeatable && attempts > 0 ? "again" : "wait";
    case "expired":
      if (!failed.sent) {
        const why = failed.away
          ? "no node that handles it was there before its deadline, though one was before"
          : "it could not be delivered before its deadline";
        return unavailable(`${what} ${fate}: ${why}`);
      }
      return contract.kind === "query" || contract.kind === "stream"
        ? new CatgaError("TIMEOUT", `${what} was not answered before its deadline`, { node })
        : unknown("it was not answered before its deadline");
    case "aborted":
      return failed.reason.code === "CANCELLED" || !failed.sent || contract.kind === "query" ||
          contract.kind === "stream"
        ? failed.reason
        : unknown(failed.reason.message);
  }
}

/** Returns true if the node was not there, as while the only replica of a service restarts. */
function isAway(failed: Failed): boolean {
  return failed.how === "undelivered" &&
    (failed.code === "BOUNCED" || failed.code === "DRAINING" || failed.code === "BREAKER_OPEN");
}

/** Returns `true` if the node has too much to do. */
function isOverload(failed: Failed): boolean {
  return failed.how === "undelivered" && failed.code === "OVERLOADED";
}

/**
 * Returns whether a call that certainly did not run on one node may go on to one that has not failed it, and keep its
 * retries: nodes with room must not be left out because others had none. It is bounded, for where all have too much to
 * do, a request to each of many nodes would add to it.
 */
function mayMoveOn({ request: { node, retries }, moves }: Call): boolean {
  return node === undefined && retries > 0 && moves < MAX_MOVES;
}

/** The pause before a call that has failed on every node is sent again, in ms. */
function retryPause({ request: { retries }, retriesLeft }: Call, failed: Failed, random: Random): number {
  const first = isOverload(failed) ? OVERLOAD_BACKOFF : FIRST_BACKOFF;
  return backoff(random, retries - retriesLeft - 1, first, MAX_BACKOFF);
}

const MAX_MOVES = 16;
const FIRST_BACKOFF = 10; // ms
const OVERLOAD_BACKOFF = 100; // ms: a node counts its pace in tenths of a second
const MAX_BACKOFF = 1_000; // ms

const GONE = "its process is gone";
const ANSWER_LOST = "its answer was lost";
const REASONS: Record<NotRunCode, string> = {
  BOUNCED: "nobody was there",
  LOST: "it was lost on its way",
  OVERLOADED: "the node has too much to do",
  DRAINING: "the node is leaving",
  NO_HANDLER: "the node has no handler for it",
  DEADLOCK: "those who have the turn that it waits for wait for it to end",
  LATE: "it arrived after its deadline",
  TOO_LARGE: "it is too large",
  BREAKER_OPEN: "deliveries to the node have failed too often lately",
};
