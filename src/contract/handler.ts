/** Handlers: what `handle` and `on` return and `catga` takes. */
import type { Behavior } from "./behavior.ts";
import type { Context } from "./context.ts";
import type { AnyContract } from "./contract.ts";

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

/** Options of `on`. */
export interface EventHandlerOptions extends HandlerOptions {
  /** Who gets an event: one node of each `"service"`, or every `"node"`; `"service"`. */
  each?: "service" | "node" | undefined;
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
}

/** A module (`import * as orders`), a handler, or an array of these. */
export type Handlers = Handler | HandlerModule | readonly Handlers[];

/** A module namespace; exports that are not handlers are ignored. */
export type HandlerModule = { readonly [name: string]: unknown };

/** Whether a value is a {@link Handler}. */
export function isHandler(value: unknown): value is Handler {
  return typeof value === "object" && value !== null && Object.hasOwn(value, "~handler");
}
