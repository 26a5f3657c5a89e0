/**
 * The shortest way of a send: to a handler in this process, without options, of a contract that needs no preparation and that
 * no other node handles.
 */
import type { ContextHost } from "../dispatch/context_host.ts";
import type { Remote } from "../dispatch/remote.ts";
import { MessageContext } from "../dispatch/message_context.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { HandlerCall, HandlerRun } from "../dispatch/handler_call.ts";
import type { ContractCounts } from "../dispatch/contract_counts.ts";
import type { Dispatch, Mediator } from "../dispatch/mediator.ts";
import type { RequestBuilder } from "./request_builder.ts";
import type { Result } from "../contract/result.ts";
import type { MaybePromise } from "../contract/schema.ts";
import { asResult, type Outcome } from "../dispatch/outcome.ts";

/** The fast paths of a node by their contracts: another contract of the name is checked first. To be made again when the membership has changed. */
export function fastPaths(
  host: ContextHost,
  { mediator, builder, remote }: { mediator: Mediator; builder: RequestBuilder; remote: Remote | undefined },
): ReadonlyMap<AnyContract, LocalFastPath> {
  const paths = new Map<AnyContract, LocalFastPath>();
  for (const { name } of mediator.requests) {
    const dispatch = mediator.find(name)!;
    if (!builder.needsNothing(dispatch.contract) || remote?.alone(name) === false) continue;
    paths.set(dispatch.contract, new LocalFastPath(host, dispatch, builder.timeoutOf(dispatch.contract)));
  }
  return paths;
}

/**
 * The sends of one contract to its handler in this process. Written so that the compilers of both runtimes put all of it
 * into the loop that sends: then the promise of a plain value is made and awaited in half of the time (31 ns instead of 61
 * in Deno), which an async function, or a result that another function made, takes from it (measured).
 */
export class LocalFastPath {
  readonly #host: ContextHost;
  readonly #contract: AnyContract;
  readonly #timeout: number;
  readonly #run: HandlerRun;
  readonly #call: HandlerCall | undefined;
  readonly #counts: ContractCounts;
  /** Whether it is a command of an entity, which is found by its payload before the schema. */
  readonly #entity: boolean;

  /** `timeout` in ms. */
  constructor(host: ContextHost, { contract, runs: [run], call, counts, entity }: Dispatch, timeout: number) {
    this.#host = host;
    this.#contract = contract;
    this.#timeout = timeout;
    this.#run = run;
    this.#call = call;
    this.#counts = counts;
    this.#entity = entity;
  }

  send(payload: unknown): Promise<Result<unknown>> {
    const ctx = new MessageContext(this.#host, this.#contract, this.#timeout, undefined);
    if (this.#entity) ctx.execution.payload = payload;
    const call = this.#call;
    if (call === undefined) return settled(this.#run(payload, ctx), ctx, this.#counts);
    try {
      const value = call.fn(payload, ctx);
      if (isPlain(value)) {
        call.counts.local++;
        return Promise.resolve({ ok: true, value });
      }
      // resolved again: the `then` of a class derived from Promise may call back twice, or throw
      if (value instanceof Promise) return this.#later(Promise.resolve(value), ctx, call);
      return settled(call.result(value, ctx), ctx, call.counts);
    } catch (error) {
      return Promise.resolve(call.counts.localResult(call.failure(error, ctx)));
    }
  }

  /** One `then` and one promise: each further one costs 60 ns. */
  #later(value: Promise<unknown>, ctx: MessageContext, call: HandlerCall): Promise<Result<unknown>> {
    return new Promise((resolve) => {
      const { execution } = ctx;
      call.counts.localBegun++;
      execution.begin(resolve as (outcome: Outcome) => void); // no turn was waited for, so that the outcome is no refusal
      value.then(
        (value) => execution.end(call.counts.localEnd(call.success(value, ctx))),
        (error) => execution.end(call.counts.localEnd(call.failure(error, ctx))),
      );
    });
  }
}

function settled(
  outcome: MaybePromise<Outcome>,
  ctx: MessageContext,
  counts: ContractCounts,
): Promise<Result<unknown>> {
  if (!(outcome instanceof Promise)) return Promise.resolve(counts.localResult(asResult(outcome)));
  counts.localBegun++;
  return ctx.execution.outcome(outcome, asResult, counts.localEnded);
}

/** Whether what a handler returned is certainly neither a promise nor a failure. */
function isPlain(returned: unknown): boolean {
  if (typeof returned !== "object" || returned === null) return true;
  const { then, ok } = returned as { then?: unknown; ok?: unknown };
  return then === undefined && ok !== false;
}
