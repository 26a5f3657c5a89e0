/** The interface of a command of the command line tool. */
import type { FlagName, Flags } from "./flags.ts";
import type { Terminal } from "./terminal.ts";

/** A command of the tool, and its help. */
export interface CliCommand {
  readonly name: string;
  /**
   * Arguments of the command, as its usage shows them: optional ones in `[]`; `…` after the last one if there may be
   * any number; absent: the command has none.
   */
  readonly words?: string;
  /** First line of the command's help, without a capital and a full stop. */
  readonly summary: string;
  /** Flags that the command accepts, besides the flags for the connection. */
  readonly flags: readonly FlagName[];
  /** Why the command works over NATS only, for the error with `--file`; absent: it works on a file, too. */
  readonly needsNats?: string;
  /** Rest of the command's help, in lines of 80 characters at most. */
  readonly more: string;
  /**
   * Runs the command, and resolves with its exit code. If it rejects, the caller prints the error, and the exit code
   * is 1.
   */
  run(words: readonly string[], flags: Flags, terminal: Terminal): Promise<number>;
}

/** Exit code of a command that failed and has printed why. */
export const FAILED = 1;
/** Exit code of a command that succeeded. */
export const DONE = 0;
