/** The port {@link EventLog} on NATS: streams of JetStream. */
import type { EventLog, LogOptions, LogStream } from "../ports/event_log.ts";
import { checkLog } from "../ports/log_checks.ts";
import { JetStream } from "./jetstream.ts";
import { NatsLogStream } from "./log_stream.ts";
import type { NatsTransport } from "./transport.ts";

/** The streams of one NATS. Closing the transport closes them. */
export class NatsEventLog implements EventLog {
  readonly #transport: NatsTransport;
  readonly #js: JetStream;

  constructor(transport: NatsTransport) {
    this.#transport = transport;
    this.#js = new JetStream(transport);
  }

  async open(name: string, options: LogOptions): Promise<LogStream> {
    checkLog(name, options);
    const stream = new NatsLogStream(this.#transport, this.#js, name, options);
    await stream.open();
    return stream;
  }
}
