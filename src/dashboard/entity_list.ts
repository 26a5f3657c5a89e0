/**
 * The entities of a type, or of all, those that have changed last first: read from the end of their stream when a
 * browser asks.
 */
import { readEntityGroup, saysForgotten } from "../log/format/entity_group.ts";
import { entityPattern, readEntitySubject } from "../log/format/names.ts";
import { newest } from "../log/administration/newest.ts";
import { isToken } from "../data/subject_token.ts";
import { workflowOf } from "../contract/workflow.ts";
import { shownCount, shownId, shownText } from "./shown.ts";
import type { DashboardSource, EntitiesView, EntityRow } from "./view.ts";

/** Lists them. A string: the type is invalid. Rejects as `LogStream.read`. */
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
  const until = clock.monotonic() + PATIENCE;
  const found = new Map<string, EntityRow>();
  let [read, bytes, end] = [0, 0, state.last + 1];
  const pattern = entityPattern(namespace, type === "" ? "*" : type);
  for await (const { from, messages } of newest(stream, pattern, { last: state.last, least: state.first })) {
    for (const message of messages) {
      read++;
      bytes += message.data.length;
      if (found.has(message.subject) || found.size >= MOST) continue;
      const place = readEntitySubject(namespace, message.subject);
      // runs of workflows have a list of their own
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
    if (found.size >= MOST || read >= MOST_MESSAGES || bytes >= MOST_BYTES || clock.monotonic() >= until) break;
  }
  const [back, all] = [state.last + 1 - end, Math.max(0, state.last + 1 - state.first)];
  const searched = back >= all ? `all ${shownCount(all)}` : `the last ${shownCount(back)} of ${shownCount(all)}`;
  return { shown: [...found.values()], searched: `${searched} messages of entities` };
}

/** Says what a type has to be, to a person who has typed another. */
export const INVALID_TYPE = "the type of an entity is letters, digits, - and _";
/** Entities that are shown; messages, bytes and ms that it takes at most. */
const MOST = 200;
const MOST_MESSAGES = 10_000;
const MOST_BYTES = 32 * 1_048_576;
const PATIENCE = 5_000;
