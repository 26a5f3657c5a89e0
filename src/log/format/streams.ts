/** The streams of a namespace: their names, and the options that each is opened with. */
import type { LogOptions } from "../../ports/event_log.ts";
import {
  entitiesName,
  entitiesSubjects,
  logName,
  logSubjects,
  subscriptionsName,
  subscriptionsSubjects,
} from "./names.ts";

/**
 * A stream of a namespace: events, queued commands and schedules; what commands of entities emit; how far subscriptions
 * are.
 */
export type StreamKind = "log" | "entities" | "subscriptions";

const STREAMS = {
  log: { name: logName, subjects: logSubjects, schedules: true, lasting: false },
  entities: { name: entitiesName, subjects: entitiesSubjects, schedules: false, lasting: true },
  subscriptions: { name: subscriptionsName, subjects: subscriptionsSubjects, schedules: false, lasting: false },
} as const;

/** All of them. */
export const STREAM_KINDS = Object.keys(STREAMS) as readonly StreamKind[];

/** The name of a stream. */
export function streamName(namespace: string, kind: StreamKind): string {
  return STREAMS[kind].name(namespace);
}

/** Options with which it is opened; `replicas` is the app's. */
export function streamOptions(namespace: string, kind: StreamKind, replicas: number): LogOptions {
  const { subjects, schedules, lasting } = STREAMS[kind];
  return { subjects: subjects(namespace), replicas, schedules, lasting };
}
