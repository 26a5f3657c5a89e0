/**
 * Runs handlers: for senders in this process, for requests that came over the wire, and for events. Every run has a context
 * of its own, with the deadline and the cancellation of its message.
 */
import { type ContextHost, type Envelope, MessageContext, NO_HEADERS } from "./context.ts";
import { type Dispatch, type Mediator, parseAnswer, parsePayload } from "./mediator.ts";
import type { Observer } from "./observer.ts";
import { CatgaError } from "./error.ts";
import { cancelled, keyOf, noHandler } from "./outgoing.ts";
import type { Meta, RemoteRequest } from "./remote.ts";
import type { Result } from "./result.ts";
import type { MaybePromise } from "./schema.ts";

/** A request from the wire that was taken. */
export interface Receipt {
  readonly ctx: MessageContext;
  readonly result: MaybePromise<Result<unknown>>;
}

/** What a {@link Runner} is made of. */
export interface RunnerOptions {
  readonly host: ContextHost;
  readonly mediator: Mediator;
  readonly observer: Observer;
  /** How long an event's handler has until its signal aborts, in ms. */
  readonly timeout: number;
}

/** Runs the handlers of one node. */
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

  /**
   * Runs a request in this process for a sender in this process: with deadline and cancellation, the answer parsed. Also
   * the way in which the router reaches this node's own handlers. A {@link Refusal} when it had no turn.
   */
  local(request: RemoteRequest, attempt: number): Promise<Result<unknown>> {
    const dispatch = this.#mediator.find(request.contract.name);
    if (dispatch === undefined) return Promise.resolve(noHandler(request.contract, request.node));
    const { signal, parent } = request;
    const ctx = new MessageContext(
      this.#host,
      dispatch.contract,
      request.timeout,
      this.envelope(request.meta, attempt),
    );
    ctx.key = request.key;
    const abort = () => ctx.abort(cancelled(request.contract));
    parent?.adopt(ctx);
    if (signal?.aborted) abort();
    else signal?.addEventListener("abort", abort, { once: true });
    return ctx.outcome(Promise.resolve(runAll(dispatch, request.parsed, ctx))).then((result) => {
      signal?.removeEventListener("abort", abort);
      parent?.release(ctx);
      return result.ok ? parseAnswer(request.contract, result) : result;
    });
  }

  /**
   * Runs a request that came over the wire: parses the payload, checks the answer (and answers with the original: the
   * sender parses it). `undefined` when there is no handler. Never throws, never rejects.
   */
  receive(name: string, payload: unknown, timeout: number, envelope: Envelope): Receipt | undefined {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined) return undefined;
    const { contract, runs } = dispatch;
    const ctx = new MessageContext(this.#host, contract, timeout, envelope);
    const { input, output, ordered } = contract.options;
    const result = input === undefined && output === undefined && contract.kind !== "event" && !ordered
      ? runs[0](payload, ctx)
      : runParsed(dispatch, payload, ctx);
    return { ctx, result };
  }

  /**
   * Runs an event's handlers, in a later turn: those of which each service has one run, those of every node, or both.
   * `envelope` makes one for each of them. Resolves when they have ended.
   */
  deliver(
    name: string,
    payload: unknown,
    envelope: () => Envelope,
    each?: "service" | "node",
  ): Promise<unknown> {
    const dispatch = this.#mediator.find(name);
    if (dispatch === undefined || dispatch.contract.kind !== "event") return Promise.resolve();
    const all: Promise<unknown>[] = [];
    const { contract, runs, nodeRuns } = dispatch;
    for (const run of each === undefined ? [...runs, ...nodeRuns] : each === "node" ? nodeRuns : runs) {
      const ctx = new MessageContext(this.#host, contract, this.#timeout, envelope());
      const handled = new Promise<void>((resolve) => this.#host.clock.soon(resolve)).then(async () => {
        if (ctx.aborted !== undefined) return { ok: false, error: ctx.aborted } as const;
        const parsed = await parsePayload(contract, payload);
        return parsed.ok ? await run(parsed.value, ctx) : parsed;
      });
      all.push(handled);
      ctx.run(handled, (result) => {
        if (!result.ok && result.error.code !== "HANDLER_FAILED") { // that one was seen where it was thrown
          this.#observer({ type: "fault", during: `event ${name} (${ctx.id})`, error: result.error });
        }
      });
    }
    return Promise.all(all);
  }

  /** What a message that did not come over the wire is called, and carries. */
  envelope(meta: Meta | undefined, attempt = 1): Envelope {
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
    };
  }
}

/** Every handler of a contract; for a command or a query there is one. An event's result is its first failure. */
function runAll(dispatch: Dispatch, parsed: unknown, ctx: MessageContext): MaybePromise<Result<unknown>> {
  const { contract, runs, nodeRuns } = dispatch;
  if (contract.kind !== "event") return runs[0](parsed, ctx);
  return Promise.all([...runs, ...nodeRuns].map((run) => run(parsed, ctx))).then((results) =>
    results.find(({ ok }) => !ok) ?? { ok: true, value: undefined }
  );
}

async function runParsed(dispatch: Dispatch, payload: unknown, ctx: MessageContext): Promise<Result<unknown>> {
  const parsed = await parsePayload(dispatch.contract, payload);
  if (!parsed.ok) return parsed;
  try {
    if (dispatch.contract.options.ordered) ctx.key = ctx.envelope.key ?? keyOf(dispatch.contract, payload);
  } catch (cause) {
    const message = `the key of ${dispatch.contract.name} cannot be made of this payload`;
    return { ok: false, error: new CatgaError("INVALID_MESSAGE", message, { cause, node: ctx.node }) };
  }
  const result = await runAll(dispatch, parsed.value, ctx);
  const checked = await parseAnswer(dispatch.contract, result);
  return checked.ok ? result : checked;
}
