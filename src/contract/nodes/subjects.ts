/**
 * The NATS subjects of messages between processes, below `catga.<namespace>`. A function that is called without its
 * last argument returns a prefix: the beginning of many such subjects. An endpoint is the part of a subject that
 * names a process. `log/format/names.ts` has the streams, and the subjects of the log, entities and subscriptions; the
 * function `bucketName` has the names of the buckets.
 */

/** Returns the subject of frames (network messages) to a process; `from`: the sending process. */
export function nodeSubject(namespace: string, to: string, from = ""): string {
  return `catga.${namespace}.node.${to}.${from}`;
}

/**
 * Returns the subject on which the NATS server reports that no process received a frame of this process; `rest` names
 * the frame.
 */
export function bounceSubject(namespace: string, endpoint: string, rest = ""): string {
  return `catga.${namespace}.bounce.${endpoint}.${rest}`;
}

/**
 * Returns the prefixes of the subjects that a node must be able to subscribe to: of frames, and of reports about
 * undelivered frames.
 */
export function framePrefixes(namespace: string): readonly string[] {
  return [`catga.${namespace}.node.`, `catga.${namespace}.bounce.`];
}

/** Returns the subject of the events of a contract. */
export function eventSubject(namespace: string, contract = ""): string {
  return `catga.${namespace}.event.${contract}`;
}

/** Returns the subject of requests from NATS clients that do not use Catga. */
export function callSubject(namespace: string, contract = ""): string {
  return `catga.${namespace}.call.${contract}`;
}

/** Returns true if a text has the form of an endpoint: a node's id, a dot, and a nonce. */
export function isEndpoint(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}$/.test(text);
}

/** Returns the id of the node whose process has this endpoint. */
export function nodeOf(endpoint: string): string {
  return endpoint.slice(0, endpoint.indexOf("."));
}
