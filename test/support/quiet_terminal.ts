import type { Terminal } from "../../src/cli/terminal/terminal.ts";

/** A terminal that shows nothing, with nothing in its input and environment, but for what is given. */
export function quietTerminal(given: Partial<Terminal> = {}): Terminal {
  return {
    write: () => {},
    say: () => {},
    read: () => Promise.resolve(""),
    colors: false,
    environment: {},
    signal: new AbortController().signal,
    ...given,
  };
}
