/**
 * The subjects of messages between processes, below `catga.<namespace>`. Without its last argument each function
 * returns a prefix of subjects. `log/format/names.ts` has the streams, and the subjects of the log, entities and
 * subscriptions; `bucketName` the buckets.
 */

/** Subject of frames to a process; `from`: the sending process. */
export function nodeSubject(namespace: string, to: string, from = ""): string {
  return `catga.${namespace}.node.${to}.${from}`;
}

/** Subject to which the server answers that no process got a frame of this process; `rest` names the frame. */
export function bounceSubject(namespace: string, endpoint: string, rest = ""): string {
  return `catga.${namespace}.bounce.${endpoint}.${rest}`;
}

/** Prefixes of the subjects that a node cannot work without: frames, and bounces. */
export function framePrefixes(namespace: string): readonly string[] {
  return [`catga.${namespace}.node.`, `catga.${namespace}.bounce.`];
}

/** Subject of the events of a contract. */
export function eventSubject(namespace: string, contract = ""): string {
  return `catga.${namespace}.event.${contract}`;
}

/** Subject of requests of programs without Catga. */
export function callSubject(namespace: string, contract = ""): string {
  return `catga.${namespace}.call.${contract}`;
}
