/** The names of the streams of a namespace; `streams.ts` has the options with which each stream is opened. */

/**
 * Kind of a stream of a namespace. `log`: events, queued commands and schedules. `entities`: events of entities.
 * `subscriptions`: the state of subscriptions.
 */
export type StreamKind = "log" | "entities" | "subscriptions";

/** Returns the name of a stream. */
export function streamName(namespace: string, kind: StreamKind): string {
  return `catga_${namespace}_${kind}`;
}
