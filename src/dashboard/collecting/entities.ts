/** Reads entities for the page: the entities of a type, and one entity with its history. */
import { HIDDEN, shownPayload } from "../../contract/declaration/redaction.ts";
import { workflowOf } from "../../contract/declaration/workflow.ts";
import { entityEvents, entityInfo } from "../../log/administration/entity_history.ts";
import { newest } from "../../log/administration/newest.ts";
import { readEntityGroup, saysForgotten } from "../../log/format/entity_group.ts";
import { entityPattern, readEntitySubject } from "../../log/format/names.ts";
import { MAX_MESSAGES, ReadAllowance, shownPart } from "./read_allowance.ts";
import { shownId, shownText, shownValue } from "../shown.ts";
import type { EntitiesView, EntityRow, EntityView } from "../view.ts";
import type { DashboardSource } from "../dashboard_source.ts";
import { isToken } from "../../data/checks.ts";

/**
 * Resolves with an entity and its last events, the oldest first. `undefined`: nothing is stored for it; a string: why
 * the type or the id is invalid. Rejects like `LogStream.read`.
 */
export async function readEntity(
  source: Pick<DashboardSource, "namespace" | "stream" | "bucket" | "showSecrets">,
  type: string,
  id: string,
): Promise<EntityView | string | undefined> {
  if (!isToken(type, 64)) return INVALID_TYPE;
  if (id === "" || id.length > 256 || !id.isWellFormed()) return "the id of an entity has 1 to 256 characters";
  const stream = await source.stream("entities");
  if (stream === undefined) return undefined;
  const place = { namespace: source.namespace, stream, snapshots: await source.bucket("snapshots"), type, id };
  const info = await entityInfo(place);
  if (info === undefined) return undefined;
  const { version, created, changed, forgotten, snapshot, redacts } = info;
  const { showSecrets = false } = source;
  const events: EntityView["events"][number][] = [];
  for await (const event of entityEvents(place, { after: Math.max(0, version - MAX_EVENTS) })) {
    const [position, at] = [event.position, event.time.getTime()];
    if ("fault" in event) {
      events.push({ position, at, event: "", version: undefined, command: "", payload: event.fault });
    } else {
      const { command } = event;
      const name = command === undefined ? "" : shownId(`${command.name} ${command.id}`);
      const about = { contract: event.event, headers: event.headers };
      const payload = shownValue(shownPayload(event.payload, about, showSecrets));
      events.push({ position, at, event: shownText(event.event), version: event.version, command: name, payload });
    }
    if (events.length >= 2 * MAX_EVENTS) break; // the limit also counts faults, which have no number
  }
  return {
    ...{ type, id: shownId(id), version, forgotten, events },
    created: created?.getTime(),
    changed: changed?.getTime(),
    snapshot: typeof snapshot === "object"
      ? `${snapshot.version}: ${shownValue(redacts && !showSecrets ? HIDDEN : snapshot.state)}`
      : shownText(snapshot ?? ""),
  };
}

/**
 * Resolves with the entities of a type, or of all types, those changed last first; reads from the end of their
 * stream. A string: why the type is invalid. Rejects like `LogStream.read`.
 */
export async function listEntities(
  source: Pick<DashboardSource, "namespace" | "stream"> & {
    readonly transport: Pick<DashboardSource["transport"], "clock">;
  },
  type: string,
): Promise<EntitiesView | string> {
  if (type !== "" && !isToken(type, 64)) return INVALID_TYPE;
  const { namespace, transport: { clock } } = source;
  const stream = await source.stream("entities");
  const state = await stream?.state();
  if (stream === undefined || state === undefined) return { shown: [], searched: "there are no entities" };
  const allowance = new ReadAllowance(clock);
  const found = new Map<string, EntityRow>();
  let [read, end] = [0, state.last + 1];
  const pattern = entityPattern(namespace, type === "" ? "*" : type);
  for await (const { from, messages } of newest(stream, pattern, { last: state.last, least: state.first })) {
    for (const message of messages) {
      read++;
      allowance.take(message.data.length);
      if (found.has(message.subject) || found.size >= MAX_SHOWN) continue;
      const place = readEntitySubject(namespace, message.subject);
      // runs of workflows are left out, because they have a list of their own
      if (place === undefined || place.type.startsWith("-") || workflowOf(place.type) !== undefined) continue;
      const group = readEntityGroup(namespace, message);
      const own = { type: shownText(place.type), id: shownId(place.id), key: place.id, at: message.time };
      if ("reason" in group) found.set(message.subject, { ...own, version: undefined, last: shownText(group.reason) });
      else {
        const last = saysForgotten(group) ? "forgotten" : shownText(group.messages.at(-1)?.category ?? "");
        found.set(message.subject, { ...own, version: group.version + group.messages.length, last });
      }
    }
    end = from;
    if (found.size >= MAX_SHOWN || read >= MAX_MESSAGES || allowance.spent) break;
  }
  return { shown: [...found.values()], searched: `${shownPart(state, end)} messages of entities` };
}

/** Text for a user who has entered an invalid type of entity. */
const INVALID_TYPE = "the type of an entity is letters, digits, - and _";
/** Maximum number of entities in the list. */
const MAX_SHOWN = 200;
/** Maximum number of events that are shown of an entity. */
const MAX_EVENTS = 100;
