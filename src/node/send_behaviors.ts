/**
 * An app with behaviors around its sends. It is a class of its own, so that an app without such behaviors need not
 * check for them at each send.
 */
import { App, type AppParts } from "./app.ts";
import type { AnyBehavior, OutgoingMessage } from "../contract/declaration/behavior.ts";
import { checkStrings, show } from "../data/checks.ts";
import { checkContract } from "../contract/declaration/definition.ts";
import type { ContextHost, ParentMessage } from "../dispatch/context_host.ts";
import { abandoned, failure, notSent } from "../dispatch/outcome.ts";
import { untilDeadline } from "../dispatch/deadlined_wait.ts";
import { CatgaError } from "../error.ts";
import type { ItemSink } from "../dispatch/item_ports.ts";
import type { AnyContract } from "../contract/declaration/contract.ts";
import { checkKeepOptions, type EnqueueOptions, type KeepOptions } from "../contract/calls/durable_messages.ts";
import { checkSendOptions, type SendOptions } from "../contract/calls/send_options.ts";
import type { Result } from "../contract/calls/result.ts";
import type { BroadcastResult } from "../contract/calls/sender.ts";

/**
 * Passes a message through the behaviors around sends. The innermost calls `go`, which sends the message with the given
 * headers added to its own.
 */
type Sending = (
  message: OutgoingMessage,
  go: (headers: Readonly<Record<string, string>> | undefined) => Promise<Result<unknown>>,
) => Promise<Result<unknown>>;

/** An {@link App} whose sends pass through the behaviors around sends. */
export class AppWithSendBehaviors extends App {
  readonly #sending: Sending;
  readonly #host: Pick<ContextHost, "wheel" | "underWay">;

  /** Makes an app whose sends pass through the `send` of each of these behaviors. */
  constructor(parts: AppParts, release: () => Promise<void>, behaviors: readonly AnyBehavior[]) {
    super(parts, release);
    this.#sending = foldSends(behaviors);
    this.#host = hostOf(this);
  }

  override send(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: ParentMessage,
  ): Promise<Result<unknown>> {
    checkContract("send", contract, "command", "query");
    const message = this.#message("send", contract, payload, options, parent);
    return this.#passThrough(message, options, (ready) => super.send(contract, payload, ready, parent));
  }

  /**
   * Opens a stream through the behaviors, which see how the stream ended, and cannot change the items that its reader
   * has received.
   */
  protected override async openStream(
    contract: AnyContract,
    input: unknown,
    options: SendOptions,
    to: { parent: ParentMessage | undefined; items: ItemSink },
  ): Promise<Result<unknown>> {
    const message = this.#message("stream", contract, input, options, to.parent);
    let ended: Result<unknown> | undefined;
    const result = await this.#passThrough(message, options, async (ready) => {
      if (ended !== undefined && to.items.received > 0) return ended;
      return ended = await super.openStream(contract, input, ready ?? options, to);
    });
    return result.ok && ended?.ok ? ended : result;
  }

  override publish(
    contract: AnyContract,
    payload: unknown,
    options?: KeepOptions,
    parent?: ParentMessage,
  ): Promise<Result<void>> {
    checkContract("publish", contract, "event");
    const message = this.#message("publish", contract, payload, options, parent);
    return this.#passThrough(message, options, (ready) => super.publish(contract, payload, ready, parent)).then(
      withoutValue,
    );
  }

  override async enqueue(
    contract: AnyContract,
    payload: unknown,
    options?: EnqueueOptions,
    parent?: ParentMessage,
  ): Promise<Result<void>> {
    checkContract("enqueue", contract, "command");
    const message = this.#message("enqueue", contract, payload, options, parent);
    return await this.#passThrough(message, options, (ready) => super.enqueue(contract, payload, ready, parent)).then(
      withoutValue,
    );
  }

  override async broadcast(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: ParentMessage,
  ): Promise<BroadcastResult<unknown>[]> {
    checkContract("broadcast", contract, "command", "query", "event");
    const message = this.#message("broadcast", contract, payload, options, parent);
    const result = await this.#passThrough(message, options, async (ready) => {
      const value = await super.broadcast(contract, payload, ready, parent);
      return { ok: true, value };
    });
    // the cast is unchecked: if a behavior returns a value that is not a list of results, the program gets this value
    return result.ok ? result.value as BroadcastResult<unknown>[] : [{ node: this.node, result }];
  }

  /** Passes a message through the behaviors, which have until the message's deadline. */
  #passThrough<Options extends SendOptions>(
    message: Outgoing,
    given: Options | undefined,
    send: (options: Options | undefined) => Promise<Result<unknown>>,
  ): Promise<Result<unknown>> {
    const { contract, method, ctx: parent } = message;
    const options = this.#withId(contract, given);
    const timeout = this.timeLeft(contract, options, parent);
    const due = this.wheel.now() + timeout;
    const sends = new BegunSends(message);
    const result = this.#sending(message, (headers) => {
      const left = due - this.wheel.now();
      // if the deadline had passed before, the send itself refuses the message, as without behaviors
      if (sends.endedBy === undefined && (left > 0 || timeout <= 0)) {
        const timed = left < timeout && left > 0 && (method !== "publish" || contract.options.durable)
          // the cast is safe: `timeout` belongs to every kind of options
          ? { ...options, timeout: Math.max(1, left) } as Options
          : options;
        return sends.add(send(withHeaders(timed, headers)));
      }
      const reason = sends.endedBy ?? new CatgaError("TIMEOUT", "the deadline has passed");
      return Promise.resolve(notSent(contract, reason));
    });
    const sent = { contract, timeout, signal: options?.signal, parent };
    return untilDeadline(this.#host, sent, result, (reason) => {
      sends.endedBy = reason;
      if (!sends.hasBegun) return notSent(contract, reason);
      // sends that the behaviors have begun end at the deadline, too; then the behaviors have one more turn of the
      // event loop to return a result
      const known = sends.ended().then(() => new Promise<void>((resolve) => this.clock.soon(resolve)));
      return Promise.race([result, known.then(() => sends.resultAtDeadline(reason))]);
    });
  }

  /**
   * Returns the options, with a generated id for an idempotent command, or a command of an entity, that has none: a
   * behavior that sends the message again must send the same id. If the contract makes ids of payloads, the options
   * stay as they are (perhaps `undefined`): such an id is the same each time anyway.
   */
  #withId<Options extends SendOptions>(contract: AnyContract, options: Options | undefined): Options | undefined {
    const { idempotent, id } = contract.options;
    if (!(idempotent || this.ofEntity(contract)) || id !== undefined || options?.id !== undefined) return options;
    // the cast is safe: `id` belongs to every kind of options
    return { ...options, id: this.nextCall() } as Options;
  }

  #message(
    method: OutgoingMessage["method"],
    contract: AnyContract,
    payload: unknown,
    options: SendOptions & EnqueueOptions | undefined,
    ctx: ParentMessage | undefined,
  ): Outgoing {
    if (options !== undefined) {
      if (method === "enqueue" || (method === "publish" && contract.options.durable)) {
        checkKeepOptions(method, contract.name, options);
      } else checkSendOptions(method, contract.name, options);
    }
    return { method, contract, payload, options: options ?? {}, ctx, node: this.node, clock: this.clock };
  }
}

/** Folds the `send` of each behavior into one function, outermost first. */
function foldSends(behaviors: readonly AnyBehavior[]): Sending {
  const around = behaviors.flatMap(({ send }) => send === undefined ? [] : [send]);
  return around.reduceRight<Sending>((inner, behavior) => async (message, go) => {
    const sending = `${message.method} ${message.contract.name}`;
    const result = await behavior(message, async (headers) => {
      if (headers !== undefined) checkStrings(`${sending}: headers`, headers);
      return await inner(message, (more) => go(headers === undefined ? more : { ...headers, ...more }));
    });
    if (typeof result?.ok === "boolean") return result;
    throw new TypeError(
      `a behavior around ${sending} must return a result, what next() gives or fail(…); got ${show(result)}`,
    );
  }, async (_, go) => await go(undefined));
}

/** A message that passes through behaviors, with the context of the handler that sends it. */
type Outgoing = OutgoingMessage & { readonly ctx: ParentMessage | undefined };

/** Returns the result of a message without an answer: a value that a behavior has given is dropped. */
function withoutValue(result: Result<unknown>): Result<void> {
  return result.ok ? { ok: true, value: undefined } : result;
}

/**
 * Returns the app as the host of behaviors around sends: a drain waits for the behaviors, but {@link App.inFlight} does
 * not include them.
 */
function hostOf(app: App): Pick<ContextHost, "wheel" | "underWay"> {
  return {
    wheel: app.wheel,
    underWay: {
      begin() {
        app.runningSendBehaviors++;
        app.underWay.begin();
      },
      end() {
        app.runningSendBehaviors--;
        app.underWay.end();
      },
    },
  };
}

/** The sends that the behaviors have begun for one message. */
class BegunSends {
  /** The error because of which the message has ended, at its deadline or by an abort; `undefined`: it has not. */
  endedBy: CatgaError | undefined = undefined;
  hasBegun = false;
  readonly #contract: AnyContract;
  readonly #method: OutgoingMessage["method"];
  readonly #underWay: Set<Promise<unknown>> = new Set();
  readonly #results: Result<unknown>[] = [];

  constructor({ contract, method }: OutgoingMessage) {
    this.#contract = contract;
    this.#method = method;
  }

  add(send: Promise<Result<unknown>>): Promise<Result<unknown>> {
    this.hasBegun = true;
    const settled: Promise<unknown> = send.then(
      (result) => this.#results.push(result),
      () => {}, // the behavior gets the rejection
    ).then(() => this.#underWay.delete(settled));
    this.#underWay.add(settled);
    return send;
  }

  /** True if the message is stored in the log. */
  get #isStored(): boolean {
    return this.#method === "enqueue" || (this.#method === "publish" && !!this.#contract.options.durable);
  }

  /** Resolves when all sends that the behaviors have begun have ended. */
  async ended(): Promise<void> {
    // the publish of an event that is not stored is not awaited, because it ends by itself at once
    if (this.#contract.kind !== "event" || this.#isStored) await Promise.all(this.#underWay);
  }

  /**
   * The result at the deadline, if the behaviors have not returned one. If all sends failed with one code: the last of
   * these failures; else an error that says that the message was sent. A successful result is used only for a
   * broadcast, because behaviors might have changed the result of another send.
   */
  resultAtDeadline(reason: CatgaError): Result<unknown> {
    const last = this.#results.at(-1);
    // a broadcast's result is the list of the results of the nodes
    if (this.#method === "broadcast" && last?.ok) return last;
    if (last?.error !== undefined && this.#results.every(({ error }) => error?.code === last.error.code)) return last;
    if (this.#isStored) {
      const { kind, name } = this.#contract;
      const message =
        `${kind} ${name} may have been stored: a behavior around sends had not ended when ${reason.message}`;
      return failure("OUTCOME_UNKNOWN", message, { cause: reason });
    }
    if (this.#contract.kind === "event") return { ok: false, error: reason };
    return abandoned(this.#contract, reason, "was sent, and a behavior around sends had not ended when");
  }
}

function withHeaders<Options extends SendOptions>(
  options: Options | undefined,
  headers: Readonly<Record<string, string>> | undefined,
): Options | undefined {
  // the cast is safe: headers belong to every kind of options
  return headers === undefined ? options : { ...options, headers: { ...options?.headers, ...headers } } as Options;
}
