import type { Behavior } from "./behavior.ts";
import { show } from "./checks.ts";

/** Throws for something that is no array of behaviors. */
export function checkBehaviors(name: string, value: readonly Behavior[]): void {
  if (!Array.isArray(value)) throw new TypeError(`${name} must be an array of functions; got ${show(value)}`);
  value.forEach((behavior, index) => {
    if (typeof behavior !== "function") {
      throw new TypeError(`${name}[${index}] must be a function; got ${show(behavior)}`);
    }
    for (const member of ["send", "attach"] as const) {
      if (behavior[member] !== undefined && typeof behavior[member] !== "function") {
        throw new TypeError(`${name}[${index}].${member} must be a function; got ${show(behavior[member])}`);
      }
    }
  });
}
