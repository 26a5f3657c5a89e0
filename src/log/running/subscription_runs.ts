/**
 * The runs of one category of a subscription on this node. A message never runs twice at once: a second request for it
 * joins the run; after the run's timeout it waits for the handler's end.
 */
import type { SubscriptionHealth } from "../../contract/node_info.ts";
import type { MaybePromise } from "../../contract/schema.ts";
import { ALONE } from "../../contract/send_options.ts";
import type { ContextHost } from "../../dispatch/context_host.ts";
import { MessageContext } from "../../dispatch/message_context.ts";
import { type Outcome, Refusal } from "../../dispatch/outcome.ts";
import { CatgaError, unavailable } from "../../error.ts";
import { decodeText } from "../../data/encoding.ts";
import { messageId } from "../format/commit.ts";
import {
  type BatchAnswer,
  copyJson,
  type FailedRun,
  readBatchRequest,
  readRunRequest,
  type RunRequest,
  STILL_RUNNING,
} from "../format/run_request.ts";
import { BatchRun, memberOf } from "./batch_run.ts";
import { type CategoryHandlers, RunEnvelope } from "./category_handlers.ts";
import type { LeaderToken } from "./leader_token.ts";
import { PendingRun } from "./pending_run.ts";
import { answerTo, DEPOSED, failureAnswer, lastAnswer, refusedAnswer } from "./run_answer.ts";

/** Dependencies of runs of subscriptions on the node. */
export interface DrainingHost extends ContextHost {
  /** True if the node drains: it begins no further runs. */
  readonly isDraining: boolean;
}

/** Options of the runs of a category. */
export interface SubscriptionRunsOptions {
  readonly host: DrainingHost;
  readonly handlers: CategoryHandlers;
  readonly token: LeaderToken;
  /** True if leaders get the errors that handlers throw. */
  readonly causes: boolean;
}

/** The runs of one category. */
export class SubscriptionRuns {
  readonly #options: SubscriptionRunsOptions;
  /** Runs that have not ended, by message id. */
  readonly #running: Map<string, RunningMessage> = new Map();
  /**
   * Ring buffer of the last ended runs: position and time of the message, and when the run ended, by the monotonic
   * clock.
   */
  readonly #ended = new Float64Array(3 * MOST_ENDED);
  #next = 0;

  constructor(options: SubscriptionRunsOptions) {
    this.#options = options;
  }

  /** Ids of messages that run. */
  get running(): Iterable<string> {
    return this.#running.keys();
  }

  /**
   * Messages whose last attempt lasts longer than twice its timeout: they are dead letters by now, and no leader asks
   * for them again.
   */
  get hanging(): SubscriptionHealth["hanging"] {
    const { host: { clock, node }, handlers: { contract, timeout } } = this.#options;
    const now = clock.monotonic();
    const late = [...this.#running.values()].flatMap(({ run, isLast }) => isLast ? run.late(now) - timeout : [])
      .filter((late) => late >= 0);
    if (late.length === 0) return undefined;
    return { contract: contract.name, node, count: late.length, since: clock.now() - Math.max(...late) };
  }

  /** Ids of messages whose runs have ended in the last seconds; only the last ones if there are many. */
  get ended(): Iterable<string> {
    const since = this.#options.host.wheel.now() - LATELY;
    return Array.from({ length: MOST_ENDED }, (_, i) => this.#ended.subarray(3 * i, 3 * i + 3))
      .flatMap(([position, time, at]) => position > 0 && at >= since ? [messageId({ position, time })] : []);
  }

  /** Returns true if this request of a leader would join a run. */
  joins(payload: unknown): boolean {
    const request = readRunRequest(payload);
    return typeof request === "object" && this.#running.has(messageId({ position: request[1], time: request[7] }));
  }

  /** Handles a leader's request, whose payload is not trusted. Never throws, never rejects. */
  readonly handle = (payload: unknown, ctx: MessageContext): MaybePromise<Outcome> => {
    const batch = readBatchRequest(payload);
    const request = batch ?? readRunRequest(payload);
    if (typeof request === "string") {
      const { name } = this.#options.handlers.contract;
      const message = `a request to run ${name} is malformed: ${request}`;
      return { ok: false, error: new CatgaError("INVALID_MESSAGE", message, { node: ctx.node }) };
    }
    if (batch === request) return this.#ofLeader(batch[0], ctx, () => this.#admittedTogether(batch, ctx));
    const single = request as RunRequest; // no batch, and valid
    return this.#ofLeader(single, ctx, () => this.#admitted(single, ctx));
  };

  /** Calls `then` if the request is from the present leader. */
  #ofLeader(
    [given]: RunRequest,
    { sentAt }: MessageContext,
    then: () => MaybePromise<Outcome>,
  ): MaybePromise<Outcome> {
    const { token } = this.#options;
    if (token.obeys(given, sentAt)) return then();
    return token.check(given, sentAt).then((check) => {
      if (check === "leader") return then();
      return check === "earlier" ? DEPOSED : { ok: false, error: check };
    });
  }

  /** Handles a request whose token was accepted: joins the message's run, or begins one. */
  #admitted(request: RunRequest, ctx: MessageContext): MaybePromise<Outcome> {
    const going = this.#running.size === 0
      ? undefined
      : this.#running.get(messageId({ position: request[1], time: request[7] }));
    if (going === undefined) {
      return this.#options.host.isDraining ? new Refusal("DRAINING", ctx) : this.#begin(request, ctx);
    }
    ctx.execution.rest(); // the joined run has a turn of its own
    return going.run.answered ? this.#after(going, request, ctx) : going.answer();
  }

  /** Waits until the handler of an earlier attempt has ended, then runs the message. */
  async #after(going: RunningMessage, request: RunRequest, ctx: MessageContext): Promise<Outcome> {
    const { host, handlers: { timeout } } = this.#options;
    const left = Math.min(ctx.remaining(host.clock.monotonic()), timeout);
    const ended = await going.run.ended(host, left - Math.min(ANSWER_MARGIN, left / 10));
    ctx.execution.wake();
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

  #begin(
    [token, position, attempt, id, key, given, tagged, time, meta]: RunRequest,
    outer: MessageContext,
  ): MaybePromise<Outcome> {
    const { host, handlers, causes } = this.#options;
    const { contract, timeout, attempts, outage } = handlers;
    // a copy: on the leader's node this is the object that the leader may send again, or park; a tagged payload is a
    // string: readRunRequest has checked that
    const made = () => tagged === 1 ? decodeText(given as string) : copyJson(given);
    let payload: unknown;
    try {
      payload = made();
    } catch (cause) {
      const message = `the payload of ${contract.name} (${id}) cannot be read`;
      const error = new CatgaError("INVALID_MESSAGE", message, { cause, final: true });
      return { ok: true, value: failureAnswer(error, causes) };
    }
    const logged = { id, attempt, position, key: key ?? undefined, meta, fence: token, storedAt: time };
    // the run is part of the leader's request, which therefore waits for whatever the run waits for
    const ctx = new MessageContext(host, contract, timeout, new RunEnvelope(logged, outer));
    const outcome = handlers.run(payload, made, ctx);
    const isLast = attempt >= attempts;
    if (!(outcome instanceof Promise)) {
      this.#onEnded(position, time, this.#options.token.looked);
      const answer = answerTo(outcome, ctx, causes, outage);
      return isLast ? lastAnswer(answer) : answer;
    }
    const run = new PendingRun(ctx, outer, handlers, causes);
    const own = messageId({ position, time });
    this.#running.set(own, { run, answer: () => run.answer, reported: false, isLast });
    run.watch(outcome, () => {
      this.#running.delete(own);
      this.#onEnded(position, time);
    });
    return isLast ? run.answer.then(lastAnswer) : run.answer;
  }

  #admittedTogether(requests: readonly RunRequest[], ctx: MessageContext): MaybePromise<Outcome> {
    const going = requests.some(([, position, , , , , , time]) => this.#running.has(messageId({ position, time })));
    // the leader then sends each message alone
    if (going) return this.#notRun(ctx, STILL_RUNNING);
    if (this.#options.host.isDraining) return new Refusal("DRAINING", ctx);
    return this.#options.handlers.batch === undefined
      ? this.#oneByOne(requests, ctx)
      : this.#beginTogether(requests, ctx);
  }

  #notRun({ node }: MessageContext, details?: string): Outcome {
    const { contract: { name } } = this.#options.handlers;
    const message = `a batch of ${name} did not run, or failed, at node ${node}`;
    return { ok: false, error: unavailable(message, { node, details }) };
  }

  /** Runs the messages of a batch one by one: this node, unlike the leader's, has a handler of single messages. */
  async #oneByOne(requests: readonly RunRequest[], ctx: MessageContext): Promise<Outcome> {
    const held = new Set<string | null>();
    const of: BatchAnswer["of"][number][] = [];
    for (const request of requests) {
      const key = request[4];
      const outcome = held.has(key) ? undefined : await this.#begin(request, ctx);
      // answer 2, "send again", if the message did not run; 3, "send it alone", if its handler took too long: only the
      // run alone then counts as an attempt
      const answer = outcome === undefined || outcome instanceof Refusal
        ? 2
        : outcome.ok
        ? outcome.value as 0 | FailedRun
        : 3;
      if (answer !== 0 && key !== null) held.add(key);
      of.push(answer);
    }
    return { ok: true, value: { of } };
  }

  #beginTogether(requests: readonly RunRequest[], outer: MessageContext): MaybePromise<Outcome> {
    const { host, handlers, causes } = this.#options;
    const { contract, timeout, attempts } = handlers;
    const members = requests.map(([, position, attempt, id, key, payload, tagged, time, meta]) =>
      memberOf(contract.name, {
        ...{ payload, tagged: tagged === 1, id, key: key ?? undefined, position, attempt, time, meta },
      })
    );
    const attempt = Math.max(...requests.map(([, , attempt]) => attempt));
    const logged = { attempt, position: undefined, key: undefined, meta: undefined, fence: requests[0][0] };
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
    /** The answer once the handler has returned: the outcome of each message. */
    const answered = (answer: Outcome): Outcome => {
      if (answer instanceof Refusal || !answer.ok || answer.value !== 0) return answer;
      const of = each();
      return of.every((one) => one === 0) ? answer : { ok: true, value: { of } satisfies BatchAnswer };
    };
    const outcome = handlers.batch!.run(batch, ctx); // a batch is handled only with a batch handler
    if (!(outcome instanceof Promise)) {
      ended();
      return answered(answerTo(outcome, ctx, causes, handlers.outage));
    }
    const run = new PendingRun(ctx, outer, handlers, causes);
    const answer = run.answer.then(answered);
    const ids = requests.map(([, position, , , , , , time]) => messageId({ position, time }));
    for (const [i, id] of ids.entries()) {
      this.#running.set(id, { run, answer: () => this.#answerOf(answer, i, ctx), reported: false, isLast: false });
    }
    run.watch(outcome, () => {
      for (const id of ids) this.#running.delete(id);
      ended();
    });
    return answer;
  }

  /** Answers a leader that asks for one message of a running batch: failures of its other messages do not count. */
  async #answerOf(answer: Promise<Outcome>, i: number, ctx: MessageContext): Promise<Outcome> {
    const outcome = await answer;
    if (outcome instanceof Refusal) return outcome;
    if (!outcome.ok) return outcome.error.code === "OUTCOME_UNKNOWN" ? outcome : this.#notRun(ctx, STILL_RUNNING);
    const value = outcome.value as 0 | FailedRun | BatchAnswer; // made by `answered`
    if (value === 0) return outcome;
    const one = "of" in value ? value.of[i] : 2;
    return one === 2 || one === 3 ? this.#notRun(ctx) : { ok: true, value: one };
  }

  /**
   * Remembers an ended run. Called for each run: allocates nothing, and reads no clock for a run that returned at once.
   */
  #onEnded(position: number, time: number, at = this.#options.host.wheel.now()): void {
    this.#ended[this.#next] = position;
    this.#ended[this.#next + 1] = time;
    this.#ended[this.#next + 2] = at;
    this.#next = (this.#next + 3) % this.#ended.length;
  }
}

/** Maximum number of ended runs that are remembered. */
const MOST_ENDED = 256;
/** Time for which an ended run is remembered, in ms. */
const LATELY = 10_000;

/** A message that runs, alone or in a batch. */
interface RunningMessage {
  readonly run: PendingRun;
  /** Answer to the leader. */
  answer(): Promise<Outcome>;
  /** True if a report was made that the handler still runs after its timeout. */
  reported: boolean;
  /** True if this is the last attempt of the message. */
  readonly isLast: boolean;
}

/** Time before its deadline at which a waiting request gives up, in ms, so that the leader still gets the answer. */
const ANSWER_MARGIN = 50;
