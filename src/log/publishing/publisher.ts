/**
 * Publishes the messages of one process into the log. A lane queues the messages of one subject: it sends one message
 * of the stream at a time, which keeps the order, and messages published meanwhile travel together in the next one. A
 * message with an id given by the program is a message of the stream by itself, because the stream detects duplicates
 * by that id; of these, several are sent at once, one for each key. A message is sent at once if its lane is idle. The
 * number of waiting messages is limited.
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
import { largestGroup } from "../format/group_text.ts";
import type { LoggedMeta } from "../format/logged_message.ts";
import { categorySubject, scheduleSubject } from "../format/names.ts";
import { PublishLane } from "./publish_lane.ts";
import { overwrite, type OverwriteOptions, type Replacement } from "./schedule_write.ts";
import { unschedule } from "./unschedule.ts";
import { type Planned, Publication, type PublicationHost } from "./publication.ts";
import { dueOf, timeOf, unsupported } from "./schedule_time.ts";
import type { LaneHost, NamedSchedule, StreamMessage } from "./publication_group.ts";

/** Options of a {@link Publisher}. */
export interface PublisherOptions extends Pick<StreamsHost, "namespace" | "endpoint" | "clock"> {
  /** The node, whose drain waits for all publications. */
  readonly host: PublicationHost;
  /** Returns the opened stream of the log; see {@link LaneHost.stream}. */
  readonly stream: LaneHost["stream"];
  /** Returns the maximum size of a message that the network accepts at present, in bytes. */
  maxPayload(): number;
  /**
   * Called when a message of the stream was stored. `contract`: name of its contract; `count`: number of published
   * messages in it.
   */
  readonly onStored?: ((contract: string, count: number) => void) | undefined;
  /**
   * Returns the shape of a contract (a hash of its schemas and options), which is stored with messages; absent: no
   * shape is stored.
   */
  readonly shapeOf?: ((contract: AnyContract) => string | undefined) | undefined;
  /** Maximum number of messages that wait or are being sent; default {@link MOST_WAITING}. */
  readonly most?: number | undefined;
}

/** Publishes the messages of one process. */
export class Publisher implements LaneHost {
  readonly clock: Clock;
  readonly #options: PublisherOptions;
  readonly #most: number;
  /** Queues of messages to publish, by contract name. */
  readonly #lanes = new Map<string, PublishLane>();
  /** Queues of scheduled messages, by subject. */
  readonly #schedules = new Map<string, PublishLane>();
  /** Number of published messages that wait or are being sent. */
  #waiting = 0;
  /** Number of characters of the published messages that wait or are being sent. */
  #chars = 0;
  /** Number of messages of the stream that this publisher has made so far. */
  #groups = 0;
  /** Number of published messages in the messages of the stream made so far. */
  #items = 0;
  #marks = 0;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#most = options.most ?? MOST_WAITING;
    this.clock = options.clock;
  }

  /** Publishes a message. Resolves with ok when it is stored. Never rejects. */
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
    // a message that is due already is stored unscheduled; if it has an id, a schedule with that id is taken back
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
   * Takes back a schedule, so that it does not fire. Resolves with true if it will not fire; with false if it has
   * fired or never existed. Rejects with a `CatgaError`. `limit`: time limit in ms, a minute at most.
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
    const timeout = Math.min(limit, 60_000); // less than the time for which a mark, and a message's id, are kept in the stream
    host.underWay.begin(); // a drain waits for `work`
    try {
      return await work({ clock: this.clock, stream, mark, timeout });
    } finally {
      host.underWay.end();
    }
  }

  /**
   * Returns the queue with this name, making it if needed. `brief`: the queue is removed when it becomes empty,
   * because the number of schedules has no limit.
   */
  #laneIn(lanes: Map<string, PublishLane>, name: string, brief: boolean): PublishLane {
    let lane = lanes.get(name);
    if (lane === undefined) lanes.set(name, lane = new PublishLane(this, brief ? () => lanes.delete(name) : undefined));
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

/**
 * Returns the cron that nats-server must get so that it fires at the times that `cron` means in its time zone;
 * `undefined`: the cron is stored unchanged, as is a cron that only the server can read.
 */
function countedBy(cron: string, zone: string | undefined, now: number): CountedCron | undefined {
  try {
    const server = serverCron(cron, zone, now);
    return server === undefined ? undefined : { cron, zone: zone!, server }; // `server` is defined only for a cron with a zone
  } catch {
    return undefined; // an invalid cron: the server refuses it, and says why
  }
}

/** Maximum number of messages of one process that wait for the log or are being sent. */
export const MOST_WAITING = 262_144;
/** Maximum number of characters of one process's messages that wait for the log or are being sent. */
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

/** Encodes the time for which the log keeps a message: `undefined` for the default, 0 for ever. */
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
