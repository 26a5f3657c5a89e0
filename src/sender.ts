/** What an app and a handler's context have in common: ways to send. */
import type { Contract, Kind } from "./contract.ts";
import type { SendOptions } from "./options.ts";
import type { Result } from "./result.ts";

/** A payload and options; a payload that may be `undefined` (or `void`) may be left out. */
export type Args<In> = undefined extends In ? [payload?: NoInfer<In>, options?: SendOptions]
  : [payload: NoInfer<In>, options?: SendOptions];

/** One node's answer to a broadcast. */
export interface BroadcastResult<T> {
  /** The node's id. */
  readonly node: string;
  readonly result: Result<T>;
}

/** Sends messages. What goes wrong in operation comes back as a result; misuse (an unknown option) throws. */
export interface Sender {
  /**
   * Sends a command or a query to one node that handles it.
   *
   * @example
   * ```ts
   * import { catga, query } from "@catga/catga";
   *
   * const Greet = query<{ name: string }, string>("Greet");
   * await using app = await catga({ handlers: Greet.handle(({ name }) => `hello ${name}`) });
   * const result = await app.send(Greet, { name: "tea" }, { timeout: 1_000 });
   * if (result.ok) console.log(result.value);
   * else console.error(result.error.code, result.error.message);
   * ```
   */
  send<In, Out>(contract: Contract<"command" | "query", In, Out>, ...args: Args<In>): Promise<Result<Out>>;
  /** Publishes an event: one node of each service that has handlers for it gets it. Ok when it was handed to the network. */
  publish<In>(contract: Contract<"event", In, void>, ...args: Args<In>): Promise<Result<void>>;
  /** Sends to every node that handles the message, this one included, and waits for each answer. */
  broadcast<In, Out>(contract: Contract<Kind, In, Out>, ...args: Args<In>): Promise<BroadcastResult<Out>[]>;
}
