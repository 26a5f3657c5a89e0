/**
 * Publishes the messages of one process into the log. A lane queues the messages of one subject: it sends one message
 * of the stream at a time, which keeps the order, and messages published while it is being stored travel together in
 * the next one. A message with an id given by the program is a message of the stream by itself, because the stream
 * detects duplicates by that id; messages with such ids are sent beside each other, one for each key at a time. A
 * message is sent at once if its lane is idle. The number of waiting messages is limited.
 */
import type { AnyContract } from "../../contract/declaration/contract.ts";
import type { Observer } from "../../contract/nodes/observer.ts";
import type { Result } from "../../contract/calls/result.ts";
import type { DurableMessage } from "../../dispatch/remote.ts";
import type { CatgaError } from "../../error.ts";
import { keepOf } from "../format/logged_message.ts";
import { scheduleSubject } from "../format/names.ts";
import { PublishLane } from "./publish_lane.ts";
import { Publication, type PublicationHost, PublishBacklog } from "./publication.ts";
import type { LaneParts } from "./publication_group.ts";
import { RecordedMessages, type RecordedMessagesOptions } from "./recorded_messages.ts";
import { ScheduleStore } from "./schedule_store.ts";
import { StreamMessages, type StreamMessagesOptions, unstored } from "./stream_message.ts";

/** Options of a {@link Publisher}. */
export interface PublisherOptions extends StreamMessagesOptions {
  /** The node, whose drain waits for all publications. */
  readonly host: PublicationHost;
  /** The stream of the log. */
  readonly source: LaneParts["source"];
  /** Gets an event for each message of the stream that was stored, while `hooks.watched` is true. */
  readonly observer: Observer;
  readonly hooks: LaneParts["hooks"];
  /** Maximum number of messages that wait or are being sent; default 262,144. */
  readonly maxWaiting?: number | undefined;
}

/**
 * Publishes the messages of one process.
 * @decides `publish` and `enqueue` put a message into the queue (lane) of its contract, or of its schedule
 */
export class Publisher {
  readonly #options: PublisherOptions;
  readonly #messages: StreamMessages;
  readonly #backlog: PublishBacklog;
  /** Parts that all queues share. */
  readonly #laneParts: LaneParts;
  /** Queues of messages to publish, by contract name. */
  readonly #lanes = new Map<string, PublishLane>();
  /** Queues of scheduled messages, by subject. */
  readonly #schedules = new Map<string, PublishLane>();

  constructor(options: PublisherOptions) {
    this.#options = options;
    const { clock, source, observer, hooks } = options;
    this.#messages = new StreamMessages(options);
    this.#backlog = new PublishBacklog(options.maxWaiting);
    const schedules = new ScheduleStore(options);
    this.#laneParts = { clock, source, observer, hooks, messages: this.#messages, schedules };
  }

  /** Publishes a message. Resolves with ok when it is stored. Never rejects. */
  publish(message: DurableMessage): Promise<Result<void>> {
    const { contract, key, timeout, signal, schedule, parent } = message;
    const id = message.meta?.id;
    if (this.#backlog.isFull) {
      const why = `${this.#backlog.messages} messages of this process wait for the log already`;
      return failed(unstored("OVERLOADED", contract, why));
    }
    const item = this.#messages.encodeItem(message);
    if (typeof item !== "string") return failed(item);
    const planned = schedule === undefined ? undefined : this.#messages.planSchedule(contract, schedule, id);
    const lane = planned === undefined ? this.#contractLane(contract.name) : this.#scheduleLane(planned.subject);
    const parts = { contract, item, id, key, keep: keepOf(contract), planned, timeout, signal, parent };
    const publication = new Publication(this.#options.host, this.#backlog, lane, parts);
    lane.add(publication);
    return publication.result;
  }

  /** Makes the part of the publisher that stores what outboxes have recorded. `kept`: as of its options. */
  recorded(kept: RecordedMessagesOptions["kept"]): RecordedMessages {
    const { namespace, source } = this.#options;
    return new RecordedMessages({ namespace, source, kept, messages: this.#messages });
  }

  /**
   * Takes back a schedule, so that it does not fire. Resolves with true if it will not fire; with false if it has
   * fired or never existed. Rejects with a `CatgaError`. `limit`: time limit in ms, a minute at most.
   */
  unschedule({ name }: AnyContract, id: string, limit: number): Promise<boolean> {
    return this.#laneParts.schedules.takeBack(scheduleSubject(this.#options.namespace, name, id), limit);
  }

  /** Returns the queue of a contract, making it if needed. */
  #contractLane(contract: string): PublishLane {
    let lane = this.#lanes.get(contract);
    if (lane === undefined) this.#lanes.set(contract, lane = new PublishLane(this.#laneParts));
    return lane;
  }

  /** Returns the queue of a schedule, making it if needed. It is removed when it is empty: schedules have no limit. */
  #scheduleLane(subject: string): PublishLane {
    let lane = this.#schedules.get(subject);
    if (lane === undefined) {
      lane = new PublishLane(this.#laneParts, () => this.#schedules.delete(subject));
      this.#schedules.set(subject, lane);
    }
    return lane;
  }
}

function failed(error: CatgaError): Promise<Result<void>> {
  return Promise.resolve({ ok: false, error });
}
