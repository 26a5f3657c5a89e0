/**
 * A JetStream that is soon full: what is stored there goes on only while leases and locks last, which cannot be renewed
 * in it.
 */
import type { NatsConnection } from "@nats-io/nats-core";
import { PATIENT } from "./patient.ts";

/** The configuration of its server. */
export const SMALL_STORE = "jetstream { max_file_store: 1000000 }";

/**
 * Takes all room away that such a server has left: it refuses every message once its limit is exceeded, and none
 * before.
 */
export async function fillStore(admin: NatsConnection): Promise<void> {
  const publish = async (subject: string, body: string) =>
    (await admin.request(subject, body, PATIENT)).json<{ error?: { description: string } }>().error?.description;
  const failed = await publish("$JS.API.STREAM.CREATE.junk", JSON.stringify({ name: "junk", subjects: ["junk"] }));
  if (failed !== undefined) throw new Error(`no stream for junk: ${failed}`);
  const junk = "x".repeat(200_000);
  let refused: string | undefined;
  while (refused === undefined) refused = await publish("junk", junk);
  if (!refused.includes("insufficient")) throw new Error(`no junk: ${refused}`);
}
