/**
 * Which changes of a table of states a test has taken: one that no test takes is either not tested, or not in the code.
 *
 * @module
 */
import { Machine, type StateTable } from "../../src/data/state_table.ts";

/** Plays `play`, and returns the changes of `table`, as `from → to`, that no machine made meanwhile. */
export async function untaken<State extends string>(
  table: StateTable<State>,
  play: () => void | Promise<void>,
): Promise<readonly string[]> {
  const left = new Set<string>();
  for (const [from, next] of Object.entries<readonly State[]>(table)) {
    for (const to of next) left.add(`${from} → ${to}`);
  }
  const { to } = Machine.prototype;
  Machine.prototype.to = function (this: Machine<State>, next: State) {
    const { state } = this;
    to.call(this, next as never); // the state of this machine, whatever its names
    if (state in table) left.delete(`${state} → ${next}`);
  } as typeof to;
  try {
    await play();
  } finally {
    Machine.prototype.to = to;
  }
  return [...left];
}
