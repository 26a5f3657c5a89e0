/** An event, or a queued command, as it stands in the log: one item of a message of the stream. */

/** A message of the log, as it is stored. */
export interface LoggedMessage {
  /** Its position. */
  readonly position: number;
  /** The name of its contract. */
  readonly category: string;
  /** The message id: what the publisher gave, or one that was made. */
  readonly id: string;
  /** Messages of one key and category are handled in order. */
  readonly key: string | undefined;
  /** The payload; when `tagged`, its text as `encodeValue` writes it, which JSON alone does not carry. */
  readonly payload: unknown;
  readonly tagged: boolean;
  readonly meta: LoggedMeta | undefined;
  /** When it was stored, by the server's clock, in ms since 1970. */
  readonly time: number;
}

/**
 * The payload of a message that cannot be kept as it is, to be tagged: a person can read it, and no handler is ever given it, because
 * it is no text of a payload.
 */
export function unusable(why: string, excerpt: string): string {
  return `(${why}) ${excerpt.slice(0, MOST_EXCERPT)}`;
}

const MOST_EXCERPT = 1_024; // characters

/** Metadata that is not default, as on the wire: one letter each. */
export interface LoggedMeta {
  /** The correlation id. */
  readonly c?: string;
  /** The id of the message whose handler published it: its causation. */
  readonly a?: string;
  readonly h?: Readonly<Record<string, string>>;
  /** How long it is kept, in ms, if not for 7 days; 0: for good. */
  readonly k?: number;
}
