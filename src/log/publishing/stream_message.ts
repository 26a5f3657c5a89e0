/**
 * Makes the messages of the stream: the published messages of one process as they are stored, with subject, headers and
 * ids. One message of the stream may contain several published messages, its items.
 */
import type { RecordedMessage } from "../../contract/nodes/attached_store.ts";
import type { StreamsHost } from "../../dispatch/node_host.ts";
import { KEEP } from "../../contract/declaration/defaults.ts";
import type { AnyContract } from "../../contract/declaration/contract.ts";
import { type CountedCron, serverCron } from "../../data/cron.ts";
import { byteLength, encode, exceeds } from "../../data/utf8.ts";
import { storedLimit, whyTooLarge } from "../../data/message_room.ts";
import { cannotBeSent, encodeValue } from "../../data/encoding.ts";
import { encodeToken } from "../../data/subject_token.ts";
import { fingerprint } from "../../data/value_text.ts";
import type { DurableMessage, Meta, Schedule } from "../../dispatch/remote.ts";
import { CatgaError, type ErrorCode } from "../../error.ts";
import type { Clock } from "../../ports/clock.ts";
import type { AppendOptions, LogStream, StoredMessage } from "../../ports/event_log.ts";
import { groupText, isPublication, isReadable, itemText, madeId, readGroup } from "../format/group.ts";
import { type LoggedMeta, payloadOf } from "../format/logged_message.ts";
import { categorySubject, scheduleSubject } from "../format/names.ts";
import type { Replacement } from "./schedule_write.ts";
import type { PlannedSchedule, Publication } from "./publication.ts";
import { latestDue, plannedDue, timeOf, unsupported } from "./schedule_time.ts";
import { LATEST_HEADER, latestOf } from "./stored_schedule.ts";

/** A message for the stream: its subject, data and options. */
export interface StreamMessage {
  readonly subject: string;
  readonly data: string;
  readonly options: Omit<AppendOptions, "timeout">;
  /** Subject of a schedule to be taken back when this message is stored. */
  readonly replaces?: string | undefined;
}

/** A schedule to be stored in place of another schedule with the same name. */
export interface NamedSchedule {
  readonly subject: string;
  readonly replacement: Replacement;
}

/** Options of {@link StreamMessages}. */
export interface StreamMessagesOptions extends Pick<StreamsHost, "namespace" | "endpoint" | "clock"> {
  /** Returns the maximum size of a message that the network accepts at present, in bytes. */
  maxPayload(): number;
  /** Returns the shape of a contract, which is stored with messages; absent: no shape is stored. */
  readonly shapeOf?: ((contract: AnyContract) => string | undefined) | undefined;
}

/**
 * Makes the messages of the stream for one process.
 * @decides the message of the stream that published messages become: subject, headers, ttl, its id; `TOO_LARGE`
 */
export class StreamMessages {
  readonly #options: StreamMessagesOptions;
  readonly #clock: Clock;
  /** Number of messages of the stream made so far. */
  #groups = 0;
  /** Number of published messages in the messages of the stream made so far. */
  #items = 0;

  constructor(options: StreamMessagesOptions) {
    this.#options = options;
    this.#clock = options.clock;
  }

  /** Encodes a published message as an item of a message of the stream; an error: it cannot be stored. */
  encodeItem({ contract, payload, key, meta }: DurableMessage): string | CatgaError {
    const id = meta?.id;
    if (id?.isWellFormed() === false) {
      return unstored("INVALID_MESSAGE", contract, "its id is not well-formed Unicode");
    }
    let text: string | undefined;
    try {
      text = payload === undefined ? undefined : encodeValue(payload, "payload");
    } catch (error) {
      return cannotBeSent(error, "INVALID_MESSAGE", "the payload", contract.name);
    }
    const item = itemText({ text, key, id, meta: metaOf(meta) });
    const limit = storedLimit(this.#options.maxPayload());
    return exceeds(item, limit) ? notStoredAsTooLarge(contract, byteLength(item), limit) : item;
  }

  /** Makes the schedule of a message that is published for a later time. `given`: id given by the program. */
  planSchedule({ name }: AnyContract, schedule: Schedule, given: string | undefined): PlannedSchedule {
    const id = given ?? madeId(this.#options.endpoint, this.#items++);
    return {
      schedule,
      due: plannedDue(schedule, this.#clock),
      latest: latestDue(schedule, this.#clock),
      id,
      subject: scheduleSubject(this.#options.namespace, name, id),
    };
  }

  /**
   * Returns true if a message of one publication, which the stream has recognized by its id, has another payload than
   * the message that the stream has (`stored`).
   */
  hasOtherPayload({ subject, data }: StreamMessage, stored: StoredMessage): boolean {
    const { namespace } = this.#options;
    const own = readGroup(namespace, { ...stored, subject, data: encode(data) });
    const there = readGroup(namespace, stored);
    // nothing is known of the payload of a message that cannot be read, or has another id
    if (!isReadable(own) || !isReadable(there) || own[0]?.id !== there[0]?.id) return false;
    return fingerprint(payloadOf(own[0])) !== fingerprint(payloadOf(there[0]));
  }

  /** Makes the message of the stream that an outbox has recorded. */
  recorded({ kind, contract, items, id, keep, shape }: RecordedMessage): StreamMessage {
    const { namespace, endpoint } = this.#options;
    const first = this.#items;
    this.#items += items.length;
    const queued = kind === "command";
    const head = { endpoint, first, sentAt: this.#clock.now(), keep: keptAs(keep), schedule: undefined, queued, shape };
    return {
      subject: categorySubject(namespace, contract),
      data: groupText(head, items.join(",")),
      options: {
        id: "given" in id ? givenId(contract, id.given) : `o:${id.made}`,
        ttl: keep === Infinity ? undefined : keep,
      },
    };
  }

  /**
   * Makes the message of the stream that contains these publications; an error: it cannot be made, and the
   * publications end with this error.
   */
  makeMessage(publications: readonly Publication[], stream: LogStream): StreamMessage | NamedSchedule | CatgaError {
    const { namespace, endpoint } = this.#options;
    const [{ contract, id, keep, planned }] = publications;
    const category = categorySubject(namespace, contract.name);
    const first = this.#items;
    this.#items += publications.length;
    const group = `e:${endpoint}:${this.#groups++}`;
    const queued = contract.kind === "command";
    const shape = this.#options.shapeOf?.(contract);
    const head = { endpoint, first, sentAt: this.#clock.now(), keep: keptAs(keep), schedule: undefined, queued, shape };
    const ttl = keep === Infinity ? undefined : keep;
    const items = publications.length === 1 ? publications[0].item : publications.map(({ item }) => item).join(",");
    const unscheduled = {
      subject: category,
      data: groupText(head, items),
      options: { id: id === undefined ? group : givenId(contract.name, id), ttl },
    };
    if (planned === undefined) return unscheduled;
    const { schedule, due, latest, subject } = planned;
    const lacking = unsupported(due, stream.abilities);
    // a message that is due already is stored unscheduled; if it has an id, a schedule with that id is taken back. One
    // with a longest wait is not: the log takes a message of an id once in a while
    if (typeof due === "number" && latest === undefined && due <= this.#clock.monotonic()) {
      return { ...unscheduled, replaces: id === undefined || lacking !== undefined ? undefined : subject };
    }
    if (lacking !== undefined) return unstored("UNSUPPORTED", contract, lacking);
    const zone = "cron" in schedule ? schedule.zone : undefined;
    const ofProcess = "delay" in schedule ? schedule.ofProcess : undefined;
    const write = (
      stream: LogStream,
      { version, notBefore, replaced }: {
        readonly version: number;
        readonly notBefore: number;
        readonly replaced?: StoredMessage | undefined;
      },
    ) => {
      const last = latest === undefined
        ? undefined
        : Math.min(Number(timeOf(latest, this.#clock, stream)), replaced === undefined ? Infinity : latestOf(replaced));
      const own = timeOf(due, this.#clock, stream);
      const time = typeof own === "number" && last !== undefined
        ? Math.max(stream.latestServerTime, Math.min(own, last))
        : own;
      const counted = typeof time === "number" ? undefined : countedBy(time, zone, this.#clock.now());
      const at = typeof time === "number" ? Math.ceil(Math.max(time, notBefore)) : counted?.server ?? time;
      const cron = typeof time === "string" && counted === undefined ? { cron: time, zone } : undefined;
      const named = { id: planned.id, due: typeof at === "number" ? at : 0, counted, cron };
      const data = groupText({ ...head, schedule: named }, items);
      return {
        data,
        options: {
          id: version === 0 ? group : `${group}.${version}`,
          schedule: { at, zone, target: category, ttl, ofProcess },
          ...(last !== undefined && { headers: { [LATEST_HEADER]: `${last}` } }),
        },
      };
    };
    if (id === undefined) {
      const { data, options } = write(stream, { version: 0, notBefore: 0 });
      return { subject, data, options: { ...options, rollup: true } };
    }
    const isOwn = ({ data }: StoredMessage) => isPublication(data, { endpoint, first });
    return {
      subject,
      replacement: {
        ...{ write, isOwn, yieldsTo: () => false, alone: true, patient: false, done: "stored" },
        letsFire: latest !== undefined,
      },
    };
  }
}

/** Returns the id by which the stream recognizes a message to which the program gave an id. */
function givenId(contract: string, id: string): string {
  return `u:${contract}:${encodeToken(id)}`;
}

/**
 * Returns the cron that nats-server must get so that it fires at the times that `cron` means in its time zone;
 * `undefined`: the cron is stored unchanged, as is a cron that only the server can read.
 */
function countedBy(cron: string, zone: string | undefined, now: number): CountedCron | undefined {
  try {
    const server = serverCron(cron, zone, now);
    // `server` is defined only for a cron with a zone
    return server === undefined ? undefined : { cron, zone: zone!, server };
  } catch {
    return undefined; // an invalid cron: the server refuses it, and says why
  }
}

function notStoredAsTooLarge(contract: AnyContract, size: number, limit: number): CatgaError {
  return unstored("TOO_LARGE", contract, whyTooLarge("with its key and headers it", size, limit, "publish"));
}

/** Returns the error of a message that was not stored. */
export function unstored(code: ErrorCode, { kind, name }: AnyContract, why: string): CatgaError {
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
