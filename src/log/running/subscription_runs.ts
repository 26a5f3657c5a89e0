/**
 * The runs of one contract of a subscription on this node. A message never runs twice at once: a second request for a
 * running message gets the outcome of that run; if the run's timeout has passed, the second request waits until the
 * handler has ended, and then runs the message.
 */
import type { SubscriptionHealth } from "../../contract/nodes/node_info.ts";
import type { MaybePromise } from "../../contract/schemas/schema.ts";
import { ALONE } from "../../contract/nodes/announcement.ts";
import type { ContextHost } from "../../dispatch/context_host.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { CatgaError, unavailable } from "../../error.ts";
import type { UnderWay } from "../../ports/under_way.ts";
import { ChurnMap } from "../../data/churn.ts";
import { decodeText } from "../../data/encoding.ts";
import { messageId } from "../format/commit.ts";
import {
  type BarrierAnswer,
  type BatchAnswer,
  copyJson,
  type FailedRun,
  readBatchRequest,
  readRunRequest,
  type RunAnswer,
  type RunRequest,
  STILL_RUNNING,
} from "../format/run_request.ts";
import { BatchRun, memberOf, unreadablePayload } from "./batch_run.ts";
import type { CategoryHandlers } from "./category_handlers.ts";
import { FinishedRuns, LONG_RUN } from "./finished_runs.ts";
import { RunEnvelope } from "./run_envelope.ts";
import type { LeaderToken } from "./leader_token.ts";
import { PendingRun } from "./pending_run.ts";
import { answerTo, DEPOSED, failureAnswer, lastAnswer, refusedAnswer, REPLACED } from "./run_answer.ts";

/** Dependencies of {@link SubscriptionRuns} on the node. */
export interface DrainingHost extends ContextHost {
  /** True while the node drains, and begins no further runs. */
  readonly isDraining: boolean;
}

/** Options of {@link SubscriptionRuns}. */
export interface SubscriptionRunsOptions {
  readonly host: DrainingHost;
  readonly handlers: CategoryHandlers;
  readonly token: LeaderToken;
  /** Label of the subscription: `<service>/<name>`. */
  readonly subscription: string;
  /** Counts the messages of the whole subscription that run at this node. */
  readonly underWay: UnderWay;
  /** True if a subscription's leader gets the errors that handlers throw. */
  readonly causes: boolean;
}

/** Runs the messages of one contract of a subscription on this node, at the requests of the subscription's leader. */
export class SubscriptionRuns {
  readonly #options: SubscriptionRunsOptions;
  /** Runs that have not ended, by message id. */
  readonly #running = new ChurnMap<string, RunningMessage>();
  /**
   * Ring buffer of the last ended runs. Each takes three elements: position and time of its message, and the time at
   * which the run ended, by the monotonic clock.
   */
  readonly #ended = new Float64Array(3 * MAX_ENDED_RUNS);
  #next = 0;
  readonly #finished = new FinishedRuns();
  /** Ids of the last messages that are not to begin here, each with the token of the leader that says so. */
  readonly #replaced = new Map<string, number>();
  /** Ids of the last messages whose run had no time because this process stood still. */
  readonly #excused = new Set<string>();

  constructor(options: SubscriptionRunsOptions) {
    this.#options = options;
  }

  /** The contract's name. */
  get category(): string {
    return this.#options.handlers.contract.name;
  }

  /** Ids of messages that run at this node. */
  get running(): Iterable<string> {
    return this.#running.keys();
  }

  /**
   * Messages that are dead letters although their handlers still run: their last attempts have run for more than twice
   * their timeout, and no leader asks for them again. `undefined`: there are none.
   */
  get hanging(): SubscriptionHealth["hanging"] {
    const { host: { clock, node }, handlers: { contract, timeout } } = this.#options;
    const now = clock.monotonic();
    const late = [...this.#running.values()]
      .flatMap(({ run, kept, isLast }) => (isLast || run.isOverdue) && !kept ? run.late(now) - timeout : [])
      .filter((late) => late >= 0);
    if (late.length === 0) return undefined;
    return { contract: contract.name, node, count: late.length, since: clock.now() - Math.max(...late) };
  }

  /** Ids of messages whose runs have ended in the last seconds; only of the last ones if many runs have ended. */
  get ended(): Iterable<string> {
    const since = this.#options.host.wheel.now() - LATELY;
    return Array.from({ length: MAX_ENDED_RUNS }, (_, i) => this.#ended.subarray(3 * i, 3 * i + 3))
      .flatMap(([position, time, at]) => position > 0 && at >= since ? [messageId({ position, time })] : []);
  }

  /**
   * Tells the leader with this token what runs here, and what has ended. It is going to ask for what runs: the answers
   * of runs for which no request of it waits are kept.
   */
  report(token: number): BarrierAnswer {
    const now = this.#options.host.clock.monotonic();
    for (const going of this.#running.values()) {
      const isAwaited = going.asked.token === token && going.asked.by.remaining(now) > 0;
      if (!isAwaited && !going.run.answered) going.owed = true;
    }
    return { running: [...this.running], ended: [...this.ended], finished: this.#finished.since(now) };
  }

  /**
   * Aborts the run of a message, because a later one of its key takes its place. Nor is a further one to begin for the
   * leader with this token, as that of an attempt that waits for the end of this one. What runs in a batch with others
   * goes on.
   */
  replace(id: string, token: number): void {
    const going = this.#running.get(id);
    if (going?.isTogether) return;
    if (going?.kept === false) going.run.replace();
    this.#replaced.set(id, token);
    for (const oldest of this.#replaced.keys()) {
      if (this.#replaced.size <= MAX_ENDED_RUNS) break;
      this.#replaced.delete(oldest);
    }
  }

  /** Returns true if this request of a leader is for a message that runs already, and would join that run. */
  joins(payload: unknown): boolean {
    const request = readRunRequest(payload);
    return typeof request === "object" && this.#running.has(messageId({ position: request[1], time: request[7] }));
  }

  /**
   * Handles the request of a leader to run a message or a batch. The payload is not trusted. Never throws, never
   * rejects.
   */
  readonly handle = (payload: unknown, ctx: MessageContext): MaybePromise<Outcome> => {
    const batch = readBatchRequest(payload);
    const request = batch ?? readRunRequest(payload);
    if (typeof request === "string") {
      const { name } = this.#options.handlers.contract;
      const message = `a request to run ${name} is malformed: ${request}`;
      return { ok: false, error: new CatgaError("INVALID_MESSAGE", message, { node: ctx.node }) };
    }
    if (batch === request) return this.#ofLeader(batch[0], ctx, () => this.#admittedTogether(batch, ctx));
    const single = request as RunRequest; // the request is valid, and no batch
    return this.#ofLeader(single, ctx, () => this.#admitted(single, ctx));
  };

  /** Calls `then` if the request's token is the present leader's; else returns a refusal or an error. */
  #ofLeader(
    [given]: RunRequest,
    ctx: MessageContext,
    then: () => MaybePromise<Outcome>,
  ): MaybePromise<Outcome> {
    const { token } = this.#options;
    const { sentAt } = ctx;
    if (token.obeys(given, sentAt)) return then();
    return token.check(given, sentAt).then((check) => {
      if (check === "leader") return ctx.remaining(this.#options.host.clock.monotonic()) > 0 ? then() : this.#late(ctx);
      return check === "earlier" ? DEPOSED : { ok: false, error: check };
    });
  }

  /** Refuses a request whose leader no longer waits: it may hand the message out elsewhere. */
  #late({ node }: MessageContext): Outcome {
    const { contract: { kind, name } } = this.#options.handlers;
    const message = `${kind} ${name} did not run at node ${node}: its leader no longer waits for it`;
    return { ok: false, error: unavailable(message, { node }) };
  }

  /** Handles a request whose token was accepted: joins the run of its message, or begins a run. */
  #admitted(request: RunRequest, ctx: MessageContext): MaybePromise<Outcome> {
    const id = this.#running.size === 0 ? "" : messageId({ position: request[1], time: request[7] });
    const going = this.#running.get(id);
    if (going === undefined) {
      return this.#options.host.isDraining ? new Refusal("DRAINING", ctx) : this.#begin(request, ctx);
    }
    // this request needs no place among the node's concurrent messages: the joined run has its own
    ctx.execution.stepAside();
    if (going.kept) this.#running.delete(id);
    if (going.kept || going.owed || !going.run.answered) {
      return request[2] > going.attempt ? this.#behind(going, request, ctx) : this.#joined(going, request, ctx);
    }
    return this.#after(going, request, ctx);
  }

  /**
   * Answers a request for a later attempt than the one that runs, or whose answer is kept: if the earlier one has
   * handled the message, or was aborted for a later message, that counts. Its failure, which has been counted, does
   * not: the message is run again.
   */
  async #behind(going: RunningMessage, request: RunRequest, ctx: MessageContext): Promise<Outcome> {
    const earlier = await this.#joined(going, request, ctx);
    if (earlier instanceof Refusal) return earlier;
    // other errors: it still runs, it is to be handed out alone, or its node stops
    const hasFailed = earlier.ok ? typeof earlier.value !== "number" : earlier.error.code === "TIMEOUT";
    if (!hasFailed) return earlier;
    ctx.execution.stepBack();
    return await this.#ofLeader(request, ctx, () => this.#admitted(request, ctx));
  }

  /**
   * Answers a request whose message runs: with the run's answer. If the leader waits for less time than the run may
   * take, because its version of the handler has a shorter timeout, the leader is told in time that the run goes on;
   * the answer of the run is then kept for the leader's next request.
   */
  #joined(going: RunningMessage, [token, position, , , , , , time]: RunRequest, ctx: MessageContext): Promise<Outcome> {
    const answer = going.answer();
    going.owed = false;
    going.asked = new Asking(token, ctx);
    if (going.kept) this.#finished.asked(messageId({ position, time }), token);
    return this.#inTime(answer, [going], ctx);
  }

  /** Returns the answer of a run, or that it still runs, if the leader waits for less time than the run may take. */
  #inTime(answer: Promise<Outcome>, all: readonly RunningMessage[], ctx: MessageContext): Promise<Outcome> {
    const { host: { wheel }, handlers: { timeout, isLimited } } = this.#options;
    const left = ctx.remaining(wheel.now()) - IN_TIME_MARGIN;
    return left >= timeout && !isLimited ? answer : this.#answeredWithin(left, answer, all, ctx);
  }

  async #answeredWithin(
    ms: number,
    answer: Promise<Outcome>,
    all: readonly RunningMessage[],
    { node }: MessageContext,
  ): Promise<Outcome> {
    const { host: { clock }, handlers: { contract } } = this.#options;
    const { promise, resolve } = Promise.withResolvers<undefined>();
    const timer = clock.after(Math.max(0, ms), () => resolve(undefined));
    const ended = await Promise.race([answer, promise]);
    timer.cancel();
    if (ended !== undefined) return ended;
    for (const going of all) going.owed = true;
    const message = `${contract.kind} ${contract.name} still runs on node ${node}, which gives it more time`;
    const details = STILL_RUNNING;
    return { ok: false, error: new CatgaError("UNAVAILABLE", message, { node, details, retryable: false }) };
  }

  /** Lists a message that runs. */
  #enters(id: string, given: EnteredMessage): RunningMessage {
    const going = new RunningMessage(given);
    this.#finished.forget(id);
    this.#options.underWay.begin();
    this.#running.set(id, going);
    return going;
  }

  /**
   * Takes a message whose handler has ended off the list, unless its answer is kept for a leader ({@link
   * SubscriptionRuns.#joined}).
   */
  #leaves(id: string): void {
    const going = this.#running.get(id);
    this.#options.underWay.end();
    if (!going?.owed) return void this.#running.delete(id);
    going.kept = true;
    this.#options.host.clock.after(KEPT_ANSWER, () => {
      if (this.#running.get(id) === going) this.#running.delete(id);
    }, { background: true });
  }

  /** Waits until the handler of the message's earlier attempt has ended, then runs the message. */
  async #after(going: RunningMessage, request: RunRequest, ctx: MessageContext): Promise<Outcome> {
    const { host, handlers: { timeout } } = this.#options;
    const left = Math.min(ctx.remaining(host.clock.monotonic()), timeout);
    const ended = await going.run.ended(host, left - Math.min(ANSWER_MARGIN, left / 10));
    ctx.execution.stepBack();
    return await this.#ofLeader(
      request,
      ctx,
      () => ended ? this.#admitted(request, ctx) : this.#stillRuns(going, request, ctx),
    );
  }

  #stillRuns(going: RunningMessage, request: RunRequest, ctx: MessageContext): Outcome {
    const { host, handlers: { contract } } = this.#options;
    const message = `${contract.kind} ${contract.name} (${request[3]}) did not run: its handler, which was aborted ` +
      `when its time was over, still goes on at node ${ctx.node}`;
    const error = unavailable(message, { node: ctx.node, details: STILL_RUNNING });
    if (!going.reported) host.fault(`handling ${contract.name}`, error);
    going.reported = true;
    return { ok: false, error };
  }

  #begin(request: RunRequest, outer: MessageContext): MaybePromise<Outcome> {
    const [token, position, attempt, id, key, given, tagged, time, meta] = request;
    if (this.#replaced.size > 0 && this.#replaced.get(messageId({ position, time })) === token) return REPLACED;
    const { host, handlers, causes, subscription } = this.#options;
    const { contract, timeout, attempts, outage } = handlers;
    // a copy, because on the leader's own node the payload is the object that the leader may send again; the cast is
    // safe: readRunRequest has checked that a tagged payload is a string
    const made = () => tagged === 1 ? decodeText(given as string) : copyJson(given);
    let payload: unknown;
    try {
      payload = made();
    } catch (cause) {
      const error = unreadablePayload(contract.name, { id, payload: given }, cause);
      return { ok: true, value: failureAnswer(error, causes) };
    }
    const logged = { id, attempt, position, key: key ?? undefined, meta, fence: token, storedAt: time, subscription };
    const began = this.#options.token.looked;
    // `outer`: the leader's request contains the run, so the request counts as waiting while the run waits
    const ctx = new MessageContext(host, contract, timeout, new RunEnvelope(logged, outer));
    const outcome = handlers.run(payload, made, ctx);
    const isLast = attempt >= attempts;
    if (!(outcome instanceof Promise)) {
      const given = answerTo(outcome, ctx, causes, outage);
      const answer = isLast ? lastAnswer(given) : given;
      this.#returned([request], began, () => answer);
      return answer;
    }
    const run = new PendingRun(ctx, outer, handlers, causes);
    const own = messageId({ position, time });
    run.excuse = () => this.#excuse(own, began, ctx);
    const answer = isLast ? run.answer.then(lastAnswer) : run.answer;
    const going = this.#enters(own, { run, answer: () => answer, attempt, asked: new Asking(token, outer), isLast });
    void answer.then((each) => this.#keep(request, each, began, going.asked.token));
    run.watch(outcome, () => {
      this.#explain(began);
      this.#leaves(own);
      this.#onEnded(position, time);
    });
    return this.#joined(going, request, outer);
  }

  #admittedTogether(requests: readonly RunRequest[], ctx: MessageContext): MaybePromise<Outcome> {
    const going = requests.some(([, position, , , , , , time]) => this.#running.has(messageId({ position, time })));
    // one of the messages still runs: the leader then sends each message alone
    if (going) return this.#notRun(ctx, STILL_RUNNING);
    if (this.#options.host.isDraining) return new Refusal("DRAINING", ctx);
    const { batch } = this.#options.handlers;
    // this node's version of the handler takes single messages: the leader then sends each message alone
    if (batch === undefined) return { ok: true, value: { of: requests.map(() => 3) } satisfies BatchAnswer };
    return requests.length > batch.max ? this.#beginSome(batch.max, requests, ctx) : this.#beginTogether(requests, ctx);
  }

  #notRun({ node }: MessageContext, details?: string): Outcome {
    const { contract: { name } } = this.#options.handlers;
    const message = `a batch of ${name} did not run, or failed, at node ${node}`;
    return { ok: false, error: unavailable(message, { node, details }) };
  }

  /**
   * Runs the first messages of a batch, as many as this node's version of the handler takes at once; the leader sends
   * the others again. If the run fails as a whole, so does the batch.
   */
  async #beginSome(count: number, requests: readonly RunRequest[], ctx: MessageContext): Promise<Outcome> {
    const outcome = await this.#beginTogether(requests.slice(0, count), ctx);
    if (outcome instanceof Refusal || !outcome.ok) return outcome;
    const value = outcome.value as RunAnswer | BatchAnswer; // `#beginTogether` has made this value
    if (typeof value === "object" && !("of" in value)) return outcome;
    const of = requests.map((_, i) => i >= count ? 2 : value === 0 ? 0 : (value as BatchAnswer).of[i]);
    return { ok: true, value: { of } satisfies BatchAnswer };
  }

  #beginTogether(requests: readonly RunRequest[], outer: MessageContext): MaybePromise<Outcome> {
    const { host, handlers, causes, subscription } = this.#options;
    const { contract, timeout, attempts } = handlers;
    const members = requests.map(([, position, attempt, id, key, payload, tagged, time, meta]) =>
      memberOf(contract.name, {
        ...{ payload, tagged: tagged === 1, id, key: key ?? undefined, position, attempt, time, meta },
      })
    );
    const attempt = Math.max(...requests.map(([, , attempt]) => attempt));
    const logged = {
      attempt,
      position: undefined,
      key: undefined,
      meta: undefined,
      fence: requests[0][0],
      subscription,
    };
    const ctx = new MessageContext(
      host,
      contract,
      timeout,
      new RunEnvelope({ id: outer.envelope.call, ...logged }, outer),
    );
    const batch = new BatchRun(members, requests.map(([, , , , key]) => key ?? undefined));
    const each = (): BatchAnswer["of"] =>
      batch.outcomes.map((outcome, i) => {
        if (outcome === undefined) return 0;
        if (outcome === "behind") return 2;
        if (outcome.details === ALONE) return 3;
        if (batch.isRefusal(outcome)) return refusedAnswer(outcome, causes, handlers.outage);
        const [code, message, final, ...cause] = failureAnswer(outcome, causes);
        return [code, message, requests[i][2] >= attempts ? 1 : final, ...cause];
      });
    const ended = () => {
      for (const [, position, , , , , , time] of requests) this.#onEnded(position, time);
    };
    /** Makes the answer of a batch whose handler has returned: the outcome of each message. */
    const answered = (answer: Outcome): Outcome => {
      if (answer instanceof Refusal || !answer.ok || answer.value !== 0) return answer;
      const of = each();
      return of.every((one) => one === 0) ? answer : { ok: true, value: { of } satisfies BatchAnswer };
    };
    const began = this.#options.token.looked;
    // `batch` exists: this method is called only for a contract with a batch handler
    const outcome = handlers.batch!.run(batch, ctx);
    if (!(outcome instanceof Promise)) {
      const answer = answered(answerTo(outcome, ctx, causes, handlers.outage));
      this.#returned(requests, began, (i) => memberAnswer(answer, i));
      return answer;
    }
    const run = new PendingRun(ctx, outer, handlers, causes);
    const answer = run.answer.then(answered);
    const ids = requests.map(([, position, , , , , , time]) => messageId({ position, time }));
    const asked = new Asking(requests[0][0], outer);
    const all = ids.map((id, i) => {
      const attempt = requests[i][2];
      return this.#enters(id, {
        ...{ run, attempt, asked, isTogether: true },
        answer: () => this.#answerOf(answer, i, ctx),
      });
    });
    void answer.then((whole) => {
      for (const [i, request] of requests.entries()) {
        this.#keep(request, memberAnswer(whole, i), began, all[i].asked.token);
      }
    });
    run.watch(outcome, () => {
      this.#explain(began);
      for (const id of ids) this.#leaves(id);
      ended();
    });
    return this.#inTime(answer, all, outer);
  }

  /**
   * Answers a leader that asks for a single message while the batch with this message runs (`i`: index of the message):
   * waits for the batch and returns this message's outcome, also if other messages of the batch fail.
   */
  async #answerOf(answer: Promise<Outcome>, i: number, ctx: MessageContext): Promise<Outcome> {
    const outcome = await answer;
    if (outcome instanceof Refusal) return outcome;
    if (!outcome.ok) return outcome.error.code === "OUTCOME_UNKNOWN" ? outcome : this.#notRun(ctx, STILL_RUNNING);
    const value = outcome.value as 0 | FailedRun | BatchAnswer; // `answered` has made this value
    if (value === 0) return outcome;
    const one = "of" in value ? value.of[i] : 2;
    return one === 2 || one === 3 ? this.#notRun(ctx) : { ok: true, value: one };
  }

  /** Remembers that a run has returned at once. `began`: approximate time at which it began, by the monotonic clock. */
  #returned(requests: readonly RunRequest[], began: number, answerOf: (i: number) => Outcome | undefined): void {
    const now = this.#options.token.look();
    if (now - began >= LONG_RUN) this.#explain(began, { isCertain: true });
    for (const [i, request] of requests.entries()) {
      this.#onEnded(request[1], request[7], now);
      if (now - began >= LONG_RUN) this.#keep(request, answerOf(i), began);
    }
  }

  /**
   * Reports a standstill of this process, if a run that began at `began` has ended right behind it, or was the only
   * one: a handler that computes blocks the event loop. `isCertain`: the handler returned at once, behind the
   * standstill.
   */
  #explain(began: number, { isCertain = false }: { readonly isCertain?: boolean } = {}): void {
    const { token, underWay, host, handlers: { contract } } = this.#options;
    const before = token.looked;
    if (host.wheel.now() - began < LONG_RUN) return;
    const isFirst = token.stoodUntil > before; // nothing else has noticed it yet
    if (token.stoodUntil < began || (!isCertain && !isFirst && underWay.count > 1)) return;
    const ms = token.explainStandstill();
    if (ms > 0) host.observer({ type: "loop-blocked", contract: contract.name, ms });
  }

  /**
   * Returns the outcome of a run whose time ended while another handler may have blocked this process: it goes on,
   * which is no attempt; `undefined`: it is one. A message is excused once: it may have blocked the process itself.
   */
  #excuse(id: string, began: number, { node }: MessageContext): Outcome | undefined {
    const { token, underWay, handlers: { contract: { kind, name } } } = this.#options;
    if (token.stoodUntil < began || underWay.count <= 1 || this.#excused.has(id)) return undefined;
    this.#excused.add(id);
    for (const oldest of this.#excused) {
      if (this.#excused.size <= MAX_ENDED_RUNS) break;
      this.#excused.delete(oldest);
    }
    const message = `${kind} ${name} goes on at node ${node}, which stood still while its time passed`;
    return { ok: false, error: unavailable(message, { node, details: STILL_RUNNING }) };
  }

  /**
   * Remembers what came of a run, for leaders that have not received its answer. `undefined`: it did not run. `asked`:
   * token of the last leader that asked for it, which counts the answer: a failure under another token would count once
   * more.
   */
  #keep(
    [token, position, attempt, , , , , time]: RunRequest,
    answer: Outcome | undefined,
    began: number,
    asked = token,
  ): void {
    const now = this.#options.host.wheel.now();
    if (answer === undefined || now - began < LONG_RUN) return;
    this.#finished.add(messageId({ position, time }), asked, attempt, answer, now);
  }

  /**
   * Remembers that a run has ended. Allocates nothing, because it is called for each run. `at`: the present time; for
   * runs that returned at once, an approximate time that needs no reading of the clock.
   */
  #onEnded(position: number, time: number, at = this.#options.host.wheel.now()): void {
    this.#ended[this.#next] = position;
    this.#ended[this.#next + 1] = time;
    this.#ended[this.#next + 2] = at;
    this.#next = (this.#next + 3) % this.#ended.length;
  }
}

/** Returns what came of a member of a batch; `undefined`: it did not run, or it is to be run alone. */
function memberAnswer(whole: Outcome, i: number): Outcome | undefined {
  if (whole instanceof Refusal || !whole.ok) return undefined;
  const value = whole.value as 0 | FailedRun | BatchAnswer; // the answer of a batch
  if (value === 0) return whole;
  const one = "of" in value ? value.of[i] : 2; // a batch that failed as a whole counts for none of its members
  return one === 2 || one === 3 ? undefined : { ok: true, value: one };
}

/** Maximum number of ended runs that are remembered. */
const MAX_ENDED_RUNS = 256;
/** Time for which an ended run is remembered, in ms. */
const LATELY = 10_000;

/**
 * A message that runs, alone or in a batch. A class, as {@link Asking}: V8 would make literals that live as long as a
 * handler among the old objects, where each keeps its run (docs/internals/measurements.md, "the log").
 */
class RunningMessage {
  readonly run: PendingRun;
  /** Returns the answer to the leader. */
  readonly answer: () => Promise<Outcome>;
  /** Number of the attempt that runs. */
  readonly attempt: number;
  /** The last request for the message: the token of its leader, and its context. */
  asked: Asking;
  /** True if it was reported that the handler still runs after its timeout. */
  reported = false;
  /** True if a leader was told that the message still runs, and has not asked for the answer of the run since. */
  owed = false;
  /** True if the handler has ended, and only the answer is kept for that leader. */
  kept = false;
  /** True if this is the last attempt of the message. */
  readonly isLast: boolean;
  /** True if it runs in a batch. */
  readonly isTogether: boolean;

  constructor({ run, answer, attempt, asked, isLast = false, isTogether = false }: EnteredMessage) {
    this.run = run;
    this.answer = answer;
    this.attempt = attempt;
    this.asked = asked;
    this.isLast = isLast;
    this.isTogether = isTogether;
  }
}

/** A leader's request for a message: its token, and its context. */
class Asking {
  readonly token: number;
  readonly by: MessageContext;

  constructor(token: number, by: MessageContext) {
    this.token = token;
    this.by = by;
  }
}

/** A message that begins to run; unless it says so, this is not its last attempt, and it runs alone. */
type EnteredMessage =
  & Pick<RunningMessage, "run" | "answer" | "attempt" | "asked">
  & Partial<Pick<RunningMessage, "isLast" | "isTogether">>;

/**
 * Time before its deadline at which a request waiting for an earlier run gives up, in ms, so that the leader still
 * gets the answer.
 */
const ANSWER_MARGIN = 50;
/** Time before the deadline of a request, in ms, at which its leader is told that a run with more time goes on. */
const IN_TIME_MARGIN = 250;
/**
 * Time for which the answer of a run is kept for a leader that was told that the run goes on, in ms. A leader asks at
 * once for the answer; one of an earlier version takes the run for late, and pauses for up to 60 s if many are.
 */
const KEPT_ANSWER = 90_000;
