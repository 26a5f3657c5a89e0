/** The record of a node in the store: its {@link NodeInfo} as JSON. Anybody with access can write one, so it is validated. */
import { isContractName } from "../../contract/contract.ts";
import type { NodeInfo } from "../../contract/node_info.ts";
import { isEndpoint, nodeOf } from "../wire/frame.ts";

/** The text of a record. */
export function writeRecord(info: NodeInfo): string {
  return JSON.stringify(info);
}

/** Parses the record under this key. Returns a string that says what is wrong with it if it is invalid. */
export function readRecord(key: string, text: string): NodeInfo | string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return "no JSON";
  }
  if (typeof value !== "object" || value === null) return "no object";
  const {
    id,
    endpoint,
    service,
    handles,
    kinds,
    startedAt,
    lastSeen,
    metadata,
    load,
    server,
    protocol,
    encoding,
    version,
  } = value as Record<
    string,
    unknown
  >;
  if (id !== key) return "its id is not its key";
  if (typeof endpoint !== "string" || !isEndpoint(endpoint) || nodeOf(endpoint) !== id) return "no endpoint of this id";
  if (typeof service !== "string" || typeof server !== "string" || typeof version !== "string") {
    return "no service, server or version";
  }
  if (!Array.isArray(handles) || !handles.every((name) => typeof name === "string" && isContractName(name))) {
    return "no contract names";
  }
  if (kinds !== undefined && !(typeof kinds === "string" && kinds.length === handles.length && isKinds(kinds))) {
    return "no kinds of its contracts";
  }
  if (!isNumber(startedAt) || !isNumber(lastSeen) || !isNumber(protocol)) return "no times or protocol";
  if (encoding !== undefined && !isNumber(encoding)) return "no encoding";
  if (!isStrings(metadata)) return "no metadata";
  const { inFlight, queued } = (load ?? {}) as Record<string, unknown>;
  if (!isNumber(inFlight) || !isNumber(queued)) return "no load";
  return freeze({
    id: key,
    endpoint,
    service,
    handles,
    ...(kinds === undefined ? {} : { kinds }),
    startedAt,
    lastSeen,
    metadata: Object.assign(Object.create(null), metadata),
    load: { inFlight, queued },
    server,
    protocol,
    ...(encoding === undefined ? {} : { encoding }),
    version,
  });
}

/** Freezes a record before it is handed out. */
export function freeze(info: NodeInfo): NodeInfo {
  Object.freeze(info.handles);
  Object.freeze(info.metadata);
  Object.freeze(info.load);
  return Object.freeze(info);
}

function isKinds(text: string): boolean {
  return /^[cqe]*$/.test(text);
}

function isNumber(value: unknown): value is number {
  return typeof value === "number" && Number.isFinite(value) && value >= 0;
}

function isStrings(value: unknown): value is Record<string, string> {
  return typeof value === "object" && value !== null && !Array.isArray(value) &&
    Object.values(value).every((text) => typeof text === "string");
}
