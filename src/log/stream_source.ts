/** Opens a stream of the log when it is first needed, and makes it anew after it was lost. */
import { openStream } from "./format/streams.ts";
import type { StreamKind } from "./format/stream_name.ts";
import type { LogHost } from "./log_host.ts";
import type { LogStream } from "../ports/event_log.ts";

/** A stream of a node's log, opened when first needed. */
export class StreamSource {
  readonly #host: Pick<LogHost, "namespace" | "replicas" | "clock" | "log">;
  readonly #kind: StreamKind;
  #stream: LogStream | undefined;
  #opening: Promise<LogStream> | undefined;
  readonly #seen: (() => Promise<number>) | undefined;
  /** Time of the last check if the stream still exists, by the monotonic clock. */
  #checked = -Infinity;

  /**
   * Opens nothing yet. `seen`: returns a sequence of the stream that other processes have seen, above which a new
   * stream must begin.
   */
  constructor(
    host: Pick<LogHost, "namespace" | "replicas" | "clock" | "log">,
    kind: StreamKind,
    seen?: () => Promise<number>,
  ) {
    this.#host = host;
    this.#kind = kind;
    this.#seen = seen;
  }

  /** Returns the opened stream. Rejects like `EventLog.open`; the next call tries again. */
  get(): LogStream | Promise<LogStream> {
    return this.#stream ?? this.#open();
  }

  /** Returns the stream after a failure. Makes the stream anew if it was lost; checks that at most once a second. */
  again(): LogStream | Promise<LogStream> {
    const stream = this.#stream;
    if (stream === undefined) return this.#open();
    const now = this.#host.clock.monotonic();
    if (now - this.#checked < CHECK) return stream;
    this.#checked = now;
    return stream.state().then(async (state) => {
      if (state === undefined) await this.#open();
      return stream;
    });
  }

  #open(): Promise<LogStream> {
    return this.#opening ??= openStream(this.#host, this.#kind, this.#seen)
      .then((stream) => {
        this.#checked = this.#host.clock.monotonic();
        return this.#stream ??= stream;
      })
      .finally(() => this.#opening = undefined);
  }
}

/** Minimum interval between checks that the stream exists, in ms. */
const CHECK = 1_000;
