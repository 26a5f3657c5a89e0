/** The streams of a namespace, and the options with which each is opened. */
import type { EventLog, LogOptions, LogStream } from "../../ports/event_log.ts";
import { entitiesSubjects, logSubjects, subscriptionsSubjects } from "./names.ts";
import { type StreamKind, streamName } from "./stream_name.ts";

const STREAMS = {
  log: { subjects: logSubjects, schedules: true, lasting: false },
  entities: { subjects: entitiesSubjects, schedules: false, lasting: true },
  subscriptions: { subjects: subscriptionsSubjects, schedules: false, lasting: false },
} as const;

/** All kinds of streams. */
export const STREAM_KINDS = Object.keys(STREAMS) as readonly StreamKind[];

/** Returns the options with which a stream is opened. `replicas`: number of servers that keep a copy of it. */
export function streamOptions(namespace: string, kind: StreamKind, replicas: number): LogOptions {
  const { subjects, schedules, lasting } = STREAMS[kind];
  return { subjects: subjects(namespace), replicas, schedules, lasting };
}

/** Opens a stream. Rejects like `EventLog.open`. */
export function openStream(
  { log, namespace, replicas }: { readonly log: EventLog; readonly namespace: string; readonly replicas: number },
  kind: StreamKind,
  seen?: LogOptions["seen"],
): Promise<LogStream> {
  return log.open(streamName(namespace, kind), { ...streamOptions(namespace, kind, replicas), seen });
}
