/** Answers to plain clients, on the subjects that they ask for. */
import type { Observer } from "../../contract/observer.ts";
import type { Transport } from "../../ports/transport.ts";

/**
 * Whether an answer may go to this subject. Nobody but the client chose it, and NATS lets this node publish there in its own
 * name: an answer must not become a frame, an event, a record in a bucket, or a call of an API.
 */
export function mayAnswer(reply: string): boolean {
  return /^[^\s.*>]+(?:\.[^\s.*>]+)*$/.test(reply) && !/^(?:\$|catga(?:\.|$))/i.test(reply);
}

/** Why one may not. */
export const FORBIDDEN_REPLY = "its reply subject is none, or one of NATS's own or Catga's: answers do not go there";

/** Publishes an answer; what cannot be published is observed. */
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
