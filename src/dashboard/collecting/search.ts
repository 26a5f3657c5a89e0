/**
 * Searches stored data for an id, a key, a correlation id or a causation: the end of the log, the parked messages of
 * subscriptions, and entities and runs by their ids. The amount of data that is read is limited, and is part of the
 * result.
 */
import type { Administration } from "../../log/administration/administration.ts";
import { newest } from "../../log/administration/newest.ts";
import { isReadable, readGroup } from "../../log/format/group.ts";
import { entitySubject, messagePattern, parkedId, parkedSubject, readEntitySubject } from "../../log/format/names.ts";
import { readParked } from "../../log/format/parked_message.ts";
import { workflowOf } from "../../contract/declaration/workflow.ts";
import type { LogStream } from "../../ports/event_log.ts";
import { MAX_MESSAGES, ReadAllowance, shownPart } from "./read_allowance.ts";
import { SearchHits } from "./search_hits.ts";
import { shownCount, shownId, shownText } from "../shown.ts";
import type { SearchView } from "../view.ts";
import type { DashboardSource } from "../dashboard_source.ts";

/** Access to the stored data that a search reads. */
export type SearchSource = Pick<DashboardSource, "namespace" | "stream" | "runs" | "showSecrets"> & {
  readonly transport: Pick<DashboardSource["transport"], "clock">;
};

/**
 * Finds messages, entities and runs with this id, key, correlation id or causation. A string as the result: why the
 * text cannot be searched for. Rejects like `LogStream.read`.
 */
export async function search(
  source: SearchSource,
  administration: Pick<Administration, "stored">,
  text: string,
): Promise<SearchView | string> {
  if (text === "" || text.length > MAX_QUERY || !text.isWellFormed()) {
    return `what is looked for has 1 to ${MAX_QUERY} characters`;
  }
  const found = new SearchHits(text, new ReadAllowance(source.transport.clock), source.showSecrets ?? false);
  await readRuns(source, text, found);
  await readParkedMessages(source, administration, found);
  const stream = await source.stream("log");
  if (stream !== undefined) await readLog(source.namespace, stream, found);
  return { hits: found.hits, searched: found.searched };
}

/** Searches the end of the log, the newest messages first. */
async function readLog(namespace: string, stream: LogStream, found: SearchHits): Promise<void> {
  const state = await stream.state();
  if (state === undefined || state.last < state.first) return;
  const least = Math.max(state.first, state.last - MAX_MESSAGES + 1);
  let end = state.last + 1;
  const pattern = messagePattern(namespace, stream.name);
  for await (const { from, messages } of newest(stream, pattern, { last: state.last, least })) {
    for (const message of messages) {
      found.allowance.take(message.data.length);
      const group = readGroup(namespace, message);
      if (!isReadable(group)) continue;
      for (const each of group.toReversed()) found.take(each, "event", `position ${each.position}`);
    }
    end = from;
    if (found.full) break;
  }
  found.searched.push(`${shownPart(state, end)} messages of the log`);
}

/** Searches the parked messages of subscriptions. */
async function readParkedMessages(
  source: SearchSource,
  administration: Pick<Administration, "stored">,
  found: SearchHits,
): Promise<void> {
  const stream = await source.stream("subscriptions");
  let [read, all] = [0, 0];
  for (const { key, service, name, state: { parked } } of stream === undefined ? [] : await administration.stored()) {
    all += parked.size;
    for (let from = 0; parked.size > 0 && !found.full;) {
      const messages = await stream!.read(parkedSubject(source.namespace, key, "*"), { from, most: PAGE });
      if (messages.length === 0) break;
      from = messages[messages.length - 1].sequence + 1;
      for (const { subject, data } of messages) {
        found.allowance.take(data.length);
        const id = parkedId(subject);
        const state = parked.get(id); // `undefined`: the message was handled after the state was read
        const message = state && readParked(id, decoder.decode(data));
        if (message === undefined || typeof message === "string") continue;
        read++;
        found.take(message.message, state!.dead > 0 ? "dead letter" : "retry", shownText(`${service}/${name}`));
      }
    }
  }
  const part = read >= all ? `all ${shownCount(all)}` : `${shownCount(read)} of ${shownCount(all)}`;
  found.searched.push(`${part} dead letters and retries`);
}

/** Searches entities and runs by their id. */
async function readRuns(source: SearchSource, text: string, found: SearchHits): Promise<void> {
  found.searched.push("entities and runs by id");
  const { namespace } = source;
  const entities = await source.stream("entities");
  if (entities === undefined) return;
  const none = { key: "", correlation: "", causation: "", at: 0, payload: "" };
  for (const subject of (await entities.subjects(entitySubject(namespace, "*", text))).slice(0, MAX_IDS)) {
    const { type } = readEntitySubject(namespace, subject) ?? {};
    if (type === undefined) continue;
    const own = { ...none, id: shownId(text), name: shownText(type) };
    const workflow = workflowOf(type);
    if (workflow === undefined) {
      found.hits.push({ ...own, where: "entity", place: "see Entities" });
      continue;
    }
    for await (const { status, startedAt } of source.runs({ workflow, id: text })) {
      found.hits.push({ ...own, where: "run", name: shownText(workflow), place: status, at: startedAt.getTime() });
    }
  }
}

const decoder = new TextDecoder();
/** Maximum length of the searched text, in characters. */
const MAX_QUERY = 300;
const MAX_IDS = 50;
const PAGE = 500;
