/** The shape of a command of the tool. */
import type { FlagName, Flags } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/** A command and its help. */
export interface CliCommand {
  readonly name: string;
  /** Its arguments as the usage shows them: some in `[]`, a last one of any number with `…`; absent: none. */
  readonly words?: string;
  /** The first line of its help, without a capital and a full stop. */
  readonly summary: string;
  /** The flags that it accepts, besides those for the connection. */
  readonly flags: readonly FlagName[];
  /** The rest of its help, in lines of 80 characters at most. */
  readonly more: string;
  /** Runs it; resolves with the exit code. An error is printed, and the exit code is 1. */
  run(words: readonly string[], flags: Flags, terminal: Terminal): Promise<number>;
}

/** Exit code of a failure, which has been printed. */
export const FAILED = 1;
/** Exit code of success. */
export const DONE = 0;
