/**
 * What one process publishes into the log: items made of messages, the limit of what waits, and lanes. A lane has what
 * goes to one subject: one message of the stream with many publications is under way at a time, which keeps the order,
 * and what is published meanwhile forms the next one. A publication with an id of its own is a message of its own,
 * because the stream knows it by that: of these, several are under way, one for each key. Nothing waits while nothing
 * is under way.
 */
import type { StreamsHost } from "../../dispatch/node_host.ts";
import { KEEP } from "../../contract/defaults.ts";
import type { AnyContract } from "../../contract/contract.ts";
import type { Result } from "../../contract/result.ts";
import { type CountedCron, serverCron } from "../../data/cron.ts";
import { byteLength, exceeds } from "../../data/utf8.ts";
import { cannotBeSent, encodeValue } from "../../data/encoding.ts";
import { token } from "../../data/subject_token.ts";
import type { DurableMessage, Meta, Schedule } from "../../dispatch/remote.ts";
import { CatgaError, type ErrorCode } from "../../error.ts";
import type { Clock } from "../../ports/clock.ts";
import type { LogStream, StoredMessage } from "../../ports/event_log.ts";
import { groupText, isPublication, itemText, madeId } from "../format/group.ts";
import { largestGroup, MOST_IN_GROUP } from "../format/group_text.ts";
import type { LoggedMeta } from "../format/logged_message.ts";
import { categorySubject, scheduleSubject } from "../format/names.ts";
import { overwrite, type OverwriteOptions, type Replacement, unschedule } from "./schedule_write.ts";
import {
  dueOf,
  type LaneHost,
  type NamedSchedule,
  type Planned,
  Publication,
  PublicationGroup,
  type PublicationHost,
  type StreamMessage,
  timeOf,
  unsupported,
} from "./publication.ts";
import { Fifo } from "../../data/queues.ts";

/** Options of a {@link Publisher}. */
export interface PublisherOptions extends Pick<StreamsHost, "namespace" | "endpoint" | "clock"> {
  /** The node, whose drain waits for what is published. */
  readonly host: PublicationHost;
  /** As {@link LaneHost.stream}. */
  readonly stream: LaneHost["stream"];
  /** The largest message that the network takes now, in bytes. */
  maxPayload(): number;
  /** A message of the stream was stored, with so many messages of a contract. */
  readonly onStored?: ((contract: string, count: number) => void) | undefined;
  /** The shape of a contract, which its messages are stored with; without it, none. */
  readonly shapeOf?: ((contract: AnyContract) => string | undefined) | undefined;
  /** How many messages may wait; {@link MOST_WAITING}. */
  readonly most?: number | undefined;
}

/** The messages that one process publishes. */
export class Publisher implements LaneHost {
  readonly clock: Clock;
  readonly #options: PublisherOptions;
  readonly #most: number;
  /** By category. */
  readonly #lanes = new Map<string, Lane>();
  /** By the subject of a schedule. */
  readonly #schedules = new Map<string, Lane>();
  /** Messages that wait or are under way, and their characters. */
  #waiting = 0;
  #chars = 0;
  /** Messages of the stream, and items, that were made so far. */
  #groups = 0;
  #items = 0;
  #marks = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#most = options.most ?? MOST_WAITING;
    this.clock = options.clock;
  }

  /** Ok when it is stored. Never rejects. */
  publish(message: DurableMessage): Promise<Result<void>> {
    const { contract, payload, key, timeout, signal, schedule, parent } = message;
    const id = message.meta?.id;
    if (id?.isWellFormed() === false) {
      return failed(unstored("INVALID_MESSAGE", contract, "its id is not well-formed Unicode"));
    }
    if (this.#waiting >= this.#most || this.#chars > MOST_CHARS) {
      const why = `${this.#waiting} messages of this process wait for the log already`;
      return failed(unstored("OVERLOADED", contract, why));
    }
    let text: string | undefined;
    try {
      text = payload === undefined ? undefined : encodeValue(payload, "payload");
    } catch (error) {
      return failed(cannotBeSent(error, "INVALID_MESSAGE", "the payload", contract.name));
    }
    const item = itemText({ text, key, id, meta: metaOf(message.meta) });
    const limit = largestGroup(this.#options.maxPayload());
    if (exceeds(item, limit)) return failed(tooLarge(contract, byteLength(item), limit));
    const planned = schedule === undefined ? undefined : this.#plan(contract, schedule, id);
    const lane = planned === undefined
      ? this.#laneIn(this.#lanes, contract.name, false)
      : this.#laneIn(this.#schedules, planned.subject, true);
    const { durable } = contract.options;
    const keep = (typeof durable === "object" ? durable.keep : undefined) ?? KEEP;
    const parts = { contract, item, id, key, keep, planned, timeout, signal, parent };
    const publication = new Publication(this.#options.host, parts, (ended) => {
      this.#waiting--;
      this.#chars -= ended.item.length;
      if (ended.attempted === undefined) lane.left();
    });
    this.#waiting++;
    this.#chars += item.length;
    lane.add(publication);
    return publication.result;
  }

  stored(publications: readonly Publication[]): void {
    this.#options.onStored?.(publications[0].contract.name, publications.length);
  }

  stream(again: boolean): LogStream | Promise<LogStream> {
    return this.#options.stream(again);
  }

  message(publications: readonly Publication[], stream: LogStream): StreamMessage | NamedSchedule | CatgaError {
    const { namespace, endpoint } = this.#options;
    const [{ contract, id, keep, planned }] = publications;
    const category = categorySubject(namespace, contract.name);
    const first = this.#items;
    this.#items += publications.length;
    const group = `e:${endpoint}:${this.#groups++}`;
    const queued = contract.kind === "command";
    const shape = this.#options.shapeOf?.(contract);
    const head = { endpoint, first, sentAt: this.clock.now(), keep: keptAs(keep), schedule: undefined, queued, shape };
    const ttl = keep === Infinity ? undefined : keep;
    const items = publications.length === 1 ? publications[0].item : publications.map(({ item }) => item).join(",");
    const unscheduled = {
      subject: category,
      data: groupText(head, items),
      options: { id: id === undefined ? group : `u:${contract.name}:${token(id)}`, ttl },
    };
    if (planned === undefined) return unscheduled;
    const { schedule, due, subject } = planned;
    const lacking = unsupported(due, stream.abilities);
    // what is due is no schedule; under an id it takes the place of what was scheduled before, where there can be such
    if (typeof due === "number" && due <= this.clock.monotonic()) {
      return { ...unscheduled, replaces: id === undefined || lacking !== undefined ? undefined : subject };
    }
    if (lacking !== undefined) return unstored("UNSUPPORTED", contract, lacking);
    const zone = "cron" in schedule ? schedule.zone : undefined;
    const write: Replacement["write"] = (stream, { version, notBefore }) => {
      const time = timeOf(due, this.clock, stream);
      const counted = typeof time === "number" ? undefined : countedBy(time, zone, this.clock.now());
      const at = typeof time === "number" ? Math.ceil(Math.max(time, notBefore)) : counted?.server ?? time;
      const cron = typeof time === "string" && counted === undefined ? { cron: time, zone } : undefined;
      const named = { id: planned.id, due: typeof at === "number" ? at : 0, counted, cron };
      const data = groupText({ ...head, schedule: named }, items);
      return {
        data,
        options: { id: version === 0 ? group : `${group}.${version}`, schedule: { at, zone, target: category, ttl } },
      };
    };
    if (id === undefined) {
      const { data, options } = write(stream, { version: 0, notBefore: 0 });
      return { subject, data, options: { ...options, rollup: true } };
    }
    const isOwn = ({ data }: StoredMessage) => isPublication(data, { endpoint, first });
    return {
      subject,
      replacement: { write, isOwn, yieldsTo: () => false, alone: true, patient: false, done: "stored" },
    };
  }

  replace({ subject, replacement }: NamedSchedule, limit: number, abandoned: () => boolean): Promise<unknown> {
    return this.#trying(limit, (options) => overwrite(subject, replacement, { ...options, abandoned }));
  }

  /**
   * Takes back what was scheduled: `true`, and it does not fire; `false`: it has gone, or never was. Rejects with a
   * `CatgaError`. `limit`: how long to try, in ms, a minute at most.
   */
  unschedule({ name }: AnyContract, id: string, limit: number): Promise<boolean> {
    return this.takeBack(scheduleSubject(this.#options.namespace, name, id), limit);
  }

  takeBack(subject: string, limit: number): Promise<boolean> {
    return this.#trying(limit, (options) => unschedule(subject, options));
  }

  async #trying<T>(limit: number, work: (options: OverwriteOptions) => Promise<T>): Promise<T> {
    const { endpoint, host } = this.#options;
    const mark = `${endpoint}.${this.#marks++}`;
    const stream = (again: boolean) => this.stream(again);
    const timeout = Math.min(limit, 60_000); // shorter than a mark stays, and than the stream remembers an id
    host.underWay.begin(); // a drain waits for it
    try {
      return await work({ clock: this.clock, stream, mark, timeout });
    } finally {
      host.underWay.end();
    }
  }

  /** `brief`: it stays only while it is needed, as there may be any number of schedules. */
  #laneIn(lanes: Map<string, Lane>, name: string, brief: boolean): Lane {
    let lane = lanes.get(name);
    if (lane === undefined) lanes.set(name, lane = new Lane(this, brief ? () => lanes.delete(name) : undefined));
    return lane;
  }

  #plan({ name }: AnyContract, schedule: Schedule, given: string | undefined): Planned {
    const id = given ?? madeId(this.#options.endpoint, this.#items++);
    return {
      schedule,
      due: dueOf(schedule, this.clock),
      id,
      subject: scheduleSubject(this.#options.namespace, name, id),
    };
  }
}

/** How nats-server has to count a cron; `undefined`: as it is given, as one that only the server may know. */
function countedBy(cron: string, zone: string | undefined, now: number): CountedCron | undefined {
  try {
    const server = serverCron(cron, zone, now);
    return server === undefined ? undefined : { cron, zone: zone!, server }; // one without a zone needs nothing
  } catch {
    return undefined; // the server refuses it, and says why
  }
}

/** Messages that may wait for the log, or be under way, in one process. */
export const MOST_WAITING = 262_144;
/** And their characters. */
const MOST_CHARS = 64 * 1_048_576;

function tooLarge(contract: AnyContract, size: number, limit: number): CatgaError {
  const why =
    `it has ${size} bytes with its key and headers, and the log takes ${limit}: store the payload elsewhere ` +
    "and publish a reference, or raise max_payload in the server's configuration";
  return unstored("TOO_LARGE", contract, why);
}

function unstored(code: ErrorCode, { kind, name }: AnyContract, why: string): CatgaError {
  return new CatgaError(code, `${kind} ${name} was not stored: ${why}`, { retryable: code === "OVERLOADED" });
}

/** How the format has it: `undefined` for the default, 0 for good. */
function keptAs(keep: number): number | undefined {
  if (keep === KEEP) return undefined;
  return keep === Infinity ? 0 : keep;
}

function metaOf(meta: Meta | undefined): Omit<LoggedMeta, "k" | "w"> | undefined {
  if (meta === undefined) return undefined;
  const { correlation: c, causation: a, headers: h } = meta;
  return c === undefined && a === undefined && h === undefined ? undefined : {
    ...(c === undefined ? {} : { c }),
    ...(a === undefined ? {} : { a }),
    ...(h === undefined ? {} : { h }),
  };
}

function failed(error: CatgaError): Promise<Result<void>> {
  return Promise.resolve({ ok: false, error });
}

/** The publications under one subject. */
class Lane {
  readonly #host: LaneHost;
  readonly #idle: (() => void) | undefined;
  readonly #waiting = new Fifo<Publication>();
  /**
   * Publications that wait behind a message with an id and the same key, by key: as long as such a message is under
   * way, there is an entry.
   */
  readonly #behind = new Map<string, Fifo<Publication>>();
  /** How many of those that wait have ended. */
  #gone = 0;
  /** Publications in a message, at most. */
  #most = MOST_IN_GROUP;
  /** Messages that are under way: one, or several that have ids of their own. */
  #underWay = 0;
  #several = false;

  /** `idle` is called whenever nothing is left. */
  constructor(host: LaneHost, idle?: () => void) {
    this.#host = host;
    this.#idle = idle;
  }

  /** Sends it at once if nothing is under way that it has to wait for. */
  add(publication: Publication): void {
    this.#waiting.push(publication);
    this.#next();
  }

  /** A publication that waits here has ended. */
  left(): void {
    this.#gone++;
    if (this.#gone < 1_024) return;
    let waiting = this.#waiting.size;
    for (const { size } of this.#behind.values()) waiting += size;
    if (this.#gone * 2 < waiting) return;
    for (const queue of [this.#waiting, ...this.#behind.values()]) queue.keep((publication) => !publication.over);
    this.#gone = 0;
  }

  #next(): void {
    for (;;) {
      const next = this.#firstOf(this.#waiting);
      if (next === undefined) {
        if (this.#underWay === 0) this.#idle?.();
        return;
      }
      if (!isSingle(next)) {
        if (this.#underWay > 0) return;
        this.#beginGroup(this.#take());
        continue;
      }
      if (this.#underWay > 0 && !this.#several) return;
      const behind = next.key === undefined ? undefined : this.#behind.get(next.key);
      if (behind === undefined && this.#underWay === MOST_AT_ONCE) return;
      this.#waiting.shift();
      if (behind === undefined) this.#beginSingle(next);
      else behind.push(next);
    }
  }

  #beginGroup(publications: readonly Publication[]): void {
    this.#underWay++;
    const group = new PublicationGroup(this.#host, publications, (split) => {
      this.#underWay--;
      if (split) this.#split(group);
      else this.#most = Math.min(MOST_IN_GROUP, this.#most * 2);
      this.#next();
    });
    group.begin();
  }

  #beginSingle(publication: Publication): void {
    this.#underWay++;
    this.#several = true;
    const { key } = publication;
    if (key !== undefined && !this.#behind.has(key)) this.#behind.set(key, new Fifo());
    new PublicationGroup(this.#host, [publication], () => {
      this.#underWay--;
      const behind = key === undefined ? undefined : this.#behind.get(key)!;
      const next = behind && this.#firstOf(behind);
      if (next === undefined) {
        if (key !== undefined) this.#behind.delete(key);
        if (this.#underWay === 0) this.#several = false;
        this.#next();
      } else {
        behind!.shift();
        this.#beginSingle(next);
      }
    }).begin();
  }

  /** What waits longest in a queue. */
  #firstOf(queue: Fifo<Publication>): Publication | undefined {
    for (;;) {
      const { first } = queue;
      if (first?.over !== true) return first;
      this.#gone--;
      queue.shift();
    }
  }

  /** Publications for one message: one that is scheduled stands alone. */
  #take(): Publication[] {
    const taken: Publication[] = [];
    const waiting = this.#waiting;
    let chars = 0;
    for (let next = this.#firstOf(waiting); next !== undefined; next = this.#firstOf(waiting)) {
      const [first] = taken;
      chars += next.item.length;
      if (
        first !== undefined &&
        (isSingle(next) || next.planned !== undefined || first.planned !== undefined || next.keep !== first.keep ||
          next.contract !== first.contract ||
          taken.length === this.#most || chars > MOST_GROUP_CHARS)
      ) break;
      taken.push(next);
      waiting.shift();
    }
    return taken;
  }

  /** A message was too large for the server, and is certainly not stored: its publications are sent in smaller ones. */
  #split({ publications }: PublicationGroup): void {
    this.#most = Math.ceil(publications.length / 2);
    const later: Publication[] = [];
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) later.push(next);
    this.#gone = 0;
    for (const publication of [...publications, ...later]) {
      if (publication.over) continue;
      if (publications.includes(publication)) publication.attempted = undefined;
      this.#waiting.push(publication);
    }
  }
}

/** Returns true if it is a message of its own beside others: it has an id of the program's, and is not scheduled. */
function isSingle({ id, planned }: Publication): boolean {
  return id !== undefined && planned === undefined;
}

/** Messages with ids of their own that are under way at once. */
const MOST_AT_ONCE = 512;
/** Characters of the items of one message. */
const MOST_GROUP_CHARS = 65_536;
