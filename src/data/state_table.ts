/** A machine whose states have names, and follow each other only as its table says. */

/** The states of a machine, each with those that may follow it. */
export type StateTable<State extends string> = { readonly [Each in State]: readonly State[] };

/** The state of one machine. */
export class Machine<State extends string> {
  readonly #table: StateTable<State>;
  #state: State;

  constructor(table: StateTable<State>, first: State) {
    this.#table = table;
    this.#state = first;
  }

  get state(): State {
    return this.#state;
  }

  is(state: State): boolean {
    return this.#state === state;
  }

  /** Changes the state. Throws an `Error`, and keeps the state, if the table has no such change (a bug). */
  to(next: State): void {
    if (!this.#table[this.#state].includes(next)) throw new Error(`${this.#state} is not followed by ${next}`);
    this.#state = next;
  }
}
