/**
 * The log of an app: turns each observation into one line and one record of fields.
 * @decides the level and text of each log line
 */
import { NEARLY_FULL, removedText, splitText } from "../contract/nodes/alarms.ts";
import type { LogFields, Logger, Observation, Observer } from "../contract/nodes/observer.ts";
import { logThrown } from "../data/cause_text.ts";
import { messageLabel, printable } from "../data/printable.ts";
import { isThenable } from "../data/checks.ts";
import { isCatgaError } from "../error.ts";
import { type Clock, OnceAMinute } from "../ports/clock.ts";

/** The default logger: warnings and errors go to the console. */
export const consoleWarnings: Logger = Object.freeze({
  debug() {},
  info() {},
  warn: (message: string) => console.warn(message),
  error: (message: string, fields: LogFields) =>
    "error" in fields ? logThrown(message, fields.error) : console.error(message),
});

/** Makes an observer that logs each observation, at the level that fits it. */
export function logTo(logger: Logger, node: string, clock: Pick<Clock, "monotonic">): Observer {
  let isLost = false;
  const outages = new OnceAMinute(clock);
  return (seen) => {
    // the logger's exception is caught, because it would end the request, or the connection, that was observed
    const failed = (error: unknown) => logThrown(`catga ${node}: the logger threw`, error);
    try {
      // counts for metrics, which are not logged
      if (seen.type === "stored" || seen.type === "handled" || seen.type === "skipped") return;
      if (seen.type === "connection") isLost = seen.state === "disconnected";
      const [own, text] = lineOf(seen);
      // every operation that needs the lost connection, or the stream that does not answer, fails with the same cause:
      // one line about it is enough
      const outage = seen.type === "fault" ? OUTAGE.exec(text) : null;
      const isKnown = outage !== null && (isLost || !outages.due(outage[1]));
      const level = isKnown || (seen.type === "fault" && isOfClosed(seen.error)) ? "debug" : own;
      const logged: unknown = logger[level](`catga ${node}: ${printable(text)}`, fieldsOf(seen, node));
      if (isThenable(logged)) Promise.resolve(logged).catch(failed);
    } catch (error) {
      failed(error);
    }
  };
}

/**
 * Matches the log line of a failure whose cause is an outage: a stream or bucket is out of reach, or a message was not
 * run.
 */
const OUTAGE = /\((?:UNAVAILABLE|OUTCOME_UNKNOWN): (?:.*?\b(?:stream|bucket) |(?:command|event|query) )?([^\s:]+)/;

/**
 * Returns true if the error says that the connection to NATS is closed: the node is stopping, or its end has been
 * logged as "running this node failed".
 */
function isOfClosed(error: unknown): boolean {
  return isCatgaError(error) && error.code === "CLOSED" && error.message === "the connection to NATS is closed";
}

function fieldsOf(seen: Observation, node: string): LogFields {
  if (!("node" in seen)) return { node, ...seen };
  // headers may hold secrets, so they are not logged
  const { node: peer, headers: _, ...rest } = seen as typeof seen & { readonly headers?: unknown };
  return { node, peer, ...rest };
}

type LoggedLine = readonly [level: keyof Logger, text: string];
const debug = (text: string): LoggedLine => ["debug", text];
const info = (text: string): LoggedLine => ["info", text];
const warn = (text: string): LoggedLine => ["warn", text];
const error = (text: string): LoggedLine => ["error", text];

function lineOf(seen: Exclude<Observation, { type: "stored" | "handled" | "skipped" }>): LoggedLine {
  switch (seen.type) {
    case "handler-failed": {
      const what = seen.behavior
        ? "a behavior around"
        : seen.schema
        ? `the ${seen.schema} schema of`
        : "the handler of";
      return error(`${what} ${seen.contract} threw (${messageLabel(seen.id, seen.correlationId)})`);
    }
    case "fault":
      // the stack shows only where Catga noticed the outage: log a line without it
      return isCatgaError(seen.error) && /^(?:UNAVAILABLE|OUTCOME_UNKNOWN)$/.test(seen.error.code)
        ? warn(`${seen.during} failed (${seen.error.code}: ${seen.error.message})`)
        : error(`${seen.during} failed`);
    case "malformed":
      return warn(`dropped ${seen.count} malformed message(s), the last on ${seen.subject}: ${seen.reason}`);
    case "connection":
      if (seen.state === "connected") return warn("connected to the network again"); // a warning, as for the loss
      return warn(seen.state === "closed" ? "the network connection is closed" : "lost the network, reconnecting");
    case "unreachable":
      return warn(`waiting for NATS at ${seen.address}: ${seen.reason}`);
    case "no-bounces":
      return warn(
        "a message to nobody does not come back: something subscribes to all subjects of this namespace (a tap, a stream). " +
          "Dead nodes are noticed later; let it subscribe to the event subjects only",
      );
    case "island":
      return warn(
        "nats is undefined: this node runs alone, in memory. Set what `nats` is read from, or leave `nats` out to run in memory",
      );
    case "forbidden":
      return warn(
        `NATS does not let this node ${seen.operation} to ${seen.subject}, and maybe others like it: give its user the ` +
          "permissions (`catga docs security#permissions`)",
      );
    case "crowded":
      return warn(
        seen.members > 0
          ? `passed over ${seen.members} node(s): the view is full`
          : `passed over ${seen.unproven} record(s) of nodes: too many nodes have not answered a ping yet. Check who may write to ` +
            "the bucket of the nodes (`catga docs security#permissions`)",
      );
    case "event-dropped":
      return warn(`dropped ${seen.count} event(s) ${seen.contract}: too many wait for their handlers`);
    case "subscription": {
      const advice = ADVICE[seen.state];
      const reason = seen.reason === undefined ? "" : `: ${seen.reason}`;
      return [
        advice === undefined || seen.state === "existing" ? "info" : "warn",
        `subscription ${seen.subscription} ${STATES[seen.state]}${reason}${advice ?? ""}`,
      ];
    }
    case "log-lost":
      return error(
        seen.count === undefined
          ? `${
            LOSSES[seen.reason]
          }: subscription ${seen.subscription} had read up to sequence ${seen.after} and goes on at ` +
            `${seen.next}. ${
              seen.reason === "expired"
                ? "Messages of its contracts in that range are lost to it: publish these again"
                : "It has lost the messages between: publish those again that have to be handled"
            }`
          : `${seen.count} message(s) of subscription ${seen.subscription} that were not handled are no longer in the log: publish ` +
            "again what has to be handled",
      );
    case "run-stuck":
      return error(
        `run ${seen.run} of ${seen.workflow} is stuck: ${
          seen.step === "" ? "its handler" : seen.step
        } failed with ${seen.code}: ` +
          `${seen.message}. Mend that, then retry the run${seen.step === "" ? "" : ", or skip the step"}`,
      );
    case "loop-blocked":
      return warn(
        `the event loop stood still for ${
          duration(seen.ms)
        } while a handler of ${seen.contract} ran: have it compute ` +
          "in a worker, or in parts",
      );
    case "entity-unreadable":
      return error(`${seen.message}. Its commands fail; catga entity --broken lists such entities`);
    case "entity-readable":
      return info(`${seen.entity} ${seen.id} can be read again`);
    case "run-resumed":
      return info(`run ${seen.run} of ${seen.workflow} is stuck no more`);
    case "run-failed": {
      const what = `${seen.step === "" ? "the handler" : seen.step} of run ${seen.run} of ${seen.workflow}`;
      const then = `attempt ${seen.attempt}; again in ${duration(seen.pause)}`;
      // the node that ran the handler has logged the thrown error already
      if (isCatgaError(seen.error) && seen.code === "HANDLER_FAILED") {
        return debug(`${what} failed (${seen.code}: ${seen.message}), ${then}`);
      }
      return isCatgaError(seen.error)
        ? warn(`${what} failed (${seen.code}: ${seen.message}), ${then}`)
        : error(`${what} threw, ${then}`);
    }
    case "near-expiry":
      return error(
        `the oldest message of subscription ${seen.subscription} (${seen.contract} ${seen.id}) is removed from the log in ` +
          `${Math.max(0, Math.round(seen.left / 60_000))} min, unhandled: mend its handlers, or let them catch up`,
      );
    case "log-filling":
      if (seen.bytes < NEARLY_FULL * seen.maxBytes) return info(`stream ${seen.stream} has room again`);
      return error(
        `stream ${seen.stream} has ${seen.bytes} of ${seen.maxBytes} bytes: when it is full, it ` +
          (seen.discard === "new" ? "refuses messages" : "drops its oldest messages, unhandled ones too") +
          ". Raise its max_bytes",
      );
    case "split":
      return error(splitText(seen.namespace, seen.own, seen.other));
    case "settings": {
      const removed = removedText(seen.removed);
      if (seen.reason !== undefined) return error(`${seen.stream} has wrong settings: ${seen.reason}.${removed}`);
      return warn(`${seen.stream} has its right settings again.${removed}`);
    }
    case "message-failed":
      return warn(
        `${seen.contract} ${seen.id} failed (${seen.code}) in subscription ${seen.subscription}, attempt ${seen.attempt}; ` +
          `again in ${duration(seen.pause)}`,
      );
    case "dead-letter":
      return error(
        `${seen.contract} ${seen.id} is a dead letter of subscription ${seen.subscription} after ${seen.attempts} attempt(s): ` +
          `${seen.code} ${seen.message}. Mend what it failed at, then replay or discard it (catga dead)`,
      );
    case "gone":
      return info(`process ${seen.endpoint} is gone with ${seen.inHand} request(s) in hand`);
    case "held-up":
      return warn(`drain: ${seen.by.join(", ")} did not end within ${duration(seen.ms)}; the drain goes on without`);
    case "node":
      return info(`node ${seen.node}: ${seen.change}`);
    case "breaker":
      return info(`the breaker for node ${seen.node} is ${seen.state}`);
    case "run-ended":
      return debug(`run ${seen.run} of ${seen.workflow} ended ${seen.code ?? "ok"} after ${Math.round(seen.ms)} ms`);
    case "run-long":
      return warn(
        `run ${seen.run} of ${seen.workflow} has ${seen.entries} entries: a run may have 10,000; have it begin anew (return flow.again(input))`,
      );
    case "notice":
      return info(seen.text);
    case "callback":
      return debug(`a callback was to be completed: ${seen.code ?? "ok"}`);
    case "retry":
      return debug(`retrying ${seen.contract}: node ${seen.node} failed (${seen.reason}), attempt ${seen.attempt}`);
    case "bounce":
      return debug(`a frame to ${seen.endpoint} bounced: no process is there`);
    case "lock-wait": {
      const result = seen.code === undefined ? "acquired" : `failed (${seen.code})`;
      return debug(`lock ${seen.key} ${result} after ${Math.round(seen.ms)} ms`);
    }
  }
}

/** By state of a subscription: advice that is appended to its log line. */
const ADVICE: { readonly [State in keyof typeof STATES]?: string } = {
  "stopped": ". Nothing is passed over; it goes on by itself when it can",
  "begun": '. To handle these, too: from: "start" for a new subscription, or catga rewind',
  "existing": ". To handle stored messages again: catga rewind",
  "waiting": "", // the observation's reason says it
  "paused": "", // so it does here
};

const LOSSES = {
  "remade": "the log was deleted and made again",
  "truncated": "the log ends before what was read: its end is lost",
  "replaced": "the log has other messages than those that were read: it was brought back from a copy",
  "expired": "messages were removed from the log before they were read",
} as const;

function duration(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : `${Math.round(ms / 1_000)} s`;
}

const STATES = {
  "leading": "is led by this node",
  "deposed": "is led by another node",
  "handed over": "is handed over",
  "stopped": "has stopped",
  "going on": "goes on",
  "waiting": "waits",
  "paused": "is paused by an operator",
  "rewound": "has gone back in the log",
  "begun": "begins now",
  "existing": "exists already",
} as const;
