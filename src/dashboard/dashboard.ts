/**
 * The dashboard: a server for browsers on this machine, and what it shows of a cluster. A client of the cluster, no
 * node of it.
 */
import { randomUUID } from "node:crypto";
import { isContractName } from "../contract/contract.ts";
import { scheduleSubject } from "../log/format/names.ts";
import { unschedule } from "../log/publishing/overwrite.ts";
import { Administration } from "../log/administration/administration.ts";
import { VERSION } from "../version.ts";
import { Collector } from "./collector.ts";
import { DashboardServer } from "./server.ts";
import { shownText, shownValue } from "./shown.ts";
import type {
  CancelRequest,
  ChangeAnswer,
  DashboardSource,
  EntityView,
  LetterFilter,
  LettersRequest,
  RunRequest,
} from "./view.ts";
import { Streams } from "./streams.ts";
import { isCatgaError } from "../error.ts";
import type { DeadLetter } from "../contract/kept.ts";
import { messageId } from "../log/format/commit.ts";
import { RUN_STATUS, runViews } from "./run_views.ts";
import { readPlace, shownCause } from "./parked_views.ts";
import { entityEvents, entityInfo } from "../log/administration/entity_history.ts";

/** Options of {@link serveDashboard}. */
export interface DashboardOptions {
  /** What to listen on: a name or an address. */
  readonly host: string;
  /** 0: any that is free. */
  readonly port: number;
  /** Whether the page may replay and discard dead letters. */
  readonly allowChanges: boolean;
}

/** Serves a page, until it is disposed of. Asks the cluster for nothing while no browser is connected. */
export async function serveDashboard(
  source: DashboardSource,
  { host, port, allowChanges }: DashboardOptions,
): Promise<DashboardServer> {
  const { namespace, transport: { clock } } = source;
  const streams: Streams = new Streams({
    hello: () => ({ namespace, address: shownText(source.address), version: VERSION, allowChanges, now: clock.now() }),
    history: () => collector.history(),
    onLook: () => collector.start(),
    onLeave: () => collector.stop(),
  });
  const collector = new Collector(source, streams);
  const administration = new Administration({
    namespace,
    clock,
    stream: () => source.stream("log"),
    kept: () => source.stream("subscriptions"),
    nodes: () => [], // not asked for dead letters
  });
  return await DashboardServer.listen({
    host,
    port,
    streams,
    entity: (type, id) => readEntity(source, type, id),
    runs: (wanted) => runViews(source.runs(readRuns(wanted)), MOST_RUNS),
    change: !allowChanges ? undefined : (request) => {
      switch (request.do) {
        case "cancel":
          return cancel(source, request);
        case "retry run":
        case "cancel run":
          return actOnRun(source, request);
        default:
          return carryOut(administration, request);
      }
    },
  });
}

/** Which runs a browser asks for; what it asks wrongly is left out. */
function readRuns(wanted: URLSearchParams): Parameters<DashboardSource["runs"]>[0] {
  const [workflow, status] = [wanted.get("workflow") ?? "", wanted.get("status") ?? ""];
  return {
    workflow: /^[\w-]{1,48}$/.test(workflow) ? workflow : undefined,
    status: RUN_STATUS.find((each) => each === status),
  };
}

async function actOnRun(source: DashboardSource, { do: what, workflow, id }: RunRequest): Promise<ChangeAnswer> {
  try {
    if (what === "cancel run") await source.cancelRun(workflow, id);
    else {
      for await (const run of source.runs({ workflow })) if (run.id === id) await run.retry();
    }
    return { done: 1, failed: 0, error: undefined };
  } catch (error) {
    if (!isCatgaError(error)) throw error;
    return { done: 0, failed: 1, error: shownText(`${error.code}: ${error.message}`, 400) };
  }
}

/** Runs that are read when a browser asks for them. */
const MOST_RUNS = 500;

/** Takes back what is scheduled; what fires again and again, too. */
async function cancel(
  { namespace, transport: { clock }, stream }: DashboardSource,
  { contract, id }: CancelRequest,
): Promise<ChangeAnswer> {
  const none = { done: 0, failed: 1, error: "nothing is scheduled under this id: it has fired, or never was" };
  if (!isContractName(contract)) return none;
  const log = await stream("log");
  if (log === undefined) return none;
  const taken = await unschedule(scheduleSubject(namespace, contract, id), {
    clock,
    stream: () => log,
    mark: `dashboard-${randomUUID()}`,
    timeout: CANCEL,
  });
  return taken ? { done: 1, failed: 0, error: undefined } : none;
}

const CANCEL = 10_000; // ms

// Replays and discards dead letters: stores requests, which the leaders of the subscriptions carry out.

/** Carries out a change: each letter by itself. Rejects with what is no error of a single letter. */
export async function carryOut(
  administration: Pick<Administration, "deadLetters">,
  { do: what, letters, matching = {} }: LettersRequest,
): Promise<ChangeAnswer> {
  let [done, failed, error]: [number, number, string | undefined] = [0, 0, undefined];
  const settle = async (letter: DeadLetter) => {
    try {
      await letter[what]();
      done++;
    } catch (thrown) {
      if (!isCatgaError(thrown)) throw thrown;
      failed++;
      error ??= shownText(`${thrown.code}: ${thrown.message}`, 400);
    }
  };
  if (letters === undefined) {
    for await (const letter of administration.deadLetters()) if (matches(letter, matching)) await settle(letter);
    return { done, failed, error };
  }
  const { chosen, invalid } = bySubscription(letters);
  for (const { service, subscription, ids } of chosen) {
    for await (const letter of administration.deadLetters({ service, subscription })) {
      const { position, publishedAt } = letter;
      if (ids.delete(messageId({ position, time: publishedAt.getTime() }))) await settle(letter);
    }
    failed += ids.size;
    if (ids.size > 0) error ??= "it is no dead letter any more";
  }
  failed += invalid.length;
  if (invalid.length > 0) error ??= `it is not the place of a dead letter: ${shownText(invalid[0], 100)}`;
  return { done, failed, error };
}

/** Whether the page shows a letter so. */
function matches(
  { service, subscription, contract, error }: DeadLetter,
  filter: LetterFilter,
): boolean {
  const own = { service, subscription, contract, code: error.code };
  // of the names that `server.ts` lets through
  return (Object.keys(filter) as (keyof LetterFilter)[]).every((name) =>
    (name === "cause" ? shownCause(error) : shownText(own[name])) === filter[name]
  );
}

interface Chosen {
  readonly service: string;
  readonly subscription: string;
  /** Identities of messages. */
  readonly ids: Set<string>;
}

/** The letters of each subscription, and the places that are none. */
function bySubscription(places: readonly string[]): { chosen: Iterable<Chosen>; invalid: readonly string[] } {
  const chosen = new Map<string, Chosen>();
  const invalid: string[] = [];
  for (const place of places) {
    const found = readPlace(place);
    if (found === undefined) {
      invalid.push(place);
      continue;
    }
    const { service, name: subscription, id } = found;
    const label = `${service}/${subscription}`; // a service has no slash
    const of = chosen.get(label) ?? { service, subscription, ids: new Set() };
    chosen.set(label, of);
    of.ids.add(id);
  }
  return { chosen: chosen.values(), invalid };
}

// One entity with its history, as the page asks for it: its last events, oldest first.

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
