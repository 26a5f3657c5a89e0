/**
 * Finds a node for every request, and another one when that fails before the request ran. What follows a failure is
 * decided in `outcome.ts` alone.
 */
import { nextTick } from "node:process";
import type { NodeHost } from "../../dispatch/node_host.ts";
import type { Clock, Random, Timer } from "../../ports/clock.ts";
import { CatgaError } from "../../error.ts";
import { toJson } from "../../data/json.ts";
import { parseAnswer } from "../../dispatch/message_schema.ts";
import type { NodeInfo, Strategy } from "../../contract/node_info.ts";
import type { Observer } from "../../contract/observer.ts";
import { show } from "../../contract/checks.ts";
import { noHandler } from "../../dispatch/failures.ts";
import { requestOf } from "../../dispatch/broadcast_request.ts";
import type { RemoteRequest } from "../../dispatch/remote.ts";
import type { Result } from "../../contract/result.ts";
import type { BroadcastResult } from "../../contract/sender.ts";
import { disown } from "../../contract/schema.ts";
import { Refusal } from "../../dispatch/outcome.ts";
import { byteLength, exceeds } from "../../data/utf8.ts";
import { cancelled } from "../../dispatch/wait.ts";
import type { BreakerOptions } from "./breaker.ts";
import { Breakers } from "./breakers.ts";
import { Call, type CallOwner, type RefusalCode } from "../wire/call.ts";
import type { Endpoint } from "../wire/endpoint.ts";
import type { Peer } from "../wire/peer.ts";
import { decideRetry, type Failed } from "./retry_decision.ts";
import { type StrategyHost, strategyOf } from "./strategies.ts";

/** What the router knows of a node. */
export interface Candidate {
  readonly info: NodeInfo;
  /** It did not answer lately: others are preferred. */
  readonly suspect: boolean;
  /** The contracts that it handles. */
  readonly handled: { has(name: string): boolean };
}

/** What a router is made of. */
export interface RouterOptions {
  readonly app: NodeHost;
  readonly endpoint: Endpoint;
  readonly clock: Clock;
  readonly random: Random;
  readonly observer: Observer;
  readonly breaker: BreakerOptions;
  /** The nodes as the membership has them now, this one included. */
  members(): readonly Candidate[];
}

/** The nodes that handle a contract. */
interface Table {
  /** All of them. */
  readonly all: readonly NodeInfo[];
  /** Those whose breakers let something through. */
  readonly allowed: readonly NodeInfo[];
  /** Those of these that are not suspect. */
  readonly trusted: readonly NodeInfo[];
  /** The same; when every one is suspect, all of those allowed. */
  readonly preferred: readonly NodeInfo[];
}

/** Routes the requests of one node. */
export class Router implements CallOwner {
  readonly #options: RouterOptions;
  readonly #host: StrategyHost;
  readonly #tables: Map<string, Table> = new Map();
  /** The ids of the nodes whose breakers let nothing through. */
  #shut: ReadonlySet<string> = new Set();
  readonly #strategies: Map<string, { route: unknown; strategy: Strategy }> = new Map();
  /** Calls that wait for the connection, in the order in which they came. */
  readonly #held: Set<Call> = new Set();
  /** Calls that wait for a node that handles them. */
  readonly #homeless: Map<Call, Timer> = new Map();
  readonly #breakers: Breakers;
  /** Calls without a result. */
  #underWay = 0;
  /** When the connection came back, by the monotonic clock. */
  #resumedAt = -Infinity;
  /** The membership has changed since the tables were made. */
  #stale = false;
  #waking = false;

  constructor(options: RouterOptions) {
    this.#options = options;
    const { random, endpoint, breaker, clock, observer } = options;
    this.#breakers = new Breakers({ ...breaker, clock, observer, changed: () => this.refresh() });
    this.#host = {
      random,
      turn: () => endpoint.turn,
      underWay: () => this.#underWay,
      load: (node) => {
        const peer = endpoint.peer(node.endpoint);
        return peer.outstanding + Math.max(peer.load, peer.heardAt < 0 ? node.load.inFlight + node.load.queued : 0);
      },
    };
  }

  /** The membership has changed: what follows from it is found out when it is asked for, once for many changes. */
  refresh(): void {
    this.#stale = true;
    if (this.#homeless.size === 0 || this.#waking) return;
    this.#waking = true;
    nextTick(() => {
      this.#waking = false;
      this.#wake();
    });
  }

  /** Sees who may be sent to. */
  #look(): void {
    this.#stale = false;
    const { app, endpoint, members } = this.#options;
    const shut = new Set<string>();
    for (const { info, suspect } of members()) {
      const peer = endpoint.find(info.endpoint);
      if (!suspect) this.#breakers.heard(peer); // each failure makes it suspect: it has shown since that it is there
      if (info.id !== app.node && !this.#breakers.allows(peer)) shut.add(info.id);
    }
    this.#shut = shut;
    this.#tables.clear();
  }

  /** Those that wait for a node that handles them have another go. */
  #wake(): void {
    // as they are now: one may have to wait again
    for (const [call, timer] of [...this.#homeless]) {
      if (call.done || this.#candidates(call).length === 0) continue;
      timer.cancel();
      this.#homeless.delete(call);
      this.#again(call);
    }
  }

  /** The connection is there again. */
  resume(): void {
    this.#resumedAt = this.#options.clock.monotonic();
    const held = [...this.#held];
    this.#held.clear();
    for (const call of held) this.#again(call);
  }

  /** Has a request handled by one node. Rejects only with what a user's strategy throws. */
  request(request: RemoteRequest): Promise<Result<unknown>> {
    return new Promise((resolve, reject) => this.#begin(request, resolve, reject));
  }

  #begin(request: RemoteRequest, resolve: (result: Result<unknown>) => void, reject: (error: unknown) => void): void {
    const { app } = this.#options;
    const call = new Call(this, request, app.wheel.now() + request.timeout, resolve, reject);
    app.pending++;
    this.#underWay++;
    app.wheel.add(call);
    if (request.signal !== undefined) listen(call, request.signal);
    request.parent?.execution.adopt(call);
    this.#dispatch(call, request.timeout);
  }

  /** Has it handled by every node that handles it: one attempt each, on that node and no other. */
  broadcast(request: RemoteRequest): Promise<BroadcastResult<unknown>[]> {
    const all = this.#table(request.contract.name)?.all ?? [];
    const wanted = request.node === undefined ? all : all.filter(({ id }) => id === request.node);
    return Promise.all(wanted.map(async ({ id }) => ({
      node: id,
      result: await this.request(requestOf(request, id)),
    })));
  }

  answered(call: Call, result: Result<unknown>): void {
    const { contract } = call.request;
    const parsed = contract.options.output === undefined ? result : parseAnswer(contract, result);
    if (parsed instanceof Promise) parsed.then((later) => this.#conclude(call, later));
    else this.#conclude(call, parsed);
  }

  /** A process has answered, or shown that it is there: the way to it is good. */
  heard(peer: Peer): void {
    this.#breakers.heard(peer);
  }

  /** A delivery to a process has failed; while everybody is on the way back from an outage that says nothing. */
  failed(peer: Peer): void {
    if (this.#options.clock.monotonic() - this.#resumedAt >= RETURN) this.#breakers.failed(peer);
  }

  /** Lets nothing be woken by it any more. */
  close(): void {
    this.#breakers.close();
  }

  /** A process does not hear: what may run twice goes elsewhere, when there is a node elsewhere that hears. */
  deaf(peer: Peer): void {
    peer.release((call) => {
      const { request, attempt } = call;
      if (decideRetry(request.contract, { how: "silent" }, request.retries + 1 - attempt, peer.node) !== "again") {
        return false;
      }
      if (request.node !== undefined) return false;
      return this.#table(request.contract.name)?.trusted.some(({ id }) => id !== peer.node) ?? false;
    });
  }

  undelivered(call: Call, code: RefusalCode, node: string): void {
    this.#failed(call, { how: "undelivered", code }, node);
  }

  silent(call: Call, node: string): void {
    this.#failed(call, { how: "silent" }, node);
  }

  lost(call: Call, node: string): void {
    this.#failed(call, { how: "lost" }, node);
  }

  held(call: Call): void {
    if (this.#held.size < MAX_HELD) {
      this.#held.add(call);
      return;
    }
    const message = `the network is not connected, and ${MAX_HELD} requests wait for it already`;
    this.#refuse(call, new CatgaError("UNAVAILABLE", message, { retryable: true }));
  }

  expired(call: Call): void {
    this.#give(call, { how: "expired", left: (call.at ?? call.ran) !== undefined });
  }

  aborted(call: Call, reason: CatgaError): void {
    this.#give(call, { how: "aborted", left: (call.at ?? call.ran) !== undefined, reason });
  }

  /** Has another go, unless its time is over: the wheel tells of that up to two ticks late, or later after a freeze. */
  #again(call: Call): void {
    const left = call.due - this.#options.clock.monotonic();
    if (left <= 0 && !call.done) return this.expired(call);
    this.#dispatch(call, left);
  }

  /** Sends it to a node, or lets it wait for one. `left`: of its time, in ms. */
  #dispatch(call: Call, left: number): void {
    if (call.done) return;
    const { app, endpoint } = this.#options;
    const candidates = this.#candidates(call);
    const chosen = candidates.length > 0 ? this.#choose(call, candidates) : undefined;
    if (call.done) return;
    if (chosen === undefined) return this.#wait(call);
    if (chosen.id === app.node) return this.#here(call, left);
    const refused = call.encoded ? undefined : this.#encode(call);
    if (refused !== undefined) return this.#settle(call, refused);
    if (!endpoint.connected) return this.held(call);
    const peer = endpoint.peer(chosen.endpoint);
    if (!this.#breakers.passes(peer)) {
      return this.#failed(call, { how: "undelivered", code: "BREAKER_OPEN" }, chosen.id);
    }
    endpoint.send(call, peer, Math.max(1, left));
  }

  /** This node's own handler: the context there has the deadline, and hears of cancellation. */
  #here(call: Call, left: number): void {
    const { app } = this.#options;
    app.wheel.delete(call);
    call.at = app.node;
    const { request, id } = call;
    const meta = id === undefined ? request.meta : { ...request.meta, id };
    app.runner.local({ ...request, timeout: Math.max(1, left), meta }, call.attempt).then((outcome) => {
      if (!(outcome instanceof Refusal)) return this.#conclude(call, outcome);
      if (call.done) return;
      app.wheel.add(call);
      call.at = undefined;
      this.#failed(call, { how: "undelivered", code: outcome.code }, app.node);
    });
  }

  /** Made when it is asked for: most contracts are not sent between one change of the membership and the next. */
  #table(name: string): Table | undefined {
    if (this.#stale) this.#look();
    const known = this.#tables.get(name);
    if (known !== undefined) return known;
    const all: NodeInfo[] = [];
    const allowed: NodeInfo[] = [];
    const trusted: NodeInfo[] = [];
    for (const { info, suspect, handled } of this.#options.members()) {
      if (!handled.has(name)) continue;
      all.push(info);
      if (this.#shut.has(info.id)) continue;
      allowed.push(info);
      if (!suspect) trusted.push(info);
    }
    if (all.length === 0) return undefined;
    const table = { all, allowed, trusted, preferred: trusted.length > 0 ? trusted : allowed };
    this.#tables.set(name, table);
    return table;
  }

  #candidates({ request, failedOn }: Call): readonly NodeInfo[] {
    const table = this.#table(request.contract.name);
    if (table === undefined) return [];
    if (request.node !== undefined) return table.all.filter(({ id }) => id === request.node);
    if (table.allowed.length === 0) return table.all; // each of them refuses it, which is counted as an attempt
    const { app, endpoint } = this.#options;
    if (!endpoint.connected) {
      const own = table.all.filter(({ id }) => id === app.node);
      if (own.length > 0) return own;
    }
    if (failedOn === undefined) return table.preferred;
    const untried = table.preferred.filter(({ id }) => !failedOn.has(id));
    return untried.length > 0 ? untried : table.allowed.filter(({ id }) => !failedOn.has(id));
  }

  #choose(call: Call, candidates: readonly NodeInfo[]): NodeInfo | undefined {
    const { contract, route, key, admit } = call.request;
    if (call.request.node !== undefined) return candidates[0];
    if (candidates.length === 1 && typeof route === "string") return candidates[0];
    if (admit !== undefined && (route === "round-robin" || route === "random")) {
      // NATS has picked already, and this node was it
      const own = candidates.find(({ id }) => id === this.#options.app.node);
      if (own !== undefined) return own;
    }
    let known = this.#strategies.get(contract.name);
    if (known?.route !== route) {
      known = { route, strategy: strategyOf(route, this.#host) };
      this.#strategies.set(contract.name, known);
    }
    try {
      const self = this.#options.app.node;
      const { attempt } = call;
      const chosen = known!.strategy(candidates, key === undefined ? { self, attempt } : { key, self, attempt });
      if (chosen === undefined || candidates.includes(chosen)) return chosen;
      disown(chosen);
      throw new TypeError(
        `the strategy of ${contract.name} gave a node that is none of its candidates: ${show(chosen)}`,
      );
    } catch (error) {
      if (this.#finish(call)) call.reject(error);
      return undefined;
    }
  }

  /** Encodes the payload; gives the failure when that cannot be. */
  #encode(call: Call): Result<unknown> | undefined {
    const { contract, payload, meta } = call.request;
    try {
      if (payload !== undefined) call.text = toJson(payload, "INVALID_MESSAGE", "the payload", contract.name);
    } catch (error) {
      return { ok: false, error: error as CatgaError }; // the only one that it throws
    }
    call.encoded = true;
    const limit = this.#options.endpoint.payloadLimit;
    const text = (call.text ?? "") + (meta === undefined ? "" : JSON.stringify(meta));
    if (!exceeds(text, limit)) return undefined;
    const message = `the payload of ${contract.name} is ${byteLength(text)} bytes; the server takes ${limit} at most`;
    return { ok: false, error: new CatgaError("TOO_LARGE", message) };
  }

  /** No node handles it, now: the membership has its chance. */
  #wait(call: Call): void {
    const { clock } = this.#options;
    const timer = clock.after(NO_HANDLER_WAIT, () => {
      const { contract, node } = call.request;
      this.#refuse(call, noHandler(contract, node).error);
    });
    this.#homeless.set(call, timer);
  }

  #failed(call: Call, failed: Failed, node: string): void {
    if (call.done) return;
    const { observer, clock, random } = this.#options;
    const { contract, retries, meta } = call.request;
    const returning = failed.how === "undelivered" && failed.code === "BOUNCED" &&
      clock.monotonic() - this.#resumedAt < RETURN;
    const stuck = failed.how === "undelivered" && failed.code === "DEADLOCK" && !this.#elsewhere(call, node);
    const next = decideRetry(contract, failed, stuck ? 0 : returning ? 1 : retries + 1 - call.attempt, node);
    if (next === "wait") return; // for its deadline
    if (next !== "again") return this.#refuse(call, next);
    if (failed.how !== "undelivered" && contract.kind === "command") call.ran = node;
    if (!returning) call.attempt++;
    const reason = failed.how === "undelivered" ? failed.code : failed.how;
    observer({
      type: "retry",
      contract: contract.name,
      node,
      reason,
      attempt: call.attempt,
      headers: meta?.headers,
    });
    (call.failedOn ??= new Set()).add(node);
    if (call.request.node === undefined && this.#candidates(call).length > 0) return this.#again(call);
    // every node has failed: all of them have another chance, after exponential backoff with full jitter
    call.failedOn = undefined;
    const backoff = random() *
      (returning ? RETURN_PAUSE : Math.min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** (call.attempt - 2)));
    clock.after(backoff, () => this.#again(call), { background: true }); // its deadline keeps the process alive
  }

  /** Whether another node may have it now; of an ordered key the turn is at one node. */
  #elsewhere(call: Call, node: string): boolean {
    return !call.request.contract.options.ordered && this.#candidates(call).some(({ id }) => id !== node);
  }

  /** The caller is not to wait any longer. */
  #give(call: Call, failed: Failed): void {
    const { peer, at = call.ran ?? "" } = call;
    if (peer !== undefined) {
      if (failed.how === "aborted") peer.cancel(call);
      peer.settle(call);
    }
    const error = decideRetry(call.request.contract, failed, 0, at);
    if (error instanceof CatgaError) this.#settle(call, { ok: false, error });
  }

  /** It was answered. That it could not be claimed there says nothing of the attempt before it. */
  #conclude(call: Call, result: Result<unknown>): void {
    if (call.ran !== undefined && result.error?.code === "UNAVAILABLE") this.#refuse(call, result.error);
    else this.#settle(call, result);
  }

  /** This attempt failed, and there is no other: its caller is told so, unless an earlier one may have run. */
  #refuse(call: Call, error: CatgaError): void {
    const next = call.ran === undefined ? error : decideRetry(call.request.contract, { how: "lost" }, 0, call.ran);
    // without attempts left nothing goes again
    this.#settle(call, { ok: false, error: next as CatgaError });
  }

  #settle(call: Call, result: Result<unknown>): void {
    if (this.#finish(call)) call.resolve(result);
  }

  /** `false` when it has ended already. */
  #finish(call: Call): boolean {
    if (call.done) return false;
    call.done = true;
    const { app } = this.#options;
    this.#underWay--;
    app.wheel.delete(call);
    if (this.#held.size > 0) this.#held.delete(call);
    const timer = this.#homeless.size === 0 ? undefined : this.#homeless.get(call);
    if (timer !== undefined) {
      timer.cancel();
      this.#homeless.delete(call);
    }
    const { parent, signal } = call.request;
    parent?.execution.release(call);
    if (call.onAbort !== undefined) signal!.removeEventListener("abort", call.onAbort);
    if (--app.pending === 0) app.idle();
    return true;
  }
}

function listen(call: Call, signal: AbortSignal): void {
  call.onAbort = () => call.abort(cancelled(call.request.contract));
  signal.addEventListener("abort", call.onAbort, { once: true });
}

const NO_HANDLER_WAIT = 500; // ms: a node that has just joined is in every view some milliseconds later
const MAX_HELD = 65_536;
const FIRST_BACKOFF = 10; // ms
const MAX_BACKOFF = 1_000; // ms
/**
 * After an outage of the server the others are on their way back as well, and bounce until they are there: 1.7 s
 * (measured). Bounces of this time, in ms, use up no attempts.
 */
const RETURN = 3_000;
const RETURN_PAUSE = 100; // ms at most between their attempts
