/** Sends answers to plain NATS clients, on the reply subjects that they choose. */
import type { Observer } from "../../contract/observer.ts";
import type { Transport } from "../../ports/transport.ts";

/**
 * Returns true if an answer may be sent to this reply subject. The client has chosen the subject, and this node has
 * more permissions than the client: so an answer must not become a frame, an event, a record in a bucket, or a call
 * of a NATS API.
 */
export function mayAnswer(reply: string): boolean {
  return /^[^\s.*>]+(?:\.[^\s.*>]+)*$/.test(reply) && !/^(?:\$|catga(?:\.|$))/i.test(reply);
}

/** Reason that is logged for an answer that is not sent. */
export const FORBIDDEN_REPLY = "its reply subject is invalid, or belongs to NATS or Catga: no answer is sent there";

/** Publishes an answer to a plain client. Does not throw: a failure is reported to the observer. */
export function respond(
  { transport, observer }: { transport: Transport; observer: Observer },
  reply: string,
  text: string,
  headers?: Readonly<Record<string, string>>,
): void {
  try {
    transport.publish(reply, text, headers === undefined ? {} : { headers });
  } catch (error) {
    observer({ type: "fault", during: "answering a plain request", error });
  }
}
