/** What an app logs, at which level: a line for people, and fields for programs. */

/**
 * The fields of a log line: `node`, the id of the node that logs; `type`, that of the {@link Observation}; and the observation's
 * other fields, with its own `node` as `peer`. An error is in `error`.
 */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Where an app logs to; `console` is one. Every message is one line and begins with `catga <node id>:`; control characters
 * from other processes are escaped in it (docs/security.md), and are not in the fields. What a method throws goes to the
 * console.
 *
 * @example
 * ```ts
 * import { catga, type Logger } from "@catga/catga";
 *
 * const line = (level: string) => (message: string, fields: object) =>
 *   console.log(JSON.stringify({ level, message, ...fields }));
 * const logger: Logger = { debug() {}, info: line("info"), warn: line("warn"), error: line("error") };
 * await using app = await catga({ logger });
 * ```
 */
export interface Logger {
  /** Each retry, each frame that bounced, and each wait for a lock. */
  debug(message: string, fields: LogFields): void;
  /** Nodes that join, leave, or stop answering; breakers that open and close. */
  info(message: string, fields: LogFields): void;
  /**
   * A connection that was lost, and its return; a first one that is waited for; what NATS forbids; messages that are malformed, events that were dropped
   * because too many wait, records of nodes that were passed over (each once a minute at most); and bounces that do not arrive.
   */
  warn(message: string, fields: LogFields): void;
  /** What a handler threw, and what failed in the background: `fields.error`. */
  error(message: string, fields: LogFields): void;
}
