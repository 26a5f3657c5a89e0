/**
 * Sends data to the connected browsers, as server-sent events. Each topic is sent whole, and only when it has
 * changed; a browser that connects gets all present topics. While no browser is connected, no data are collected.
 */
import type { Hello, Topic, Topics } from "../view.ts";

/** An HTTP response that stays open, to a browser. */
export interface StreamResponse {
  write(text: string): boolean;
  end(): void;
  destroy(): void;
  /** Number of bytes that the browser has not taken yet. */
  readonly writableLength: number;
}

/** Options of {@link Streams}. */
export interface StreamsOptions {
  hello(): Hello;
  /** Returns the data that a browser gets once, in addition to topics, when it connects. */
  history(): Topics["history"];
  /** Called when the first browser has connected. */
  onLook(): void;
  /** Called when the last browser has disconnected. */
  onLeave(): void;
}

/** Sends topics over the open responses to all connected browsers. */
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

  /**
   * Adds the response to a browser. Returns false if too many browsers are connected. The caller has written the head
   * of the response.
   */
  add(response: StreamResponse): boolean {
    if (this.#open.size >= MAX_BROWSERS) return false;
    this.#open.add(response);
    response.write(`retry: 1000\n\n${message("hello", JSON.stringify(this.#options.hello()))}`);
    response.write(message("history", JSON.stringify(this.#options.history())));
    for (const [topic, text] of this.#last) response.write(message(topic, text));
    if (this.#open.size === 1) {
      // a heartbeat, so that the page knows that the connection is alive
      this.#heartbeat = setInterval(() => this.#write(message("beat", `${Date.now()}`)), HEARTBEAT);
      this.#options.onLook();
    }
    return true;
  }

  /** Removes the response to a browser. Idempotent. */
  remove(response: StreamResponse): void {
    if (!this.#open.delete(response) || this.#open.size > 0) return;
    clearInterval(this.#heartbeat);
    this.#last.clear();
    this.#options.onLeave();
  }

  /** Sends a topic to all browsers, unless its value has not changed. */
  send<T extends Exclude<Topic, "hello" | "history" | "points">>(topic: T, value: Topics[T]): void {
    if (this.#open.size === 0) return;
    const text = JSON.stringify(value);
    if (this.#last.get(topic) === text) return;
    this.#last.set(topic, text);
    this.#write(message(topic, text));
  }

  /** Sends the next points of the graphs to all browsers. A browser that connects later gets them with the history. */
  sendPoints(points: Topics["points"]): void {
    this.#write(message("points", JSON.stringify(points)));
  }

  /** Ends the responses to all browsers. */
  close(): void {
    for (const response of [...this.#open]) {
      this.remove(response);
      response.end();
    }
  }

  #write(text: string): void {
    for (const response of [...this.#open]) {
      if (response.writableLength <= MAX_UNSENT_BYTES) response.write(text);
      else { // too much waits for this browser: it is disconnected, and reconnects when it can
        this.remove(response);
        response.destroy();
      }
    }
  }
}

/** Maximum number of connected browsers. */
const MAX_BROWSERS = 32;
/** Maximum number of bytes that may wait for one browser. */
const MAX_UNSENT_BYTES = 16 * 1_048_576;
const HEARTBEAT = 2_000; // ms

function message(topic: string, json: string): string {
  return `event: ${topic}\ndata: ${json}\n\n`;
}
