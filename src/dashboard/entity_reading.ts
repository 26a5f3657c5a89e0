/** One entity with its history, as the page asks for it: its last events, oldest first. */
import { entityEvents, entityInfo } from "../log/administration/entity_history.ts";
import { shownText, shownValue } from "./shown.ts";
import type { DashboardSource } from "./source.ts";
import type { EntityView } from "./view.ts";

/** Reads it; `undefined`: nothing is stored of it. A string: the type or id is invalid. Rejects as `LogStream.read`. */
export async function readEntity(
  source: Pick<DashboardSource, "namespace" | "stream" | "bucket">,
  type: string,
  id: string,
): Promise<EntityView | string | undefined> {
  if (!/^[\w-]{1,64}$/.test(type)) return "the type of an entity is letters, digits, - and _";
  if (id === "" || id.length > 256 || !id.isWellFormed()) return "the id of an entity has 1 to 256 characters";
  const stream = await source.stream("entities");
  if (stream === undefined) return undefined;
  const place = { namespace: source.namespace, stream, snapshots: await source.bucket("snapshots"), type, id };
  const info = await entityInfo(place);
  if (info === undefined) return undefined;
  const { version, created, changed, forgotten, snapshot } = info;
  const events: EntityView["events"][number][] = [];
  for await (const event of entityEvents(place, { after: Math.max(0, version - MOST) })) {
    const [position, at] = [event.position, event.time.getTime()];
    if ("fault" in event) {
      events.push({ position, at, event: "", version: undefined, command: "", payload: event.fault });
    } else {
      const { command } = event;
      const name = command === undefined ? "" : shownText(`${command.name} ${command.id}`);
      const payload = shownValue(event.payload);
      events.push({ position, at, event: shownText(event.event), version: event.version, command: name, payload });
    }
    if (events.length >= 2 * MOST) break; // faults have no number
  }
  return {
    ...{ type, id: shownText(id), version, forgotten, events },
    created: created?.getTime(),
    changed: changed?.getTime(),
    snapshot: typeof snapshot === "object"
      ? `${snapshot.version}: ${shownValue(snapshot.state)}`
      : shownText(snapshot ?? ""),
  };
}

/** Events that are shown. */
const MOST = 100;
