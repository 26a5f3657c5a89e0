/**
 * The text of an entity's snapshot has two lines: the origin of the state, and the state. This file parses the first
 * line and finds the second; `entities/` and the command line tool read the state.
 */
import { isCount } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";

/** Origin of an entity's snapshot: its first line. */
export interface SnapshotHead {
  /** `version` of the entity's definition that made the state. */
  readonly definition: number;
  /** {@link LogState.created} (identity) of the stream whose events the state includes. */
  readonly created: string;
  /** Sequence of the last message that the state includes. */
  readonly sequence: number;
  /**
   * Mark of the message with that sequence (its publisher, and the publisher's number for it). After a loss another
   * message may have the same sequence, but not the same mark.
   */
  readonly mark: string;
  /** Number of events that the state includes. */
  readonly version: number;
  /** Id of the entity. */
  readonly id: string;
  /** Shape of the entity's initial state, as `initialShape` returns it, in the program that made the state. */
  readonly shape: number;
}

/** An entity's snapshot with an unparsed state. */
export interface SnapshotText extends SnapshotHead {
  /** The entity's state, as `encodeValue` writes it; empty for the state `undefined`. */
  readonly state: string;
}

/**
 * Encodes a snapshot. `state` must have no line breaks: JSON escapes them.
 * @decides what a stored snapshot looks like
 */
export function writeSnapshotText(
  { definition, created, sequence, mark, version, id, shape, state }: SnapshotText,
): string {
  return `${JSON.stringify([FORMAT, definition, created, sequence, mark, version, id, shape])}\n${state}`;
}

/** Splits a snapshot's text into its parts; `undefined`: malformed, or of another format. Never throws. */
export function readSnapshotText(text: string): SnapshotText | undefined {
  const end = text.indexOf("\n");
  if (end < 0) return undefined;
  const head = parsedJson(text.slice(0, end));
  if (!Array.isArray(head)) return undefined;
  const [format, definition, created, sequence, mark, version, id, shape] = head;
  if (format !== FORMAT || typeof created !== "string" || typeof id !== "string" || typeof mark !== "string") {
    return undefined;
  }
  for (const count of [definition, sequence, version]) if (!isCount(count) || count < 1) return undefined;
  if (!isCount(shape)) return undefined;
  return { definition, created, sequence, mark, version, id, shape, state: text.slice(end + 1) };
}

const FORMAT = 3;
