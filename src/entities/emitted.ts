/** What a command has emitted, as it is stored: texts, which neither this process nor another can change any more. */
import type { EntityDefinition } from "../contract/entity_definition.ts";
import { applied, type EmittedEvent } from "../contract/entity_state.ts";
import { decodeText, toText } from "../data/encoding.ts";
import { freezePlain } from "../data/freeze_plain.ts";
import { CatgaError } from "../error.ts";
import { eventText } from "../log/format/entity_group.ts";
import { MOST_IN_GROUP } from "../log/format/position.ts";

/** Events that are to be stored, with the result of their command. */
export interface Emitted {
  /** As texts of `eventText`. */
  readonly items: readonly string[];
  /** With what was emitted. */
  readonly state: unknown;
  /** As `encodeValue` writes it; `undefined` for the result `undefined`. */
  readonly result: string | undefined;
}

/** What a handler came to: its result, and the events that it emitted. */
export interface Returned {
  /** The name of the command. */
  readonly name: string;
  readonly events: readonly EmittedEvent[];
  readonly value: unknown;
}

/**
 * The texts, and the state as whoever reads them gets it. Throws a `CatgaError` for too many events, and for what cannot be sent, and what `apply`
 * functions throw.
 */
export function emittedBy(
  { definition, id, state: before }: {
    readonly definition: EntityDefinition<unknown>;
    readonly id: string;
    readonly state: unknown;
  },
  { name, events, value }: Returned,
): Emitted {
  if (events.length > MOST_IN_GROUP) {
    const what = `${name} of ${definition.name} ${id}`;
    throw new CatgaError("TOO_LARGE", `${what} emitted ${events.length} events; ${MOST_IN_GROUP} at most`);
  }
  const items: string[] = [];
  let state = before;
  for (const { event, payload } of events) {
    const text = payload === undefined ? undefined : toText(payload, "INVALID_MESSAGE", "the payload", event);
    items.push(eventText(event.slice(definition.name.length + 1), text));
    // frozen, so that an `apply` that changes what it gets throws here, before anything is stored
    state = freezePlain(applied(definition, state, event, text === undefined ? undefined : decodeText(text)));
  }
  return {
    items,
    state,
    result: value === undefined ? undefined : toText(value, "INVALID_RESPONSE", "the result", name),
  };
}
