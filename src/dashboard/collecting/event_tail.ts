/**
 * The newest events for the page: the last durable events, read from the log, and events that are not durable, received
 * when nodes publish them. Events that come faster than the page can show them are left out, and counted.
 */
import { shownPayload } from "../../contract/declaration/redaction.ts";
import { eventSubject } from "../../contract/nodes/subjects.ts";
import { readEventFrame } from "../../cluster/wire/frame_reader.ts";
import { payloadOf } from "../../log/format/logged_message.ts";
import { isReadable, readGroup } from "../../log/format/group.ts";
import { messagePattern } from "../../log/format/names.ts";
import type { LogStream } from "../../ports/event_log.ts";
import type { Subscription, Transport } from "../../ports/transport.ts";
import { shownId, shownText, shownValue } from "../shown.ts";
import type { EventsView, EventView } from "../view.ts";

/**
 * The newest events of a namespace, the last one first.
 * @decides events as they are published, and how many are skipped
 */
export class EventTail {
  readonly #namespace: string;
  readonly #showSecrets: boolean;
  #events: EventView[] = [];
  #read: number | undefined;
  #created = "";
  #n = 0;
  #left = 0;
  /** Number of events that may still be accepted in the present second. */
  #room = A_SECOND;

  /** `showSecrets`: true to show payloads with the members that contracts hide by `redact`. */
  constructor(namespace: string, showSecrets = false) {
    this.#namespace = namespace;
    this.#showSecrets = showSecrets;
  }

  get view(): EventsView {
    return { shown: this.#events, left: this.#left };
  }

  /** Begins a new second of the limit for events. */
  tick(): void {
    this.#room = A_SECOND;
  }

  /**
   * Reads the messages that the log has stored since the last call; at the first call, the last messages of the log.
   */
  async read(stream: LogStream): Promise<void> {
    const state = await stream.state();
    if (state === undefined) return;
    if (state.created !== this.#created) [this.#created, this.#read] = [state.created, undefined];
    const from = Math.max(state.first, (this.#read ?? 0) + 1, state.last - MAX_BATCH + 1);
    if (this.#read !== undefined) this.#left += Math.max(0, from - Math.max(this.#read + 1, state.first));
    this.#read = from - 1;
    if (from > state.last) return;
    const messages = await stream.read(messagePattern(this.#namespace, stream.name), { from, most: MAX_BATCH });
    // the next read begins after the last message that was read: the server that answered may lack messages that the
    // state counts
    this.#read = messages.at(-1)?.sequence ?? this.#read;
    for (const message of messages) {
      const group = readGroup(this.#namespace, message);
      if (!isReadable(group)) continue;
      for (const { category, id, key, payload, tagged, meta, time } of group) {
        this.#take(() => ({
          at: time,
          durable: true,
          name: shownText(category),
          id: shownId(id),
          key: key === undefined ? undefined : shownId(key),
          from: "",
          payload: this.#shown(payloadOf({ payload, tagged }), category, meta?.h),
        }));
      }
    }
  }

  /** Accepts events that are not durable, until the returned subscription is closed. */
  listen(transport: Pick<Transport, "subscribe" | "clock">): Subscription {
    const prefix = eventSubject(this.#namespace);
    return transport.subscribe(`${prefix}>`, {}, ({ subject, data }) => {
      if (this.#room <= 0) return void this.#left++;
      let frame;
      try {
        frame = readEventFrame(data);
      } catch {
        return; // a message that is no event is ignored
      }
      const { sender, meta: { seq, id, headers }, payloads } = frame;
      const name = subject.slice(prefix.length);
      for (const [index, payload] of (payloads.length === 0 ? [undefined] : payloads).entries()) {
        this.#take(() => ({
          at: transport.clock.now(),
          durable: false,
          name: shownText(name),
          id: shownId(id ?? `${sender}.e${seq}.${index}`),
          key: undefined,
          from: shownText(sender.split(".")[0]),
          payload: this.#shown(payload, name, headers),
        }));
      }
    });
  }

  #shown(payload: unknown, contract: string, headers: Readonly<Record<string, string>> | undefined): string {
    return shownValue(shownPayload(payload, { contract, headers }, this.#showSecrets), MAX_PAYLOAD);
  }

  #take(event: () => Omit<EventView, "n">): void {
    if (this.#room <= 0) return void this.#left++;
    this.#room--;
    this.#events = [{ n: ++this.#n, ...event() }, ...this.#events.slice(0, MAX_EVENTS - 1)];
  }
}

/** Maximum number of events that the page shows. */
const MAX_EVENTS = 200;
/** Maximum number of events that are accepted in one second. */
const A_SECOND = 100;
/** Maximum number of messages of the log that are read at once. */
const MAX_BATCH = 100;
/** Maximum length of a payload that the page shows, in characters. */
const MAX_PAYLOAD = 1_000;
