/**
 * The subjects of messages between processes, below `catga.<namespace>`. Without its last part each is the prefix of
 * many. Streams, and the subjects of the log, entities and subscriptions: `log/format/names.ts`; buckets: `bucketName`.
 */

/** Frames from one process to another. */
export function nodeSubject(namespace: string, to: string, from = ""): string {
  return `catga.${namespace}.node.${to}.${from}`;
}

/** Subject to which the server answers that a frame of this process reached nobody; `rest` names the frame. */
export function bounceSubject(namespace: string, endpoint: string, rest = ""): string {
  return `catga.${namespace}.bounce.${endpoint}.${rest}`;
}

/** Prefixes of the subjects that a node cannot do without: frames, and bounces. */
export function framePrefixes(namespace: string): readonly string[] {
  return [`catga.${namespace}.node.`, `catga.${namespace}.bounce.`];
}

/** Events. */
export function eventSubject(namespace: string, contract = ""): string {
  return `catga.${namespace}.event.${contract}`;
}

/** Requests of programs without Catga. */
export function callSubject(namespace: string, contract = ""): string {
  return `catga.${namespace}.call.${contract}`;
}
