/** Commands of one entity run one after the other in a node, in the order in which they come: they would only conflict. */
import { Fifo } from "../data/fifo.ts";

/** The turns of all entities of a node. */
export class Turns {
  /** Of each entity that has a command, those that wait. */
  readonly #waiting: Map<string, Fifo<() => void> | undefined> = new Map();

  /** Resolves when the turn has come; at once, as `undefined`, if nobody has it. Each turn must be passed on. */
  take(entity: string): Promise<void> | undefined {
    if (!this.#waiting.has(entity)) {
      this.#waiting.set(entity, undefined);
      return undefined;
    }
    let waiting = this.#waiting.get(entity);
    if (waiting === undefined) this.#waiting.set(entity, waiting = new Fifo());
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push(resolve);
    return promise;
  }

  /** Passes the turn on to the next command. */
  pass(entity: string): void {
    const next = this.#waiting.get(entity)?.shift();
    if (next === undefined) this.#waiting.delete(entity);
    else next();
  }
}
