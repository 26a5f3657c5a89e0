/**
 * Runs handlers: for senders in this process, for requests from other processes, and for events. Every run has its own
 * context, with the deadline and the abort of its message.
 */
import type { Observer } from "../contract/nodes/observer.ts";
import type { Result } from "../contract/calls/result.ts";
import { type MaybePromise, schemaThrew } from "../contract/schemas/schema.ts";
import { onAbort } from "../ports/clock.ts";
import { CatgaError } from "../error.ts";
import { awaitedBy } from "../data/async_context.ts";
import { NO_HEADERS } from "./carried_headers.ts";
import type { ContextHost, Envelope } from "./context_host.ts";
import { asResult, cancelled, noHandlerHere, type Outcome, Refusal, VersionRefusal, wrongKind } from "./outcome.ts";
import { patience } from "./admission_queue.ts";
import type { Admission } from "./admission.ts";
import type { Dispatch, Mediator } from "./mediator.ts";
import type { EntityOutcome, HandlerRun } from "./handler_call.ts";
import type { ContractCounts, Counts, Timing } from "./contract_counts.ts";
import { MessageContext } from "./message_context.ts";
import { withCheckedAnswer, withParsedAnswer, withParsedPayload } from "./message_schema.ts";
import type { Meta, RemoteRequest } from "./remote.ts";
import type { ItemTarget } from "./item_ports.ts";
import type { TurnBudget } from "./turn_budget.ts";
import { idOf, orderKeyOf } from "./routing_key.ts";

/** A request from another process whose handler was called, with its result. */
export interface Receipt {
  readonly ctx: MessageContext;
  readonly result: MaybePromise<Outcome> | EntityOutcome;
  /**
   * Counts that the receiver of the request updates when the request ends. It does not update them for an event, whose
   * handlers are counted when each of them ends.
   */
  readonly counts: ContractCounts;
}

/** Options of a {@link Runner}, which runs the handlers of a node. */
interface RunnerOptions {
  readonly host: ContextHost;
  readonly mediator: Mediator;
  readonly observer: Observer;
  /** Timeout of an event's handler, in ms; after it, the handler's signal aborts. */
  readonly timeout: number;
}

/**
 * Runs the handlers of one node.
 * @decides a handler is run for a local sender, another process or an event; its result is settled and counted
 */
export class Runner {
  readonly #host: ContextHost;
  readonly #mediator: Mediator;
  readonly #observer: Observer;
  readonly #timeout: number;

  constructor({ host, mediator, observer, timeout }: RunnerOptions) {
    this.#host = host;
    this.#mediator = mediator;
    this.#observer = observer;
    this.#timeout = timeout;
  }

  /** The time that the node's handlers may take in a turn of the event loop. */
  get budget(): TurnBudget {
    return this.#mediator.budget;
  }

  /** Counts of the node's messages, failures and durations, by contract. */
  get counts(): Counts {
    return this.#mediator.counts;
  }

  /** Returns true for a request whose handler is called at once, even if all places at the handler are taken. */
  always(name: string, payload: unknown): boolean {
    return this.#mediator.find(name)?.always?.(payload) === true;
  }

  /** Returns true if a message may run twice: a query, an idempotent command, or a command of an entity. */
  repeatable(name: string): boolean {
    const dispatch = this.#mediator.find(name);
    return dispatch !== undefined && (dispatch.contract.kind === "query" || hasOneResult(dispatch));
  }

  /**
   * Returns the maximum time that a request may wait for admission (a place at its handler), in ms, so that its sender
   * still gets the result. `timeout`: time that the sender waits, in ms.
   */
  patience(name: string, timeout: number): number {
    return patience(timeout, this.#mediator.find(name)?.lasts);
  }

  /**
   * Runs a request of a sender in this process (also if the router has chosen this node), with its deadline and abort.
   * Resolves with the outcome, with the answer parsed. `attempt`: number of this attempt of the send, from 1 on.
   */
  local(request: RemoteRequest, attempt: number): Promise<Outcome> {
    const dispatch = this.#mediator.find(request.contract.name);
    if (dispatch === undefined) return Promise.resolve(noHandlerHere(request.contract));
    const { contract, counts } = dispatch;
    if (contract.kind !== request.contract.kind) {
      const { kind, name } = request.contract;
      return Promise.resolve({ ok: false, error: wrongKind(kind, name, contract.kind, this.#host.node) });
    }
    if (request.meta?.ran) {
      const refusal = notRepeatable(dispatch, this.#host.node);
      if (refusal !== undefined) return Promise.resolve(refusal);
    }
    const ctx = new MessageContext(
      this.#host,
      contract,
      request.timeout,
      this.envelope(request.meta, attempt, request.items),
    );
    const unnamed = named(ctx, request.payload);
    if (unnamed !== undefined) return Promise.resolve(unnamed);
    const { ordered, idempotent } = contract.options;
    if (ordered) ctx.execution.key = request.key;
    if (idempotent || dispatch.entity) ctx.execution.payload = request.payload;
    const untie = tied(ctx, request);
    counts.inHand++;
    const timing = counts.timing(this.#host.clock);
    const handled = request.admit === undefined
      ? runRequest(dispatch, request, ctx)
      : runAdmitted(dispatch, request, ctx, request.admit);
    const answered = request.contract.options.output === undefined
      ? handled
      : withParsedAnswer(request.contract, handled, ctx);
    // a request that has ended already needs neither a deadline nor an abort
    if (!(answered instanceof Promise) && ctx.isUntouched) {
      counts.endInHand(answered, timing);
      untie?.();
      return Promise.resolve(answered);
    }
    return outcomeOf(Promise.resolve(answered), ctx, { counts, timing, untie, waits: request.sent !== undefined });
  }

  /**
   * Runs a request from another process: parses the payload, and checks the answer without changing it, because the
   * sender parses it. `timeout`: time that the sender still waits, in ms. Returns `undefined` if there is no handler.
   * Never throws, never rejects.
   */
  receive(name: string, payload: unknown, timeout: number, envelope: Envelope): Receipt | undefined {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined) return undefined;
    const { contract, runs, counts, call, entity } = dispatch;
    const ctx = new MessageContext(this.#host, contract, timeout, envelope);
    if (envelope.ran) {
      const result = notRepeatable(dispatch, this.#host.node);
      if (result !== undefined) return { ctx, result, counts };
    }
    const { input, output, ordered, idempotent, id } = contract.options;
    if (idempotent || entity) ctx.execution.payload = payload;
    const plain = input === undefined && output === undefined && !ordered && id === undefined;
    if (!plain || contract.kind === "event") return { ctx, result: runParsed(dispatch, payload, ctx), counts };
    const decide = call?.entity;
    return { ctx, result: decide ? call!.decideLater(decide, payload, ctx) : runs[0](payload, ctx), counts };
  }

  /** Runs every handler of an event from this process, in a later turn of the event loop. */
  publish(name: string, payload: unknown, envelope: Envelope): void {
    // handlers of the event run outside of the async context of a cache's load, because the load does not wait for them
    if (awaitedBy.getStore() !== undefined) {
      return awaitedBy.run(undefined, () => this.publish(name, payload, envelope));
    }
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined || dispatch.contract.kind !== "event") return;
    const { contract, runs, nodeRuns, counts } = dispatch;
    for (const run of [...runs, ...nodeRuns]) {
      counts.heard++;
      counts.inHand++;
      const timing = counts.timing(this.#host.clock);
      const ctx = new MessageContext(this.#host, contract, this.#timeout, envelope);
      const handled = new Promise<void>((resolve) => this.#host.clock.soon(resolve)).then(() =>
        ctx.aborted === undefined
          ? withParsedPayload(contract, payload, ctx, (parsed) => run(parsed, ctx))
          : new Refusal("DRAINING", ctx)
      );
      ctx.run(handled, (outcome) => {
        counts.endInHand(outcome, timing);
        this.#ended(ctx, outcome);
      });
    }
  }

  /**
   * Prepares an event from another process for each of its handlers that run once in each service (`each: "service"`),
   * or on every node (`each: "node"`), and gives `take` a function for each: it runs the handler, never throws, and its
   * result never rejects; `take` has to call it when the event is admitted. `envelope`: makes the metadata of one run.
   * `passOn`: sends an event that the schema refuses to a node with another version of the contract; returns false if
   * there is none.
   */
  deliver(
    name: string,
    payload: unknown,
    { envelope, each }: { envelope: () => Envelope; each: "service" | "node" },
    take: (begin: () => Receipt) => void,
    passOn?: (ctx: MessageContext, payload: unknown) => boolean,
  ): void {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined || dispatch.contract.kind !== "event") return;
    const { contract, runs, nodeRuns, counts } = dispatch;
    // the event is passed on to another node once, however many handlers it has
    let passedOn: boolean | undefined;
    const refused = each === "node" || passOn === undefined || contract.options.input === undefined
      ? undefined
      : (ctx: MessageContext) => passedOn ??= passOn(ctx, payload);
    for (const run of each === "node" ? nodeRuns : runs) {
      counts.heard++;
      const timing = counts.timing(this.#host.clock);
      take(() => this.#runEvent(dispatch, run, payload, envelope(), { timing, refused }));
    }
  }

  #runEvent(
    { contract, counts }: Dispatch,
    run: HandlerRun,
    payload: unknown,
    envelope: Envelope,
    { timing, refused }: {
      readonly timing: Timing | undefined;
      readonly refused: ((ctx: MessageContext) => boolean) | undefined;
    },
  ): Receipt {
    const ctx = new MessageContext(this.#host, contract, this.#timeout, envelope);
    const result = contract.options.input === undefined
      ? run(payload, ctx)
      : withParsedPayload(contract, payload, ctx, (parsed) => run(parsed, ctx));
    if (!(result instanceof Promise)) {
      counts.end(result, timing);
      this.#ended(ctx, result, refused);
      return { ctx, result, counts };
    }
    counts.inHand++;
    result.then((outcome) => {
      counts.endInHand(outcome, timing);
      this.#ended(ctx, outcome, refused);
    });
    return { ctx, result, counts };
  }

  /** Reports the failure of an event that is not passed on to another node, because no sender receives the failure. */
  #ended(ctx: MessageContext, outcome: Outcome, refused?: (ctx: MessageContext) => boolean): void {
    if (outcome instanceof VersionRefusal && refused?.(ctx)) return;
    this.failed(ctx, asResult(outcome));
  }

  /** Reports the result of an event to the app's observers if it is a failure that has not been reported before. */
  failed(ctx: MessageContext, failure: Result<unknown>): void {
    // errors that a handler or a schema threw are not reported here, because they were reported where they were thrown
    if (failure.ok || failure.error.code === "HANDLER_FAILED" || schemaThrew(failure.error)) return;
    this.#observer({ type: "fault", during: `event ${ctx.contract.name} (${ctx.id})`, error: failure.error });
  }

  /** Makes the metadata (envelope) of a message that this process sends to itself. */
  envelope(meta: Meta | undefined, attempt = 1, items?: ItemTarget): Envelope {
    const call = this.#host.nextCall();
    return {
      call,
      id: meta?.id ?? call,
      attempt,
      correlation: meta?.correlation,
      causation: meta?.causation,
      ancestry: meta?.ancestry ?? [],
      headers: meta?.headers ?? NO_HEADERS,
      key: meta?.key,
      send: meta?.send,
      span: meta?.span,
      ran: meta?.ran,
      items,
    };
  }
}

/** Returns true for a command that has one recorded result for its id: it is idempotent, or of an entity. */
function hasOneResult({ contract, entity }: Dispatch): boolean {
  return Boolean(contract.options.idempotent || entity);
}

/**
 * Refuses a command that an earlier attempt may have run, if this node's version of the contract is neither idempotent
 * nor handled by an entity, as the sender's is: a node with another version may take it. Returns `undefined` if the
 * command may run.
 */
function notRepeatable(dispatch: Dispatch, node: string): VersionRefusal | undefined {
  const { kind, name } = dispatch.contract;
  if (kind !== "command" || hasOneResult(dispatch)) return undefined;
  const message = `command ${name} does not run on node ${node}, where it is not idempotent: it may have run before`;
  return new VersionRefusal(new CatgaError("OUTCOME_UNKNOWN", message, { node }));
}

/**
 * Aborts a run of a handler when its sender's signal aborts, or when the message whose handler sent it is aborted.
 * Returns a function that undoes this, for the end of the run; `undefined` if the request has neither signal nor
 * parent.
 */
function tied(ctx: MessageContext, { contract, signal, parent }: RemoteRequest): (() => void) | undefined {
  if (signal === undefined && parent === undefined) return undefined;
  const { execution } = ctx;
  parent?.execution.adopt(execution);
  const off = onAbort(signal, () => ctx.abort(cancelled(contract)));
  return () => {
    off();
    parent?.execution.release(execution);
  };
}

/** Resolves with the outcome that the sender gets: the handler's outcome, or a failure if the run is aborted first. */
function outcomeOf(
  handler: Promise<Outcome>,
  ctx: MessageContext,
  { counts, timing, untie, waits }: {
    readonly counts: ContractCounts;
    readonly timing: Timing | undefined;
    readonly untie: (() => void) | undefined;
    /** True for a run that the leader of a subscription has handed out. */
    readonly waits: boolean;
  },
): Promise<Outcome> {
  return new Promise((resolve) => {
    let over = false;
    ctx.begin((outcome) => {
      // a leader that stops hands over when its own runs have ended: the next leader could not wait for them
      if (waits && !over && ctx.aborted?.code === "CLOSED") return;
      untie?.();
      resolve(outcome);
    });
    handler.then((outcome) => {
      over = true;
      counts.endInHand(outcome, timing);
      ctx.end(outcome);
    });
  });
}

function runAdmitted(
  dispatch: Dispatch,
  request: RemoteRequest,
  ctx: MessageContext,
  admit: Admission,
): MaybePromise<Outcome> {
  return admit(ctx, () => runRequest(dispatch, request, ctx));
}

function runRequest(dispatch: Dispatch, request: RemoteRequest, ctx: MessageContext): MaybePromise<Outcome> {
  return isPreparedFor(dispatch, request)
    ? runAll(dispatch, request.parsed, ctx)
    : runParsed(dispatch, request.payload, ctx);
}

/**
 * Runs every handler of a contract; a command or a query has one. The result of an event is its first failure. For an
 * event that was passed on by another node, handlers that run on every node are left out, because they have run
 * already.
 */
function runAll(dispatch: Dispatch, parsed: unknown, ctx: MessageContext): MaybePromise<Outcome> {
  const { contract, runs, nodeRuns } = dispatch;
  if (contract.kind !== "event") return runs[0](parsed, ctx);
  const all = ctx.envelope.passedOn ? runs : [...runs, ...nodeRuns];
  if (all.length === 0) return noHandlerHere(contract);
  const handle = (run: HandlerRun) =>
    all.length === 1 ? run(parsed, ctx) : ctx.withOwnContext((own) => run(parsed, own));
  return Promise.all(all.map(handle)).then((outcomes) =>
    // an event is refused only if none of its handlers ran
    outcomes.every((outcome) => outcome instanceof Refusal)
      ? outcomes[0]
      : outcomes.map(asResult).find(({ ok }) => !ok) ?? { ok: true, value: undefined }
  );
}

/**
 * Gives a message that came without an id the id that its contract makes of the payload. The sender's contract object
 * may have had no `id` function, as in the command line tool. Returns a refusal if the id cannot be made: another
 * version of the contract may make one, or need none.
 */
function named(ctx: MessageContext, payload: unknown): VersionRefusal | undefined {
  if (ctx.contract.options.id === undefined || ctx.named) return undefined;
  const id = idOf(ctx.contract, payload);
  if (typeof id === "object") return new VersionRefusal(id.error);
  if (id !== undefined) ctx.id = id;
  return undefined;
}

/**
 * Returns true if the contract object that the sender used has the same input schema as the handler's contract object,
 * and, if the contract is ordered, the same key function: then the payload is parsed already. Two contract objects may
 * have one name.
 */
function isPreparedFor({ contract }: Dispatch, { contract: sent }: RemoteRequest): boolean {
  if (contract === sent) return true;
  const { input, ordered, key } = contract.options;
  return input === sent.options.input && (!ordered || (key !== undefined && key === sent.options.key));
}

/**
 * Runs the handlers with the parsed payload. Not async: with synchronous schemas a handler runs in this turn of the
 * event loop, so that its time is part of this turn's budget.
 */
function runParsed(dispatch: Dispatch, payload: unknown, ctx: MessageContext): MaybePromise<Outcome> {
  const { contract } = dispatch;
  return withParsedPayload(contract, payload, ctx, (parsed) => {
    const unnamed = named(ctx, payload);
    if (unnamed !== undefined) return unnamed;
    if (contract.options.ordered) {
      const key = orderKeyOf(ctx, payload);
      if (typeof key === "object") return key;
      ctx.execution.key = key;
    }
    return withCheckedAnswer(contract, runAll(dispatch, parsed, ctx), ctx);
  });
}
