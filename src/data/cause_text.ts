/** Makes a text of a thrown value, for operators: name, message and stack of the error and of its causes. */
import { show } from "./checks.ts";

/** Maximum size of the text of a thrown value, in bytes. */
export const MAX_CAUSE = 4_096;

/**
 * Returns the text of a thrown value, at most 4 kB: the first line is `name: message`; then the stack frames, first the
 * program's, then the frames of packages and of the runtime; then `caused by` and the same for its cause. `undefined`
 * for a `CatgaError` without frames and cause, because its code and message, which are reported anyway, are all that it
 * has. Never throws, whatever was thrown.
 */
export function causeText(thrown: unknown): string | undefined {
  const parts: string[] = [];
  const seen = new Set<unknown>();
  let frames = 0;
  for (
    let error = thrown;
    parts.length < DEPTH && error !== undefined && !seen.has(error);
    error = read(error, "cause")
  ) {
    seen.add(error);
    const [head, lines] = partOf(error);
    frames += lines.length;
    parts.push([head, ...lines].join("\n"));
  }
  if (frames === 0 && parts.length < 2 && read(thrown, "name") === "CatgaError") return undefined;
  return parts.length === 0 ? undefined : cut(parts.join("\ncaused by ").toWellFormed());
}

/**
 * Logs a thrown value to the console; its text alone, if the console cannot show the value: `console.error` of Deno
 * throws for a proxy that was revoked.
 */
export function logThrown(line: string, thrown: unknown): void {
  try {
    console.error(line, thrown);
  } catch {
    console.error(line, causeText(thrown));
  }
}

/** Returns the message of a thrown value, which need not be an error; for use in the message of another error. */
export function thrownMessage(thrown: unknown): string {
  const message = typeof thrown === "string" ? thrown : read(thrown, "message");
  return typeof message === "string" ? message : show(thrown);
}

/** Returns the first line of an error's text, and its stack frames in order. */
function partOf(error: unknown): [head: string, frames: string[]] {
  const [name, message, stack] = [read(error, "name"), read(error, "message"), read(error, "stack")];
  if (typeof message !== "string") return [`thrown: ${show(error)}`.slice(0, MAX_FIRST_LINE), []];
  const code = read(error, "code");
  const title = [typeof name === "string" && name !== "" ? name : "Error", typeof code === "string" ? code : ""];
  const head = `${title.filter((text) => text !== "").join(" ")}: ${message}`.slice(0, MAX_FIRST_LINE);
  if (typeof stack !== "string") return [head, []];
  // stack frames are searched after the message, because a message may have lines that look like stack frames
  const at = stack.indexOf(message);
  const lines = stack.slice(0, MAX_STACK).slice(at < 0 ? 0 : at + message.length).split("\n");
  const frames = lines.map((line) => line.trim()).filter((line) => line.startsWith("at "));
  const own = frames.filter((line) => !OF_OTHERS.test(line));
  return [head, [...own, ...frames.filter((line) => OF_OTHERS.test(line))].map((line) => `    ${line}`)];
}

function cut(text: string): string {
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(MAX_CAUSE));
  return text.slice(0, read);
}

function read(from: unknown, name: string): unknown {
  try {
    return typeof from === "object" && from !== null ? (from as Record<string, unknown>)[name] : undefined;
  } catch {
    return undefined;
  }
}

/** Matches stack frames that belong to packages or to the runtime, not to the program. */
const OF_OTHERS = /node_modules|[( ](?:node|ext|bun|internal|jsr|npm|https?|deno):|\(?native|<anonymous>\)?$/;
/** Maximum number of errors in a chain of causes that are shown. */
const DEPTH = 4;
const MAX_FIRST_LINE = 1_200; // characters of an error's first line
const MAX_STACK = 65_536;
