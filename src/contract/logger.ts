/** Lines for people and fields for programs: what an app logs, at which level. */

/**
 * What a line says, for programs: `node`, the id of the node that logs; `type`, which is one of {@link Observation}; and what
 * else that has, its own `node` as `peer`. What failed is `error`.
 */
export type LogFields = Readonly<Record<string, unknown>>;

/**
 * Where an app logs to; `console` is one. Every message begins with `catga <node id>:` and is one line, in which nothing of
 * other processes moves a cursor or hides (docs/security.md); its fields say the same for programs, as it came. What a method throws goes to the console.
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
  /** Each retry, each frame that reached nobody, and each wait for a lock. */
  debug(message: string, fields: LogFields): void;
  /** Nodes that come, go, or stop answering; breakers that open and close. */
  info(message: string, fields: LogFields): void;
  /**
   * A connection that was lost, and when it is there again; what NATS forbids, what arrived malformed, events that were
   * dropped because too many wait, records of nodes that were passed over (each once a minute at most), and bounces that do not come back.
   */
  warn(message: string, fields: LogFields): void;
  /** What a handler threw, and what failed in the background: `fields.error`. */
  error(message: string, fields: LogFields): void;
}
