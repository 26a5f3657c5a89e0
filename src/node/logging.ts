import type { Observation, Observer } from "../contract/observer.ts";
import { printable } from "../data/printable.ts";
import { isThenable } from "../contract/schema.ts";
import type { LogFields, Logger } from "../contract/logger.ts";

/** Warnings and errors to the console; the default. */
export const consoleWarnings: Logger = Object.freeze({
  debug() {},
  info() {},
  warn: (message: string) => console.warn(message),
  error: (message: string, { error }: LogFields) => console.error(message, error),
});

/** An observer that writes a line for each observation, at the level that it deserves. */
export function logTo(logger: Logger, node: string): Observer {
  return (seen) => {
    // where it is called from, nobody expects it: it would take requests and connections along
    const failed = (error: unknown) => console.error(`catga ${node}: the logger threw`, error);
    try {
      const [level, text] = lineOf(seen);
      const logged: unknown = logger[level](`catga ${node}: ${printable(text)}`, fieldsOf(seen, node));
      if (isThenable(logged)) Promise.resolve(logged).catch(failed);
    } catch (error) {
      failed(error);
    }
  };
}

function fieldsOf(seen: Observation, node: string): LogFields {
  if (!("node" in seen)) return { node, ...seen };
  // headers may hold what should be in no log
  const { node: peer, headers: _, ...rest } = seen as typeof seen & { readonly headers?: unknown };
  return { node, peer, ...rest };
}

function lineOf(seen: Observation): [level: keyof Logger, text: string] {
  switch (seen.type) {
    case "handler-failed":
      return ["error", `the handler of ${seen.contract} threw (message ${seen.id})`];
    case "fault":
      return ["error", `${seen.during} failed`];
    case "malformed":
      return ["warn", `dropped ${seen.count} malformed message(s), the last on ${seen.subject}: ${seen.reason}`];
    case "connection":
      if (seen.state === "connected") return ["warn", "connected to the network again"]; // who read that it was lost
      return [
        "warn",
        seen.state === "closed" ? "the network connection is closed" : "lost the network, reconnecting",
      ];
    case "no-bounces":
      return [
        "warn",
        "a message to nobody does not come back: somebody subscribes to all subjects of this namespace (a tap, a stream). " +
        "Nodes that die are noticed later; let it subscribe to the event subjects alone",
      ];
    case "forbidden":
      return [
        "warn",
        `NATS does not let this node ${seen.operation} to ${seen.subject}: give its user the permissions in docs/security.md`,
      ];
    case "crowded":
      return [
        "warn",
        seen.members > 0
          ? `passed over ${seen.members} node(s): the view is full`
          : `passed over ${seen.unproven} record(s) of nodes: too many have not answered a ping yet. See who may write to the ` +
            "bucket of the nodes (docs/security.md)",
      ];
    case "event-dropped":
      return ["warn", `dropped ${seen.count} event(s) ${seen.contract}: too many wait for their handlers`];
    case "gone":
      return ["info", `process ${seen.endpoint} is gone with ${seen.inHand} request(s) in hand`];
    case "node":
      return ["info", `node ${seen.node}: ${seen.change}`];
    case "breaker":
      return ["info", `the breaker for node ${seen.node} is ${seen.state}`];
    case "notice":
      return ["info", seen.text];
    case "retry":
      return ["debug", `${seen.contract} goes on from ${seen.node} (${seen.reason}), attempt ${seen.attempt}`];
    case "bounce":
      return ["debug", `nobody there at ${seen.endpoint}`];
    case "lock-wait": {
      const what = seen.code === undefined ? "waited" : `waited in vain (${seen.code})`;
      return ["debug", `${what} ${Math.round(seen.ms)} ms for lock ${seen.key}`];
    }
  }
}
