/** What the handler of a command of an entity is made of, and what runs it. */
import type { Context } from "./context.ts";
import type { EntityDefinition, Loaded } from "./entity_definition.ts";
import type { Failure } from "./result.ts";
import type { MaybePromise } from "./schema.ts";

/** What a handler that an entity made is made of. */
export interface EntityBody {
  /** Its entity. */
  readonly definition: EntityDefinition<unknown>;
  /** The function given to `handle`. */
  readonly decide: (entity: Loaded<unknown>, payload: unknown, ctx: Context) => MaybePromise<unknown | Failure>;
}

/** The context of a running app: it decides commands of entities. */
export interface EntityContext extends Context {
  /** Loads the entity, has the command decided, and stores what it emits. */
  "~decide"(entity: EntityBody, payload: unknown): Promise<unknown>;
}
