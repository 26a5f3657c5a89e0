/**
 * Looks for an id, a key, a correlation id or a causation in what is stored: the end of the log, what subscriptions
 * have put aside, and entities and runs by their ids. It reads so much and no more, and says what.
 */
import type { Administration } from "../log/administration/administration.ts";
import { newest } from "../log/administration/newest.ts";
import { isReadable, readGroup } from "../log/format/group.ts";
import { type LoggedMessage, payloadOf } from "../log/format/logged_message.ts";
import {
  entitySubject,
  messagePattern,
  parkedSubject,
  readEntitySubject,
  readParkedSubject,
} from "../log/format/names.ts";
import { readParked } from "../log/format/parked_message.ts";
import { shownPayload } from "../contract/redaction.ts";
import { workflowOf } from "../contract/workflow.ts";
import type { Clock } from "../ports/clock.ts";
import type { LogStream } from "../ports/event_log.ts";
import { shownCount, shownId, shownText, shownValue } from "./shown.ts";
import type { SearchHit, SearchView } from "./view.ts";
import type { DashboardSource } from "./dashboard_source.ts";

/** What a search reads. */
export type SearchSource = Pick<DashboardSource, "namespace" | "stream" | "runs" | "showSecrets"> & {
  readonly transport: Pick<DashboardSource["transport"], "clock">;
};

/**
 * Finds what has this id, key, correlation id or causation. A string: it cannot be looked for. Rejects as
 * `LogStream.read`.
 */
export async function search(
  source: SearchSource,
  administration: Pick<Administration, "stored">,
  text: string,
): Promise<SearchView | string> {
  if (text === "" || text.length > MAX_QUERY || !text.isWellFormed()) {
    return `what is looked for has 1 to ${MAX_QUERY} characters`;
  }
  const found = new SearchHits(text, new Allowance(source.transport.clock), source.showSecrets ?? false);
  await readRuns(source, text, found);
  await readParkedMessages(source, administration, found);
  const stream = await source.stream("log");
  if (stream !== undefined) await readLog(source.namespace, stream, found);
  return { hits: found.hits, searched: found.searched };
}

/** How much may be read for one question of a browser: so many bytes, for so long. */
export class Allowance {
  readonly #clock: Pick<Clock, "monotonic">;
  readonly #until: number;
  #left = MOST_BYTES;

  constructor(clock: Pick<Clock, "monotonic">) {
    this.#clock = clock;
    this.#until = clock.monotonic() + PATIENCE;
  }

  take(bytes: number): void {
    this.#left -= bytes;
  }

  get spent(): boolean {
    return this.#left <= 0 || this.#clock.monotonic() >= this.#until;
  }
}

/** How many messages of a stream were read: those from `end` on. */
export function shownPart({ first, last }: { readonly first: number; readonly last: number }, end: number): string {
  const [read, all] = [last + 1 - end, Math.max(0, last + 1 - first)];
  return read >= all ? `all ${shownCount(all)}` : `the last ${shownCount(read)} of ${shownCount(all)}`;
}

/** What was found, and how much may still be read. */
class SearchHits {
  readonly hits: SearchHit[] = [];
  readonly searched: string[] = [];
  readonly allowance: Allowance;
  readonly #text: string;
  readonly #showSecrets: boolean;

  constructor(text: string, allowance: Allowance, showSecrets: boolean) {
    this.#text = text;
    this.#showSecrets = showSecrets;
    this.allowance = allowance;
  }

  /** Whether enough was read. */
  get full(): boolean {
    return this.hits.length >= MOST_HITS || this.allowance.spent;
  }

  /** Takes a message if it is looked for. */
  take(message: LoggedMessage, where: SearchHit["where"], place: string): void {
    const { id, key, meta, category, time } = message;
    if (![id, key, meta?.c, meta?.a].includes(this.#text) || this.hits.length >= MOST_HITS) return;
    this.hits.push({
      ...{ where, name: shownText(category), id: shownId(id), at: time, place },
      key: shownId(key ?? ""),
      correlation: shownId(meta?.c ?? ""),
      causation: shownId(meta?.a ?? ""),
      payload: shownValue(
        shownPayload(payloadOf(message), { contract: category, headers: meta?.h }, this.#showSecrets),
      ),
    });
  }
}

/** The end of the log, the newest first. */
async function readLog(namespace: string, stream: LogStream, found: SearchHits): Promise<void> {
  const state = await stream.state();
  if (state === undefined || state.last < state.first) return;
  const least = Math.max(state.first, state.last - MOST_MESSAGES + 1);
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

/** What subscriptions have put aside. */
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
        const id = readParkedSubject(source.namespace, subject)?.id ?? "";
        const state = parked.get(id); // else it was handled since
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

/** Entities and runs of this id. */
async function readRuns(source: SearchSource, text: string, found: SearchHits): Promise<void> {
  found.searched.push("entities and runs by id");
  const { namespace } = source;
  const entities = await source.stream("entities");
  if (entities === undefined) return;
  const none = { key: "", correlation: "", causation: "", at: 0, payload: "" };
  for (const subject of (await entities.subjects(entitySubject(namespace, "*", text))).slice(0, MOST_OF_ID)) {
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
/** Characters of what is looked for. */
const MAX_QUERY = 300;
/** What is read at most: messages of the log, bytes of all, ms; and what is found. */
export const MOST_MESSAGES = 10_000;
const MOST_BYTES = 32 * 1_048_576;
const PATIENCE = 5_000;
const MOST_HITS = 200;
const MOST_OF_ID = 50;
const PAGE = 500;
