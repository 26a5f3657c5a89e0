/** Requests to servers that may elect a leader meanwhile. */
import type { Msg, NatsConnection } from "@nats-io/nats-core";
import { eventually } from "./eventually.ts";

/** How long one request waits for its answer, in ms. */
const ONCE = { timeout: 5_000 };

/**
 * Sends a request until it is answered. Nobody answers one that came while servers elected the leader that it is for,
 * however long its sender waits, or before a server knew of its subject. What it asks for may be done twice.
 */
export async function askAgain(connection: NatsConnection, subject: string, body: object = {}): Promise<Msg> {
  const once = async () => {
    try {
      return await connection.request(subject, JSON.stringify(body), ONCE);
    } catch (error) {
      if (connection.isClosed()) throw error;
      return undefined;
    }
  };
  return (await eventually(`an answer to ${subject}`, once))!;
}
