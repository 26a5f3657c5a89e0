/**
 * The browsers that are connected, as server-sent events: each topic whole, only when it has changed, and to a browser
 * that connects what there is now. While none is connected, nothing is collected.
 */
import type { Hello, Topic, Topics } from "./view.ts";

/** A response that stays open. */
export interface StreamResponse {
  write(text: string): boolean;
  end(): void;
  destroy(): void;
  /** Bytes that the browser has not taken yet. */
  readonly writableLength: number;
}

/** Options of {@link Streams}. */
export interface StreamsOptions {
  hello(): Hello;
  /** What a browser gets that topics do not have. */
  history(): Topics["history"];
  /** The first browser has connected; the last one has left. */
  onLook(): void;
  onLeave(): void;
}

/** The open streams. */
export class Streams {
  readonly #options: StreamsOptions;
  readonly #open = new Set<StreamResponse>();
  readonly #last = new Map<Topic, string>();
  #heartbeat: ReturnType<typeof setInterval> | undefined;

  constructor(options: StreamsOptions) {
    this.#options = options;
  }

  /** How many browsers are connected. */
  get size(): number {
    return this.#open.size;
  }

  /** Adds a browser; `false`: there are too many. The caller has written the head of the response. */
  add(response: StreamResponse): boolean {
    if (this.#open.size >= MAX_BROWSERS) return false;
    this.#open.add(response);
    response.write(`retry: 1000\n\n${message("hello", JSON.stringify(this.#options.hello()))}`);
    response.write(message("history", JSON.stringify(this.#options.history())));
    for (const [topic, text] of this.#last) response.write(message(topic, text));
    if (this.#open.size === 1) {
      // tells the page that the connection is alive
      this.#heartbeat = setInterval(() => this.#write(message("beat", `${Date.now()}`)), HEARTBEAT);
      this.#options.onLook();
    }
    return true;
  }

  /** Removes one. Idempotent. */
  remove(response: StreamResponse): void {
    if (!this.#open.delete(response) || this.#open.size > 0) return;
    clearInterval(this.#heartbeat);
    this.#last.clear();
    this.#options.onLeave();
  }

  /** Sends a topic to all, unless it is what they have. */
  send<T extends Exclude<Topic, "hello" | "history" | "points">>(topic: T, value: Topics[T]): void {
    if (this.#open.size === 0) return;
    const text = JSON.stringify(value);
    if (this.#last.get(topic) === text) return;
    this.#last.set(topic, text);
    this.#write(message(topic, text));
  }

  /** Sends the next points of the graphs to all; a browser that connects later gets them with the history. */
  sendPoints(points: Topics["points"]): void {
    this.#write(message("points", JSON.stringify(points)));
  }

  /** Ends all. */
  close(): void {
    for (const response of [...this.#open]) {
      this.remove(response);
      response.end();
    }
  }

  #write(text: string): void {
    for (const response of [...this.#open]) {
      if (response.writableLength <= MOST_UNREAD) response.write(text);
      else { // it connects again when it can
        this.remove(response);
        response.destroy();
      }
    }
  }
}

/** Browsers at once. */
const MAX_BROWSERS = 32;
/** Bytes that wait for one browser. */
const MOST_UNREAD = 16 * 1_048_576;
const HEARTBEAT = 2_000; // ms

function message(topic: string, json: string): string {
  return `event: ${topic}\ndata: ${json}\n\n`;
}
