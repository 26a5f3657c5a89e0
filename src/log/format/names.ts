/** Names of the log: subjects, and keys of buckets. */
import { OF_ENTITIES } from "../../contract/nodes/announcement.ts";
import { isToken } from "../../data/checks.ts";
import { decodeToken, encodeToken } from "../../data/subject_token.ts";
import { streamName } from "./stream_name.ts";

/** The patterns of the subjects of the stream of events, queued commands and schedules. */
export function logSubjects(namespace: string): readonly string[] {
  return [`${below(namespace, "log")}>`, schedulePattern(namespace)];
}

/** The patterns of the subjects of the stream of entities. */
export function entitiesSubjects(namespace: string): readonly string[] {
  return [`${below(namespace, "entity")}>`];
}

/** The subject of an entity, made of its type (one token without dots) and its id. */
export function entitySubject(namespace: string, type: string, id: string): string {
  return `${below(namespace, "entity")}${type}.${encodeToken(id)}`;
}

/** The type and id of an entity's subject; `undefined` for another subject. */
export function readEntitySubject(namespace: string, subject: string): { type: string; id: string } | undefined {
  const [type, text, more] = restOf(below(namespace, "entity"), subject)?.split(".") ?? [];
  if (text === undefined || more !== undefined || !isToken(type, 64)) return undefined;
  const id = decodeToken(text);
  return id === undefined ? undefined : { type, id };
}

/** The pattern of the subjects of all entities of a type; of all types for `*`. */
export function entityPattern(namespace: string, type: string): string {
  return `${below(namespace, "entity")}${type}.*`;
}

/**
 * Key of an entity's snapshot, for a version of the entity's definition. Snapshots of {@link SNAPSHOTS} successive
 * versions can coexist, as while a new version is rolled out: versions share a key only if the difference of their
 * numbers is a multiple of that.
 */
export function snapshotKey(type: string, id: string, version: number): string {
  return snapshotKeys(type, id)[version % SNAPSHOTS];
}

/** Returns all keys that snapshots of an entity may have, one for each coexisting version of its definition. */
export function snapshotKeys(type: string, id: string): readonly string[] {
  const of = encodeToken(id);
  return Array.from({ length: SNAPSHOTS }, (_, n) => `${type}.${of}/${n}`);
}

/** The type and id of the entity whose snapshot has this key; `undefined` for another key. */
export function readSnapshotKey(key: string): { type: string; id: string } | undefined {
  const [, type, of] = /^([^.]+)\.([^/]+)\/\d+$/.exec(key) ?? [];
  const id = of === undefined ? undefined : decodeToken(of);
  return id === undefined ? undefined : { type, id };
}

/** Maximum number of versions of an entity's definition that have a snapshot at once. */
const SNAPSHOTS = 4;

/**
 * The subject of a category: of the events, or the queued commands, of one contract.
 * @decides the subjects of the log, of entities and of schedules
 */
export function categorySubject(namespace: string, category: string): string {
  return `${below(namespace, "log")}${encodeToken(category)}`;
}

/** The subject of a schedule, which identifies the schedule. */
export function scheduleSubject(namespace: string, category: string, id: string): string {
  return `${below(namespace, "at")}${encodeToken(category)}.${encodeToken(id)}`;
}

/** The pattern of the subjects of all schedules. */
export function schedulePattern(namespace: string): string {
  return `${below(namespace, "at")}>`;
}

/** The category, and the id, of a schedule's subject; `undefined` for another subject. */
export function readScheduleSubject(namespace: string, subject: string): { category: string; id: string } | undefined {
  const [category, id] = decodeTokens(restOf(below(namespace, "at"), subject));
  return category === undefined || id === undefined ? undefined : { category, id };
}

/**
 * The pattern of the subjects in a stream that have messages of one contract (category). In the stream of entities it
 * matches all entities of the contract's type, with all of their events.
 */
export function categoryPattern(namespace: string, stream: string, category: string): string {
  if (stream !== streamName(namespace, "entities")) return categorySubject(namespace, category);
  return entityPattern(namespace, category.split(".", 1)[0]);
}

/** Patterns of the subjects of several contracts (categories), without duplicates. */
export function categoryPatterns(namespace: string, stream: string, categories: Iterable<string>): string[] {
  return [...new Set([...categories].map((category) => categoryPattern(namespace, stream, category)))];
}

/** The pattern of the subjects of all messages of a stream, without schedules. */
export function messagePattern(namespace: string, stream: string): string {
  return `${below(namespace, stream === streamName(namespace, "entities") ? "entity" : "log")}>`;
}

/** Name of the stream that the subscription of this name reads: the log, or the stream of entities. */
export function streamOf(namespace: string, subscription: string): string {
  return subscription.endsWith(OF_ENTITIES) ? streamName(namespace, "entities") : streamName(namespace, "log");
}

/** The category (contract name) in a subject; `undefined` for another subject. */
export function categoryOf(namespace: string, subject: string): string | undefined {
  return decodeTokenOf(restOf(below(namespace, "log"), subject));
}

/** The key that identifies a subscription: its service and its name, each as one token. */
export function subscriptionKey(service: string, name: string): string {
  return `${encodeToken(service)}.${encodeToken(name)}`;
}

/** The service and name of a subscription's key; `undefined` for another key. */
export function readSubscriptionKey(key: string): { service: string; name: string } | undefined {
  const [service, name] = decodeTokens(key);
  return service === undefined || name === undefined ? undefined : { service, name };
}

/**
 * The patterns of the subjects of the stream `catga_<ns>_subscriptions`: commits, parked messages, requests, what
 * operators have set, leases of nodes, and marks of relays.
 */
export function subscriptionsSubjects(namespace: string): readonly string[] {
  return [`${below(namespace, "sub")}>`];
}

/**
 * The subject of a subscription's commits, by its key; the key `<service>.*` gives a pattern for a service, `>` for
 * all.
 */
export function commitSubject(namespace: string, key: string): string {
  return `${below(namespace, "sub.rec")}${key}`;
}

/** The key of the subscription whose commits have this subject; `undefined` for another subject. */
export function readCommitSubject(namespace: string, subject: string): string | undefined {
  const key = restOf(below(namespace, "sub.rec"), subject) ?? "";
  return readSubscriptionKey(key) && key;
}

/** The subject of a message that a subscription has parked, by its id; `*` gives a pattern for all. */
export function parkedSubject(namespace: string, key: string, id: string): string {
  return `${below(namespace, "sub.park")}${key}.${id}`;
}

/** The message's id in the subject of a parked message. */
export function parkedId(subject: string): string {
  return subject.slice(subject.lastIndexOf(".") + 1);
}

/** The subject of a request to a subscription's leader; the id `*` gives a pattern for all. */
export function requestSubject(namespace: string, key: string, id: string): string {
  return `${below(namespace, "sub.req")}${key}.${id}`;
}

/** The subscription's key, and the request's id, in the subject of a request; `undefined` for another subject. */
export function readRequestSubject(namespace: string, subject: string): { key: string; id: string } | undefined {
  const [service, name, id, more] = restOf(below(namespace, "sub.req"), subject)?.split(".") ?? [];
  const key = `${service}.${name}`;
  return id === undefined || more !== undefined || readSubscriptionKey(key) === undefined ? undefined : { key, id };
}

/** The subject of what operators have set of a subscription; the key `<service>.*` gives a pattern for a service. */
export function overridesSubject(namespace: string, key: string): string {
  return `${below(namespace, "sub.set")}${key}`;
}

/** The key of the subscription of which operators have set something, by subject; `undefined` for another subject. */
export function readOverridesSubject(namespace: string, subject: string): string | undefined {
  const key = restOf(below(namespace, "sub.set"), subject) ?? "";
  return readSubscriptionKey(key) && key;
}

/** The subject of the mark of the relay of a database's outbox, by the name of its store. */
export function relayMarkSubject(namespace: string, store: string): string {
  return `${below(namespace, "sub.sql")}${encodeToken(store)}`;
}

/** The subject of a node's lease; the node is named by its endpoint. */
export function leaseSubject(namespace: string, endpoint: string): string {
  return `${below(namespace, "sub.node")}${encodeToken(endpoint)}`;
}

/** Pattern of the leases of all nodes. */
export function leasePattern(namespace: string): string {
  return `${below(namespace, "sub.node")}*`;
}

/** The endpoint of a node's lease; `undefined` for another subject. */
export function readLeaseSubject(namespace: string, subject: string): string | undefined {
  return decodeTokenOf(restOf(below(namespace, "sub.node"), subject));
}

/** Decodes two tokens separated by a dot; empty if there are not exactly two. */
function decodeTokens(text: string | undefined): (string | undefined)[] {
  const tokens = text?.split(".");
  return tokens?.length === 2 ? tokens.map(decodeToken) : [];
}

function decodeTokenOf(text: string | undefined): string | undefined {
  return text === undefined ? undefined : decodeToken(text);
}

/** Prefix of all subjects of one kind in a namespace. */
function below(
  namespace: string,
  part: "log" | "at" | "entity" | "sub" | "sub.rec" | "sub.park" | "sub.req" | "sub.set" | "sub.node" | "sub.sql",
) {
  return `catga.${namespace}.${part}.`;
}

/** Returns the part of a subject behind a prefix; `undefined` for another subject. */
function restOf(prefix: string, subject: string): string | undefined {
  return subject.startsWith(prefix) ? subject.slice(prefix.length) : undefined;
}
