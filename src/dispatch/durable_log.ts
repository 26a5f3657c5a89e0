/** What an app needs of the log: durable events and queued commands. `log/` implements it, `catga.ts` wires it. */
import type { AnyContract } from "../contract/contract.ts";
import type { SubscriptionHealth } from "../contract/health.ts";
import type { DeadLetter, DeadLetterOptions, SubscriptionInfo } from "../contract/kept.ts";
import type { Result } from "../contract/result.ts";
import type { ParentMessage } from "./context_host.ts";
import type { Meta } from "./remote.ts";

/** A message to be stored. Its payload has passed the contract's schema. */
export interface DurableMessage {
  readonly contract: AnyContract;
  /** Before the contract's schema: what is stored. */
  readonly payload: unknown;
  readonly key: string | undefined;
  readonly meta: Meta | undefined;
  /** How long to try to have it stored, in ms. */
  readonly timeout: number;
  readonly signal: AbortSignal | undefined;
  /** When it is to be handled, if not now. */
  readonly schedule: Schedule | undefined;
  /** The message whose handler sends it: a queued command ends with it, unless it is stored. */
  readonly parent: ParentMessage | undefined;
}

/** When a message is to be handled. */
export type Schedule =
  | { readonly delay: number }
  | { readonly at: Date }
  | { readonly cron: string; readonly zone: string | undefined };

/** The log of one node. Opened when it is first needed. */
export interface DurableLog {
  /** Ok when it is stored. Never rejects. */
  publish(message: DurableMessage): Promise<Result<void>>;
  unschedule(contract: AnyContract, id: string): Promise<boolean>;
  /** Begins the read models of this node, before it joins its cluster; resolves when they have caught up. */
  catchUp(): Promise<void>;
  /**
   * Begins the subscriptions of this node's handlers, when it has joined: resolves when each has a record, so that what is published
   * from then on is handled.
   */
  start(): Promise<void>;
  /** Whether the read models have caught up. */
  readonly caughtUp: boolean;
  /** The subscriptions of this node's handlers, read models too; made without the network. */
  readonly health: readonly SubscriptionHealth[];
  subscriptions(): Promise<readonly SubscriptionInfo[]>;
  deadLetters(options: DeadLetterOptions): AsyncIterableIterator<DeadLetter>;
  rewind(subscription: string, to: "start" | number | Date): Promise<void>;
  /** Gives up the lead of its subscriptions, handing over what is open; takes no more messages. For the begin of a drain. */
  leave(): Promise<void>;
  /** Settles what is being published, and ends everything. */
  close(): Promise<void>;
}
