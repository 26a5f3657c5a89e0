/** Handlers: what `handle` and `on` return and `catga` takes. */
import type { Behavior } from "./behavior.ts";
import type { Context } from "./context.ts";
import type { AnyContract } from "./contract.ts";
import type { EntityBody } from "./entity_body.ts";
import type { WorkflowBody } from "./workflow_body.ts";

/** Options of `handle` and `on`. */
export interface HandlerOptions {
  /** Wrapped around this handler, inside the app's own, outermost first; none. */
  behaviors?: readonly Behavior[] | undefined;
  /**
   * How many runs of it there are at once on this node, whoever sent the messages; further messages wait, first come, first
   * served. No limit of its own.
   */
  concurrency?: number | undefined;
}

/** Options of `handle` for a durable command, and those that `on` shares with it. */
export interface RetryOptions {
  /**
   * What follows a failed run of a message of the log: up to `attempts` of them (1 to 1,000; 10), after pauses that double, drawn at random
   * up to the longest, `delay` in ms (`[1_000, 300_000]`); then it is a dead letter.
   */
  retry?: { attempts?: number | undefined; delay?: readonly [first: number, longest: number] | undefined } | undefined;
}

/** Options of `handle` for a command. */
export interface CommandHandlerOptions extends HandlerOptions, RetryOptions {}

/** Options of `on`. */
export interface EventHandlerOptions extends HandlerOptions {
  /** Who gets an event: one node of each `"service"`, or every `"node"`; `"service"`. */
  each?: "service" | "node" | undefined;
}

/** Options of `on` for a durable event. */
export interface SubscriptionOptions extends EventHandlerOptions, RetryOptions {
  /**
   * The name of the subscription, one token of letters, digits, `-` and `_`: handlers of one name in a service, of whatever events, share
   * a position in the log; the contract's name, with `-` for dots.
   */
  name?: string | undefined;
  /** Where a subscription that is new begins; with `each: "node"` where each node begins when it starts; `"now"`. */
  from?: "now" | "start" | undefined;
  /** How long a run may take, in ms: 1 to 2^31 - 1; the app's. */
  timeout?: number | undefined;
}

/** What a handler of durable events, or of a durable command, says about its subscription. All that was left out has its default. */
export interface SubscriptionSettings {
  /** Its name in its service. */
  readonly name: string;
  /** Where it begins when it is new. */
  readonly from: "now" | "start";
  /** Who gets a message. */
  readonly each: "service" | "node";
  /** How often a message is tried. */
  readonly attempts: number;
  /** The pauses between attempts, in ms. */
  readonly delay: readonly [first: number, longest: number];
  /** In ms; the app's. */
  readonly timeout: number | undefined;
}

/** What `handle` and `on` return. Export it, and pass its module to `catga`. */
export interface Handler {
  /** The contract that it handles. */
  readonly contract: AnyContract;
  /** Tells a handler from other exports. */
  readonly "~handler": HandlerBody;
}

/** The inside of a {@link Handler}. */
export interface HandlerBody {
  /** The function given to `handle` or `on`. */
  readonly fn: (payload: unknown, ctx: Context) => unknown;
  /** The behaviors given to `handle` or `on`, outermost first. */
  readonly behaviors: readonly Behavior[];
  /** How many runs of it there are at once; `undefined` for no limit of its own. */
  readonly concurrency: number | undefined;
  /** For an event: who gets it. */
  readonly each: "service" | "node";
  /** Of a durable contract. */
  readonly subscription: SubscriptionSettings | undefined;
  /** Of a command of an entity. */
  readonly entity?: EntityBody | undefined;
  /** Of a workflow. */
  readonly workflow?: WorkflowBody | undefined;
  /** Further handlers that come with it. */
  readonly with?: readonly Handler[] | undefined;
}

/** A module (`import * as orders`), a handler, or an array of these. */
export type Handlers = Handler | HandlerModule | readonly Handlers[];

/** A module namespace; exports that are not handlers are ignored. */
export type HandlerModule = { readonly [name: string]: unknown };

/** Whether a value is a {@link Handler}. */
export function isHandler(value: unknown): value is Handler {
  return typeof value === "object" && value !== null && Object.hasOwn(value, "~handler");
}
