/** What an app needs of its entities. `entities/` implements it, `catga.ts` wires it. */
import type { EntityBody } from "../contract/entity_body.ts";
import type { EntityDefinition, LoadedEntity, LoadOptions } from "../contract/entity_definition.ts";
import type { DecidingMessage } from "./context_host.ts";

/** The entities of a namespace, as one node reads and changes them. */
export interface Entities {
  /**
   * Has a command decided: loads the entity, and stores what is emitted. Resolves with what the handler returned, or its failure; with the
   * recorded result for a command that was stored already. Rejects with a `CatgaError`, and with what the handler throws.
   */
  decide(entity: EntityBody, payload: unknown, ctx: DecidingMessage): Promise<unknown>;
  load<State>(definition: EntityDefinition<State>, id: string, options: LoadOptions): Promise<LoadedEntity<State>>;
  forget<State>(definition: EntityDefinition<State>, id: string): Promise<void>;
  /** Waits for snapshots that are being written. */
  close(): Promise<void>;
}
