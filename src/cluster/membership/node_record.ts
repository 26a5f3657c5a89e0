/**
 * The record of a node in the store: its {@link NodeInfo} as JSON. Anybody with access can write one, so it is
 * validated.
 */
import { isAnnounced } from "../../contract/nodes/announcement.ts";
import { isContractName } from "../../contract/declaration/contract.ts";
import { isShape } from "../../contract/schemas/shape.ts";
import type { NodeInfo } from "../../contract/nodes/node_info.ts";
import { isNotNegative, isRecord, isStringArray, isStrings } from "../../data/checks.ts";
import { parsedJson } from "../../data/encoding.ts";
import { isEndpoint, nodeOf } from "../../contract/nodes/subjects.ts";

/** Note with which a node deletes its own record; other nodes delete records without this note. */
export const SIGNED_OFF = "signed off";

/** Encodes the record of a node. */
export function writeRecord(info: NodeInfo): string {
  return JSON.stringify(info);
}

/**
 * Parses the record of a node, stored under this key. Returns the reason as a string if the record is invalid.
 * @decides a node's record is read and checked: which other nodes it knows
 */
export function readRecord(key: string, text: string): NodeInfo | string {
  const value = parsedJson(text);
  if (value === undefined) return "no JSON";
  if (!isRecord(value)) return "no object";
  const { id, endpoint, service, handles, kinds, subscriptions, entities, shapes, unready } = value;
  const { startedAt, lastSeen, metadata, load, server, protocol, version } = value;
  if (id !== key) return "its id is not its key";
  if (typeof endpoint !== "string" || !isEndpoint(endpoint) || nodeOf(endpoint) !== id) return "no endpoint of this id";
  if (typeof service !== "string" || typeof server !== "string" || typeof version !== "string") {
    return "no service, server or version";
  }
  if (!isStringArray(handles) || !handles.every(isContractName)) return "no contract names";
  if (
    kinds !== undefined && !(typeof kinds === "string" && kinds.length === handles.length && /^[cqes]*$/.test(kinds))
  ) {
    return "no kinds of its contracts";
  }
  if (subscriptions !== undefined && !(isStringArray(subscriptions) && subscriptions.every(isAnnounced))) {
    return "no subscriptions";
  }
  if (entities !== undefined && !(isStringArray(entities) && entities.every((name) => handles.includes(name)))) {
    return "no commands of entities";
  }
  if (shapes !== undefined && !isShape(shapes)) return "no hash of shapes";
  if (unready !== undefined && typeof unready !== "string") return "no reason why it is not ready";
  if (!isNotNegative(startedAt) || !isNotNegative(lastSeen) || !isNotNegative(protocol)) return "no times or protocol";
  if (!isStrings(metadata)) return "no metadata";
  const { inFlight, queued } = isRecord(load) ? load : {};
  if (!isNotNegative(inFlight) || !isNotNegative(queued)) return "no load";
  return freeze({
    id: key,
    endpoint,
    service,
    handles,
    ...(kinds === undefined ? {} : { kinds }),
    ...(subscriptions === undefined ? {} : { subscriptions }),
    ...(entities === undefined ? {} : { entities }),
    ...(shapes === undefined ? {} : { shapes }),
    ...(unready === undefined ? {} : { unready }),
    startedAt,
    lastSeen,
    metadata: Object.assign(Object.create(null), metadata),
    load: { inFlight, queued },
    server,
    protocol,
    version,
  });
}

/** Freezes a node's description before it is handed out to programs. */
export function freeze(info: NodeInfo): NodeInfo {
  Object.freeze(info.handles);
  Object.freeze(info.subscriptions);
  Object.freeze(info.entities);
  Object.freeze(info.metadata);
  Object.freeze(info.load);
  return Object.freeze(info);
}
