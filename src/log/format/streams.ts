/** The streams of a namespace: their names, and the options that each is opened with. */
import type { EventLog, LogOptions, LogStream } from "../../ports/event_log.ts";
import { entitiesSubjects, logSubjects, subscriptionsSubjects } from "./names.ts";

/**
 * A stream of a namespace: events, queued commands and schedules; what commands of entities emit; how far subscriptions
 * are.
 */
export type StreamKind = "log" | "entities" | "subscriptions";

const STREAMS = {
  log: { subjects: logSubjects, schedules: true, lasting: false },
  entities: { subjects: entitiesSubjects, schedules: false, lasting: true },
  subscriptions: { subjects: subscriptionsSubjects, schedules: false, lasting: false },
} as const;

/** All of them. */
export const STREAM_KINDS = Object.keys(STREAMS) as readonly StreamKind[];

/** The name of a stream. */
export function streamName(namespace: string, kind: StreamKind): string {
  return `catga_${namespace}_${kind}`;
}

/** Options with which it is opened; `replicas` is the app's. */
export function streamOptions(namespace: string, kind: StreamKind, replicas: number): LogOptions {
  const { subjects, schedules, lasting } = STREAMS[kind];
  return { subjects: subjects(namespace), replicas, schedules, lasting };
}

/** Opens it. Rejects as `EventLog.open` does. */
export function openStream(
  { log, namespace, replicas }: { readonly log: EventLog; readonly namespace: string; readonly replicas: number },
  kind: StreamKind,
  seen?: LogOptions["seen"],
): Promise<LogStream> {
  return log.open(streamName(namespace, kind), { ...streamOptions(namespace, kind, replicas), seen });
}
