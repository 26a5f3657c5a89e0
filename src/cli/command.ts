/** What a command of the tool is. */
import type { FlagName, Flags } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/** A command, and what its help says. */
export interface Command {
  readonly name: string;
  /** What stands behind its name; none. */
  readonly words?: string;
  /** How many words may stand behind it. */
  readonly least: number;
  readonly most: number;
  /** One line. */
  readonly says: string;
  /** Whether it needs the flags for a connection. */
  readonly flags: readonly FlagName[];
  /** What else there is to know, in lines of 80 characters at most. */
  readonly more: string;
  /** Does it; gives the exit code. What it throws is said, and ends with 1. */
  run(words: readonly string[], flags: Flags, terminal: Terminal): Promise<number>;
}

/** It was not done; why has been said. */
export const FAILED = 1;
/** It was done. */
export const DONE = 0;
