/** What a command line tool has of the world: where it writes, what it is told, and when it is to stop. */

/** A terminal, or what stands in for one: `cli` takes that of the process when it is given none. */
export interface Terminal {
  /** Writes to standard output, as it is: what a program reads. */
  write(text: string): void;
  /** Writes a line to standard error: for people. */
  say(line: string): void;
  /** All of standard input. */
  read(): Promise<string>;
  /** How many characters fit on a line; none when standard output is no terminal: then nothing is cut. */
  readonly columns?: number | undefined;
  /** Whether standard output is a terminal that shows colors. */
  readonly colors: boolean;
  /** The environment: `NATS_URL` and the like. */
  readonly environment: Readonly<Record<string, string | undefined>>;
  /** Aborts when the user has had enough (Ctrl-C). */
  readonly signal: AbortSignal;
}

/** Text that stands out, where the terminal can show it. */
export function bold(terminal: Terminal, text: string): string {
  return terminal.colors ? `\x1b[1m${text}\x1b[22m` : text;
}

/** Text that steps back, where the terminal can show it. */
export function dim(terminal: Terminal, text: string): string {
  return terminal.colors ? `\x1b[2m${text}\x1b[22m` : text;
}
