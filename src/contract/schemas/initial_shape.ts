/**
 * The shape of an entity's initial state: the names of its members and the kinds of their values, in depth, but not the
 * values. Snapshots are stored with it.
 */
import { fnv1a } from "../../data/rendezvous_hash.ts";
import { type EntityDefinition, initialState } from "../declaration/entity_definition.ts";

/**
 * Returns the shape of an entity's initial state. A snapshot of a program in which that shape is another one holds a
 * state of another shape. Throws like {@link initialState}.
 */
export function initialShape<State>(definition: EntityDefinition<State>, id: string): number {
  return valueShape(initialState(definition, id));
}

/**
 * Returns a hash of the shape of a value, the same on every machine. The order of members does not count; an array, a
 * map or a set counts with the shape of its first value. Only the upper levels and the first parts of a large value
 * count.
 */
export function valueShape(value: unknown): number {
  let left = MAX_PARTS;
  const textOf = (part: unknown, levels: number): string => {
    if (typeof part !== "object" || part === null) return part === null ? "null" : typeof part;
    const kind = Object.prototype.toString.call(part).slice("[object ".length, -1);
    if (levels === 0 || left-- <= 0) return kind;
    if (Array.isArray(part) || part instanceof Map || part instanceof Set) {
      const { done, value } = part.values().next();
      return done ? kind : `${kind}<${textOf(value, levels - 1)}>`;
    }
    if (kind !== "Object") return kind;
    const members = part as Readonly<Record<string, unknown>>;
    return `{${Object.keys(members).sort().map((name) => `${name}:${textOf(members[name], levels - 1)}`)}}`;
  };
  return fnv1a(textOf(value, MAX_LEVELS));
}

/** Maximum number of objects whose members count. */
const MAX_PARTS = 1_000;
/** Maximum depth at which members count. */
const MAX_LEVELS = 16;
