/** Interface of a command of the tool. */
import type { FlagName, Flags } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/** A command and its help. */
export interface CliCommand {
  readonly name: string;
  /**
   * Arguments as the usage shows them: optional ones in `[]`, with `…` after a last one of any number; absent: none.
   */
  readonly words?: string;
  /** First line of the help, without a capital and a full stop. */
  readonly summary: string;
  /** Flags that the command accepts, besides those for the connection. */
  readonly flags: readonly FlagName[];
  /** Rest of the help, in lines of 80 characters at most. */
  readonly more: string;
  /** Runs the command; resolves with the exit code. The caller prints an error, and the exit code is 1. */
  run(words: readonly string[], flags: Flags, terminal: Terminal): Promise<number>;
}

/** Exit code of a failure, which the command has printed. */
export const FAILED = 1;
/** Exit code of success. */
export const DONE = 0;
