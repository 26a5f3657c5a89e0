/** One typed sink for what happens inside an app and has no caller to be told: logs listen to it, metrics and tests too. */

/** Something that happened. */
export type Observation =
  /** A handler threw; the caller has `HANDLER_FAILED`. */
  | { readonly type: "handler-failed"; readonly contract: string; readonly id: string; readonly error: unknown }
  /** A request was not delivered, or refused, and goes on to another node. */
  | {
    readonly type: "retry";
    readonly contract: string;
    readonly node: string;
    readonly reason: string;
    readonly attempt: number;
  }
  /** A frame of ours reached nobody. */
  | { readonly type: "bounce"; readonly endpoint: string }
  /** Frames to nobody do not come back: somebody subscribes to every subject. */
  | { readonly type: "no-bounces" }
  /** The breaker of the way to a node has moved. */
  | { readonly type: "breaker"; readonly node: string; readonly state: "closed" | "open" | "half-open" }
  /** An event was dropped: so many wait for their handlers already. */
  | { readonly type: "event-dropped"; readonly contract: string }
  /** A process is taken to be gone with what it had in hand. */
  | { readonly type: "gone"; readonly endpoint: string; readonly inHand: number }
  /** Bytes that are no frame arrived, `count` of them since the last such observation. */
  | { readonly type: "malformed"; readonly subject: string; readonly reason: string; readonly count: number }
  /** The connection was lost, or is there again. */
  | {
    readonly type: "connection";
    readonly state: "connected" | "disconnected" | "closed";
    readonly generation: number;
  }
  /** A node came, changed or went. */
  | { readonly type: "node"; readonly change: "join" | "update" | "leave" | "suspect" | "alive"; readonly node: string }
  /** Something that should not happen went wrong in the background; the app goes on. */
  | { readonly type: "fault"; readonly during: string; readonly error: unknown };

/** Takes observations. Must not throw. */
export type Observer = (observation: Observation) => void;

/** Where an app logs to; `console` is one. Every message begins with `catga <node id>:`. What a method throws goes to the console. */
export interface Logger {
  /** Each retry, and each frame that reached nobody. */
  debug(message: string, ...more: unknown[]): void;
  /** Nodes that come, go, or stop answering; breakers that open and close; connections that were made again. */
  info(message: string, ...more: unknown[]): void;
  /**
   * A connection that was lost, what arrived malformed (once a minute at most), bounces that do not come back, and an event
   * that was dropped because too many wait.
   */
  warn(message: string, ...more: unknown[]): void;
  /** What a handler threw, and what failed in the background; the error is the second argument. */
  error(message: string, ...more: unknown[]): void;
}

/** Warnings and errors to the console; the default. */
export const consoleWarnings: Logger = Object.freeze({
  debug() {},
  info() {},
  warn: (message: string, ...more: unknown[]) => console.warn(message, ...more),
  error: (message: string, ...more: unknown[]) => console.error(message, ...more),
});

/** An observer that writes a line for each observation, at the level that it deserves. */
export function logTo(logger: Logger, node: string): Observer {
  const at = `catga ${node}:`;
  const write = (seen: Observation): void => {
    switch (seen.type) {
      case "handler-failed":
        return logger.error(`${at} the handler of ${seen.contract} threw (message ${seen.id})`, seen.error);
      case "fault":
        return logger.error(`${at} ${seen.during} failed`, seen.error);
      case "malformed":
        return logger.warn(
          `${at} dropped ${seen.count} malformed message(s), the last on ${seen.subject}: ${seen.reason}`,
        );
      case "connection":
        return seen.state === "connected" ? logger.info(`${at} connected to the network`) : logger.warn(
          `${at} ${seen.state === "closed" ? "the network connection is closed" : "lost the network, reconnecting"}`,
        );
      case "gone":
        return logger.info(`${at} process ${seen.endpoint} is gone with ${seen.inHand} request(s) in hand`);
      case "node":
        return logger.info(`${at} node ${seen.node}: ${seen.change}`);
      case "retry":
        return logger.debug(
          `${at} ${seen.contract} goes on from ${seen.node} (${seen.reason}), attempt ${seen.attempt}`,
        );
      case "no-bounces":
        return logger.warn(
          `${at} a message to nobody does not come back: somebody subscribes to all subjects of this namespace (a tap, a stream). ` +
            `Nodes that die are noticed later; let it subscribe to the event subjects alone`,
        );
      case "breaker":
        return logger.info(`${at} the breaker for node ${seen.node} is ${seen.state}`);
      case "event-dropped":
        return logger.warn(`${at} dropped an event ${seen.contract}: too many wait for their handlers`);
      case "bounce":
        return logger.debug(`${at} nobody there at ${seen.endpoint}`);
    }
  };
  return (seen) => {
    try {
      write(seen);
    } catch (error) {
      // where it is called from, nobody expects it: it would take requests and connections along
      console.error(`${at} the logger threw`, error);
    }
  };
}
