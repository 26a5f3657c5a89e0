/** All that the tool uses of its process: output, input, environment, and Ctrl-C. */
import { styleText } from "node:util";

/** A terminal, or a stand-in for one; without one `cli` uses that of the process. */
export interface Terminal {
  /** Writes to standard output, unchanged: the results. */
  write(text: string): void;
  /** Writes a line to standard error: everything else. */
  say(line: string): void;
  /** All of standard input. */
  read(): Promise<string>;
  /** How many characters fit on a line; absent if standard output is not a terminal: then nothing is cut. */
  readonly columns?: number | undefined;
  /** How many lines fit on the screen; absent if that is not known. */
  readonly rows?: number | undefined;
  /** True if standard output is a terminal that shows colors. */
  readonly colors: boolean;
  /** The environment: `NATS_URL` and the like. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal;
}

/** The terminal of the tool, which may be a stand-in, says whether there are colors; not that of the process. */
const ALWAYS = { validateStream: false };

/** Bold text, if the terminal has colors. */
export function bold(terminal: Terminal, text: string): string {
  return terminal.colors ? styleText("bold", text, ALWAYS) : text;
}

/** Dim text, if the terminal has colors. */
export function dim(terminal: Terminal, text: string): string {
  return terminal.colors ? styleText("dim", text, ALWAYS) : text;
}

/** Severities of alarms and findings, as wide as each other. */
export const SEVERITIES = { error: "ERROR  ", warning: "WARNING" } as const;
