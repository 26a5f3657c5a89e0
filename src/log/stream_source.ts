/** A stream of the log: opened when it is first needed, and made again when it was lost. */
import type { LogStream } from "../ports/event_log.ts";
import { type StreamKind, streamName, streamOptions } from "./format/streams.ts";
import type { LogHost } from "./log_host.ts";

/** A stream of a node's log. */
export class StreamSource {
  readonly #host: Pick<LogHost, "namespace" | "replicas" | "clock" | "log">;
  readonly #kind: StreamKind;
  #stream: LogStream | undefined;
  #opening: Promise<LogStream> | undefined;
  readonly #seen: (() => Promise<number>) | undefined;
  /** When it was last made sure that the stream is there, by the monotonic clock. */
  #checked = -Infinity;

  /** Opens nothing yet. `seen`: see `LogOptions`. */
  constructor(
    host: Pick<LogHost, "namespace" | "replicas" | "clock" | "log">,
    kind: StreamKind,
    seen?: () => Promise<number>,
  ) {
    this.#host = host;
    this.#kind = kind;
    this.#seen = seen;
  }

  /** The stream, opened. Rejects as `EventLog.open` does; the next call tries again. */
  get(): LogStream | Promise<LogStream> {
    return this.#stream ?? this.#open();
  }

  /** The stream after a failure: makes it again if it was lost, asking once a second at most. */
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
    const { log, namespace, replicas, clock } = this.#host;
    const options = { ...streamOptions(namespace, this.#kind, replicas), seen: this.#seen };
    return this.#opening ??= log.open(streamName(namespace, this.#kind), options)
      .then((stream) => {
        this.#checked = clock.monotonic();
        return this.#stream ??= stream;
      })
      .finally(() => this.#opening = undefined);
  }
}

/** How often a failure has the stream looked for, in ms. */
const CHECK = 1_000;
