/**
 * An app with behaviors around its sends. A class of its own, so that a send through an app that has none does not even ask
 * for them.
 */
import { App, type AppParts, checkContract } from "./app.ts";
import type { OutgoingMessage, Sending } from "./behavior.ts";
import type { MessageContext } from "./context.ts";
import type { AnyContract } from "./contract.ts";
import { checkSendOptions, type SendOptions } from "./options.ts";
import type { Result } from "./result.ts";
import type { BroadcastResult } from "./sender.ts";

/** An {@link App} whose sends go through `sending`. */
export class WrappedApp extends App {
  readonly #sending: Sending;

  /** As for {@link App}; `sending` is what behaviors have around sends. */
  constructor(parts: AppParts, release: () => Promise<void>, sending: Sending) {
    super(parts, release);
    this.#sending = sending;
  }

  override send(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: MessageContext,
  ): Promise<Result<unknown>> {
    checkContract("send", contract, "command", "query");
    const message = this.#message("send", contract, payload, options, parent);
    const named = this.#named(contract, options);
    return this.#sending(message, (headers) => super.send(contract, payload, withHeaders(named, headers), parent));
  }

  override publish(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: MessageContext,
  ): Promise<Result<void>> {
    checkContract("publish", contract, "event");
    const published = this.#sending(
      this.#message("publish", contract, payload, options, parent),
      (headers) => super.publish(contract, payload, withHeaders(options, headers), parent),
    );
    return published.then((result) => result.ok ? { ok: true, value: undefined } : result);
  }

  override async broadcast(
    contract: AnyContract,
    payload: unknown,
    options?: SendOptions,
    parent?: MessageContext,
  ): Promise<BroadcastResult<unknown>[]> {
    checkContract("broadcast", contract, "command", "query", "event");
    const message = this.#message("broadcast", contract, payload, options, parent);
    const named = this.#named(contract, options);
    const result = await this.#sending(message, async (headers) => {
      const value = await super.broadcast(contract, payload, withHeaders(named, headers), parent);
      return { ok: true, value };
    });
    // a behavior may have given something else: it is as much of a broadcast as its author makes it
    return result.ok ? result.value as BroadcastResult<unknown>[] : [{ node: this.node, result }];
  }

  /** The options with an id where one is needed: a behavior that sends an idempotent command again sends the same one again. */
  #named(contract: AnyContract, options: SendOptions | undefined): SendOptions | undefined {
    if (!contract.options.idempotent || options?.id !== undefined) return options;
    return { ...options, id: this.nextCall() };
  }

  #message(
    method: OutgoingMessage["method"],
    contract: AnyContract,
    payload: unknown,
    options: SendOptions | undefined,
    ctx: MessageContext | undefined,
  ): OutgoingMessage {
    if (options !== undefined) checkSendOptions(method, contract.name, options);
    return { method, contract, payload, options: options ?? {}, ctx, node: this.node, clock: this.clock };
  }
}

function withHeaders(
  options: SendOptions | undefined,
  headers: Readonly<Record<string, string>> | undefined,
): SendOptions | undefined {
  return headers === undefined ? options : { ...options, headers: { ...options?.headers, ...headers } };
}
