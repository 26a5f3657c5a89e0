/**
 * Passes stored data through the schemas and functions of a program that is to be deployed: messages of durable
 * contracts, parked messages, schedules, events and snapshots of entities, and results of idempotent commands. It only
 * reads.
 */
import type { AnyContract } from "../contract/declaration/contract.ts";
import { applied, type EntityDefinition, initialState } from "../contract/declaration/entity_definition.ts";
import { initialShape } from "../contract/schemas/initial_shape.ts";
import { issueWithPath, type MaybePromise, type Schema, validate } from "../contract/schemas/schema.ts";
import { COMMANDS } from "../contract/nodes/announcement.ts";
import { runOfStart } from "../contract/declaration/workflow.ts";
import { freezePlain, isRecord } from "../data/checks.ts";
import { decodeText, encodeValue } from "../data/encoding.ts";
import type { StoredSubscription } from "../log/administration/stored_subscriptions.ts";
import { isReadable, readGroup } from "../log/format/group.ts";
import { type EntityGroup, readEntityGroup, saysForgotten } from "../log/format/entity_group.ts";
import { type LoggedMessage, payloadOf } from "../log/format/logged_message.ts";
import {
  categorySubject,
  entityPattern,
  parkedId,
  parkedSubject,
  readEntitySubject,
  readScheduleSubject,
  schedulePattern,
  snapshotKey,
  subscriptionKey,
} from "../log/format/names.ts";
import { readParked } from "../log/format/parked_message.ts";
import { readSnapshotText } from "../log/format/snapshot_text.ts";
import { header } from "../log/publishing/stored_schedule.ts";
import { markOf } from "../log/publishing/unschedule.ts";
import type { Clock } from "../ports/clock.ts";
import { type LogStream, type StoredMessage, textOf } from "../ports/event_log.ts";
import { Fifo } from "../data/fifo.ts";
import type { Bucket } from "../ports/key_value_store.ts";
import { fnv1a } from "../data/rendezvous_hash.ts";
import { readClaim } from "../state/claims/claim_record.ts";
import type { Finding } from "./finding.ts";
import type { Program } from "./program.ts";
import { Tally } from "./tally.ts";

/** The stores whose data is checked; `undefined`: the stream or bucket does not exist. */
export interface Stores {
  readonly namespace: string;
  readonly log: LogStream | undefined;
  readonly entities: LogStream | undefined;
  readonly subscriptions: LogStream | undefined;
  readonly snapshots: Bucket | undefined;
  readonly idempotency: Bucket | undefined;
  readonly stored: readonly StoredSubscription[];
  readonly clock: Clock;
  /** Name of the service of which the program is a new version; `undefined`: not known. */
  readonly service: string | undefined;
  /** Maximum number of entities' states that are in memory at once. Default: 50,000. */
  readonly mostStates?: number;
  /**
   * Called from time to time with the number of messages that were read; `what`: the checked kind of data, in words.
   */
  progress(what: string, messages: number): void;
}

/** Resolves with findings for stored data that the program refuses. Rejects with a `CatgaError`. */
export async function checkStored(program: Program, stores: Stores): Promise<Finding[]> {
  const tally = new Tally();
  await checkLog(program, stores, tally);
  await checkParked(program, stores, tally);
  await checkSchedules(program, stores, tally);
  for (const definition of program.entities.values()) await checkEntities(definition, stores, tally);
  await checkResults(program, stores, tally);
  return tally.findings();
}

async function checkLog({ contracts, entities }: Program, stores: Stores, tally: Tally): Promise<void> {
  const { namespace } = stores;
  for (const [name, { contract, handled, followed, subscriptions, fromStart }] of contracts) {
    const { durable, input, entity } = contract.options;
    if (!durable || input === undefined || (!handled && followed === undefined)) continue;
    // the events of entities that the program defines are skipped, because `checkEntities` checks them, and also
    // applies them
    if (entity !== undefined && entities.has(entity)) continue;
    const stream = entity === undefined ? stores.log : stores.entities;
    const subject = entity === undefined ? categorySubject(namespace, name) : entityPattern(namespace, entity);
    if (stream === undefined) continue;
    const waiting = waitingFrom(stores, contract, subscriptions, fromStart);
    const refuse = ({ id, position }: LoggedMessage, why: string) => {
      const isOpen = waiting(position);
      const text = isOpen ? "are refused" : "that were handled would be refused if they were handled again";
      const which = isOpen ? `stored messages of ${name}` : `messages of ${name}`;
      tally.add(
        isOpen ? "break" : "note",
        isOpen ? "stored" : "handled",
        name,
        `${which} ${text}: ${why}`,
        id,
        isOpen ? READ : AGAIN,
      );
    };
    await eachMessage(stores, stream, subject, name, (message) => {
      const group = readGroup(namespace, message);
      if (!isReadable(group)) return undefined;
      const own = entity === undefined ? group : group.filter(({ category }) => category === name);
      return all(own.map((each) => refusal(input, each, (why) => refuse(each, why))));
    });
  }
}

/**
 * Returns a function that returns true for a position in the log if a subscription of the program still has to handle
 * the message there. `fromStart`: true if a subscription that is not stored yet will begin at the start of the log.
 */
function waitingFrom(
  { stored, service }: Stores,
  { kind, name }: AnyContract,
  subscriptions: ReadonlySet<string>,
  fromStart: boolean,
): (position: number) => boolean {
  const keys = kind === "command"
    ? [subscriptionKey(COMMANDS, name)]
    : service === undefined
    ? undefined
    : [...subscriptions].map((own) => subscriptionKey(service, own));
  // without known subscriptions of the program, the function returns true for each message: the program may still have
  // to handle it
  if (keys === undefined || (kind === "event" && keys.length === 0)) return () => true;
  const known = keys.map((key) => stored.find((each) => each.key === key)?.state.head);
  if (known.some((head) => head === undefined) && fromStart) return () => true;
  const heads = known.filter((head) => head !== undefined);
  const open = new Set(heads.flatMap((head) => head.open.map(([position]) => position)));
  const read = Math.min(...heads.flatMap(({ place, left = [] }) => [place.read, ...left.map(([, , from]) => from)]));
  return (position) => position > read || open.has(position);
}

async function checkParked({ contracts }: Program, stores: Stores, tally: Tally): Promise<void> {
  const { namespace, subscriptions, stored, service } = stores;
  if (subscriptions === undefined) return;
  for (const { key, service: of, name: subscription, state: { parked } } of stored) {
    if (parked.size === 0 || (of !== COMMANDS && service !== undefined && of !== service)) continue;
    await eachMessage(stores, subscriptions, parkedSubject(namespace, key, "*"), `${of}/${subscription}`, (stored) => {
      const id = parkedId(stored.subject);
      const state = parked.get(id);
      const read = state && readParked(id, textOf(stored));
      if (read === undefined || typeof read === "string") return undefined;
      const { message } = read;
      const own = contracts.get(message.category);
      const input = own?.handled ? own.contract.options.input : undefined;
      return input && refusal(input, message, (why) => {
        const at = `${of}/${subscription}`;
        if (state!.dead > 0) {
          tally.add(
            "note",
            "dead",
            message.category,
            `dead letters of ${message.category} in ${at} are refused: ${why}`,
            message.id,
            EDIT,
          );
        } else {tally.add(
            "break",
            "parked",
            message.category,
            `messages of ${message.category} that ${at} has put aside are refused: ${why}`,
            message.id,
            READ,
          );}
      });
    });
  }
}

async function checkSchedules({ contracts, workflows }: Program, stores: Stores, tally: Tally): Promise<void> {
  const { namespace, log } = stores;
  if (log === undefined) return;
  await eachMessage(stores, log, schedulePattern(namespace), "schedules", (message) => {
    const about = readScheduleSubject(namespace, message.subject);
    if (about === undefined || header(message, "Nats-Schedule") === undefined || markOf(message) !== undefined) return;
    const group = readGroup(namespace, { ...message, subject: categorySubject(namespace, about.category) });
    if (!isReadable(group)) return undefined;
    const start = runOfStart(about.category, about.id);
    if (start !== undefined) {
      const own = workflows.get(start.workflow);
      const due = payloadOf(group[0]);
      if (
        own?.body === undefined || own.definition.input === undefined || !isRecord(due) || typeof due.start !== "string"
      ) return;
      const { input } = own.definition;
      const text = due.start;
      return refusal(input, { payload: text === "" ? undefined : decoded(text), tagged: false }, (why) => {
        tally.add(
          "break",
          "scheduled",
          start.workflow,
          `scheduled starts of ${start.workflow} are refused: ${why}`,
          start.run,
          READ,
        );
      });
    }
    const own = contracts.get(about.category);
    const input = own?.handled ? own.contract.options.input : undefined;
    return input && refusal(input, group[0], (why) => {
      tally.add(
        "break",
        "scheduled",
        about.category,
        `scheduled messages of ${about.category} are refused: ${why}`,
        about.id,
        READ,
      );
    });
  });
}

function decoded(text: string): unknown {
  try {
    return decodeText(text);
  } catch {
    return text; // an invalid text, which no handler will get, is checked as it is
  }
}

/** The state of an entity while its events are applied; `undefined` in its place: its events are no longer applied. */
interface Replayed {
  version: number;
  state: unknown;
  /** The entity's stored snapshot: its state as text, and the number of events that led to it; `undefined`: none. */
  snapshot: { readonly version: number; readonly state: string } | undefined;
}

/**
 * Replays the events of all entities of a type through their schemas and functions. If more than `mostStates` states
 * would be in memory, entities are split by a hash of their id, with one pass for each part.
 */
async function checkEntities(definition: EntityDefinition<unknown>, stores: Stores, tally: Tally): Promise<void> {
  // the first pass finds out how many parts are needed
  const parts = await checkPart(definition, stores, tally, 0, 1);
  for (let part = 1; part < parts; part++) await checkPart(definition, stores, tally, part, parts);
}

async function checkPart(
  definition: EntityDefinition<unknown>,
  stores: Stores,
  tally: Tally,
  part: number,
  count: number,
): Promise<number> {
  const { namespace, entities, snapshots, mostStates = MAX_STATES } = stores;
  const { name, version: own } = definition;
  if (entities === undefined) return count;
  const states = new Map<string, Replayed | undefined>();
  let [parts, looked] = [count, 0];
  const isOwn = (id: string) => parts === 1 || fnv1a(id) % parts === part;
  const refuse = (id: string, kind: string, about: string, message: string, advice: string) => {
    tally.add("break", kind, about, message, id, advice);
    states.set(id, undefined);
  };
  const enter = (id: string): MaybePromise<Replayed | undefined> => {
    let at: Replayed;
    try {
      at = { version: 0, state: initialState(definition, id), snapshot: undefined };
    } catch (error) {
      refuse(id, "initial", name, `initial of ${name} throws: ${(error as Error)?.message ?? error}`, APPLY);
      return undefined;
    }
    states.set(id, at);
    if (states.size > mostStates && part === 0) {
      parts *= 2;
      for (const other of states.keys()) if (!isOwn(other)) states.delete(other);
    }
    if (snapshots === undefined || looked++ >= MAX_SNAPSHOTS) return at;
    return snapshots.get(snapshotKey(name, id, own)).then((entry) => {
      const read = entry && readSnapshotText(entry.value);
      if (read === undefined || read.definition !== own || read.id !== id) return at;
      // nodes of the program will not use a snapshot of another shape
      if (read.shape === undefined || read.shape === initialShape(definition, id)) at.snapshot = read;
      return at;
    });
  };
  const apply = (id: string, at: Replayed | undefined, group: EntityGroup) => {
    if (at === undefined || group.version < at.version) return; // the entity was refused or forgotten, or has a gap
    at.version = group.version;
    for (const event of group.messages) {
      try {
        at.state = freezePlain(applied(definition, at.state, event.category, payloadOf(event)));
      } catch (error) {
        return refuse(id, "entity", event.category, reasonOf(event.category, error), PAST);
      }
      at.version++;
      if (at.snapshot?.version !== at.version) continue;
      const text = at.state === undefined ? "" : encodeValue(at.state, "the state");
      if (text === at.snapshot.state) continue;
      const message = `snapshots of ${name} of version ${own} have another state than its functions make of the events`;
      tally.add("break", "snapshot", name, message, id, RAISE);
    }
  };
  await eachMessage(stores, entities, entityPattern(namespace, name), name, (message) => {
    const id = readEntitySubject(namespace, message.subject)?.id;
    if (id === undefined || !isOwn(id)) return undefined;
    const group = readEntityGroup(namespace, message);
    if ("reason" in group) return undefined;
    if (saysForgotten(group)) return void states.set(id, undefined);
    const at = states.has(id) ? states.get(id) : enter(id);
    return at instanceof Promise ? at.then((entered) => apply(id, entered, group)) : apply(id, at, group);
  });
  return parts;
}

function reasonOf(event: string, error: unknown): string {
  const text = (error as Error)?.message ?? `${error}`;
  const isOurs = text.startsWith(`the schema of ${event} refuses`) || text.includes(`has no event ${event}`);
  return isOurs ? `stored events cannot be applied: ${text}` : `the function that applies ${event} throws: ${text}`;
}

async function checkResults({ contracts }: Program, stores: Stores, tally: Tally): Promise<void> {
  const { idempotency } = stores;
  if (idempotency === undefined) return;
  for (const [name, { contract: { options: { idempotent, output } } }] of contracts) {
    if (!idempotent || output === undefined) continue;
    for (let shard = 0; shard < SHARDS; shard++) {
      const prefix = `${name}-${shard.toString(16).padStart(2, "0")}/`;
      for (const { key, value } of await idempotency.entries(prefix)) {
        const record = readClaim(value);
        if (record?.state !== "done" || record.error !== undefined) continue;
        await refusal(output, { payload: record.value, tagged: false }, (why) => {
          tally.add(
            "break",
            "result",
            name,
            `recorded results of ${name} are refused: ${why}`,
            key.slice(prefix.length),
            RESULT,
          );
        });
      }
    }
  }
}

/**
 * Calls `take` with the messages that a subject (a pattern) has now, in order, one after the other. Rejects with
 * `UNAVAILABLE` or `CLOSED` if they cannot be read, and with an error of `take`.
 */
async function eachMessage(
  { progress, clock }: Stores,
  stream: LogStream,
  subject: string,
  what: string,
  take: (message: StoredMessage) => MaybePromise<unknown>,
): Promise<void> {
  const { promise: over, resolve, reject } = Promise.withResolvers<void>();
  const waiting = new Fifo<StoredMessage>();
  let [last, count, busy] = [0, 0, false];
  const pass = (message: StoredMessage) => {
    if (++count % PROGRESS === 0) progress(what, count);
    const taken = take(message);
    if (!(taken instanceof Promise)) return;
    busy = true;
    reader.pause();
    taken.then(() => {
      busy = false;
      while (!busy && waiting.size > 0) pass(waiting.shift()!); // not undefined: `waiting` is not empty
      if (!busy) reader.resume();
    }).catch(reject);
  };
  const reader = stream.follow({
    ...{ subjects: [subject], after: undefined, onStart: () => {}, onFault: reject },
    onMessage(message) {
      if (message.sequence <= last) return;
      last = message.sequence;
      if (busy) waiting.push(message);
      else pass(message);
    },
  });
  const look = () => {
    if (!busy && reader.mark !== undefined && reader.caughtUp) resolve();
    else timer = clock.after(DONE_POLL, look);
  };
  let timer = clock.after(0, look);
  try {
    await over;
  } finally {
    timer.cancel();
    reader.close();
  }
}

/** Checks a payload by a schema, and calls `refused` with the reason if the schema refuses it. */
function refusal(
  schema: Schema<never, unknown>,
  message: Pick<LoggedMessage, "payload" | "tagged">,
  refused: (why: string) => void,
): MaybePromise<void> {
  const judged = validate(schema, payloadOf(message), "INVALID_MESSAGE", "");
  const judge = ({ ok, error }: Awaited<typeof judged>) => {
    if (!ok) refused(issueWithPath(error));
  };
  return judged instanceof Promise ? judged.then(judge) : judge(judged);
}

function all(parts: readonly MaybePromise<void>[]): MaybePromise<unknown> {
  return parts.some((part) => part instanceof Promise) ? Promise.all(parts) : undefined;
}

const READ = "Read what is stored, too: new members optional or with a default, old names and values in the schema.";
const PAST = "Events stay for good: keep their definitions, and read all that is stored of them.";
const AGAIN = "A rewind, a new subscription and a read model handle them again: read them, too, if you want that.";
const EDIT = "Edit or discard them: `catga dead`.";
const APPLY = "It has to make a state for each id.";
const RAISE = "Raise the entity's version: snapshots of other versions are not used.";
const RESULT = "A send that comes again would get INVALID_RESPONSE: read both until the results have expired.";
/** Number of messages that are read between two reports of progress. */
const PROGRESS = 1_000;
/** Interval between two checks whether all messages have been read, in ms. */
const DONE_POLL = 5;
/** Maximum number of entities' states that are in memory at once; a state takes some 1 kB. */
const MAX_STATES = 50_000;
/** Maximum number of entities of a type whose stored snapshots are compared with their events. */
const MAX_SNAPSHOTS = 200;
const SHARDS = 64;
