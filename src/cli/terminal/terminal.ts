/** The parts of its process that the tool uses: output, input, environment, and Ctrl-C. */
import { styleText } from "node:util";

/** A terminal, or an object that stands for one in tests. By default `cli` uses the terminal of its process. */
export interface Terminal {
  /** Writes results of a command to standard output, unchanged. */
  write(text: string): void;
  /** Writes a line to standard error; used for everything but results. */
  say(line: string): void;
  /** Resolves with all of standard input. */
  read(): Promise<string>;
  /**
   * Number of characters in a line of the terminal; absent if standard output is not a terminal: then no line is cut.
   */
  readonly columns?: number | undefined;
  /** Number of lines on the screen; absent: unknown. */
  readonly rows?: number | undefined;
  /** True if standard output is a terminal that can show colors. */
  readonly colors: boolean;
  /** Environment variables, such as `NATS_URL`. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Signal that aborts at Ctrl-C. */
  readonly signal: AbortSignal;
}

/**
 * Options for styled text: {@link Terminal.colors} decides about colors, not the standard output of the process.
 * @decides the width of lines, colors
 */
const ALWAYS = { validateStream: false };

/** Returns the text in bold, if the terminal shows colors. */
export function bold(terminal: Terminal, text: string): string {
  return terminal.colors ? styleText("bold", text, ALWAYS) : text;
}

/** Returns the text dimmed, if the terminal shows colors. */
export function dim(terminal: Terminal, text: string): string {
  return terminal.colors ? styleText("dim", text, ALWAYS) : text;
}

/** Texts for the severities of alarms and of problems found, all of the same width. */
export const SEVERITIES = { error: "ERROR  ", warning: "WARNING" } as const;
