import type { Clock } from "../ports/clock.ts";
import type { AnyContract } from "../contract/contract.ts";
import type { Context } from "../contract/context.ts";
import type { CatgaError } from "../error.ts";
import type { Deadlined, DeadlineWheel } from "./deadline_wheel.ts";
import type { SendOptions } from "../contract/send_options.ts";
import type { Result } from "../contract/result.ts";
import type { SharedState } from "./shared_state.ts";
import type { BroadcastResult, SendAllOptions } from "../contract/sender.ts";

/** What travels with a message besides its payload; made by the context, carried by the endpoint. */
export interface Envelope {
  /** Names this run of a handler among all others: `<endpoint>.<number>…`. */
  readonly call: string;
  readonly id: string;
  readonly attempt: number;
  readonly correlation: string | undefined;
  readonly causation: string | undefined;
  readonly ancestry: readonly string[];
  readonly headers: Readonly<Record<string, string>>;
  /** The routing key that the sender gave, when the contract is ordered. */
  readonly key?: string | undefined;
}

/** The message whose handler sends: what its sends take over from it. */
export interface ParentMessage extends Context {
  readonly envelope: Envelope;
  /** Why it was given up, when it was. */
  readonly aborted: CatgaError | undefined;
  /** Sends end with the handler that sent them. */
  readonly execution: {
    adopt(child: Deadlined): void;
    release(child: Deadlined): void;
  };
  /** What is left until its deadline, in ms, at this moment of the monotonic clock. */
  remaining(now: number): number;
}

/** What contexts need of the app that they belong to. */
export interface ContextHost {
  readonly node: string;
  readonly clock: Clock;
  readonly wheel: DeadlineWheel;
  /** What a drain waits for: asynchronous handlers that run, and sends that wait for an answer. */
  pending: number;
  /** To be called whenever {@link ContextHost.pending} has come down to 0. */
  idle(): void;
  /** What the nodes share. */
  readonly state: SharedState;
  /** Something went wrong that nobody waits for. */
  fault(during: string, error: unknown): void;
  /** A new name for a run, or for a message, of this process. */
  nextCall(): string;
  send(contract: AnyContract, payload: unknown, options: SendOptions, parent: ParentMessage): Promise<Result<unknown>>;
  sendAll(
    contract: AnyContract,
    payloads: Iterable<unknown>,
    options: SendAllOptions,
    parent: ParentMessage,
  ): Promise<Result<unknown>[]>;
  publish(contract: AnyContract, payload: unknown, options: SendOptions, parent: ParentMessage): Promise<Result<void>>;
  broadcast(
    contract: AnyContract,
    payload: unknown,
    options: SendOptions,
    parent: ParentMessage,
  ): Promise<BroadcastResult<unknown>[]>;
}

/** Hears when a message steps aside to wait for its handler's turn. */
export interface TurnWatcher {
  /** It begins to wait. */
  waits(): void;
  /** Its turn has come. Not called when it is dropped instead. */
  goes(): void;
}

/** No headers. */
export const NO_HEADERS: Readonly<Record<string, string>> = Object.freeze(Object.create(null));
