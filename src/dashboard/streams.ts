/**
 * Sends data to the connected browsers, as server-sent events: each topic whole, only when it has changed, and all
 * present topics to a browser that connects. While no browser is connected, nothing is collected.
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
  /** Returns the data that a browser gets in addition to topics when it connects. */
  history(): Topics["history"];
  /** Called when the first browser has connected. */
  onLook(): void;
  /** Called when the last browser has left. */
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

  /** Number of connected browsers. */
  get size(): number {
    return this.#open.size;
  }

  /** Adds a browser. Returns false if there are too many. The caller has written the head of the response. */
  add(response: StreamResponse): boolean {
    if (this.#open.size >= MAX_BROWSERS) return false;
    this.#open.add(response);
    response.write(`retry: 1000\n\n${message("hello", JSON.stringify(this.#options.hello()))}`);
    response.write(message("history", JSON.stringify(this.#options.history())));
    for (const [topic, text] of this.#last) response.write(message(topic, text));
    if (this.#open.size === 1) {
      // the heartbeat shows the page that the connection is alive
      this.#heartbeat = setInterval(() => this.#write(message("beat", `${Date.now()}`)), HEARTBEAT);
      this.#options.onLook();
    }
    return true;
  }

  /** Removes a browser. Idempotent. */
  remove(response: StreamResponse): void {
    if (!this.#open.delete(response) || this.#open.size > 0) return;
    clearInterval(this.#heartbeat);
    this.#last.clear();
    this.#options.onLeave();
  }

  /** Sends a topic to all browsers, unless it has not changed. */
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

  /** Ends all connections. */
  close(): void {
    for (const response of [...this.#open]) {
      this.remove(response);
      response.end();
    }
  }

  #write(text: string): void {
    for (const response of [...this.#open]) {
      if (response.writableLength <= MOST_UNREAD) response.write(text);
      else { // the browser reconnects when it can
        this.remove(response);
        response.destroy();
      }
    }
  }
}

/** Maximum number of connected browsers. */
const MAX_BROWSERS = 32;
/** Maximum number of bytes that wait for one browser. */
const MOST_UNREAD = 16 * 1_048_576;
const HEARTBEAT = 2_000; // ms

function message(topic: string, json: string): string {
  return `event: ${topic}\ndata: ${json}\n\n`;
}
