/** The parts of its process that the tool uses: output, input, environment, and Ctrl-C. */
import { styleText } from "node:util";

/** A terminal, or a stand-in for it; `cli` uses the terminal of the process by default. */
export interface Terminal {
  /** Writes results to standard output, unchanged. */
  write(text: string): void;
  /** Writes a line to standard error: everything but results. */
  say(line: string): void;
  /** Resolves with all of standard input. */
  read(): Promise<string>;
  /** Number of characters in a line; absent if standard output is not a terminal: then no line is cut. */
  readonly columns?: number | undefined;
  /** Number of lines on the screen; absent if unknown. */
  readonly rows?: number | undefined;
  /** True if standard output is a terminal that shows colors. */
  readonly colors: boolean;
  /** Environment variables, such as `NATS_URL`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts at Ctrl-C. */
  readonly signal: AbortSignal;
}

/** {@link Terminal.colors} decides if there are colors, not the terminal of the process. */
const ALWAYS = { validateStream: false };

/** Returns bold text, if the terminal has colors. */
export function bold(terminal: Terminal, text: string): string {
  return terminal.colors ? styleText("bold", text, ALWAYS) : text;
}

/** Returns dim text, if the terminal has colors. */
export function dim(terminal: Terminal, text: string): string {
  return terminal.colors ? styleText("dim", text, ALWAYS) : text;
}

/** Texts for the severities of alarms and findings, of the same width. */
export const SEVERITIES = { error: "ERROR  ", warning: "WARNING" } as const;
