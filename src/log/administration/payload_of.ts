/** The payload of a message of the log, for people. */
import { decodeText } from "../../data/encoding.ts";
import type { LoggedMessage } from "../format/logged_message.ts";

/**
 * The payload as it was published; a text that cannot be decoded, which somebody else has written, as it stands there.
 */
export function payloadOf({ payload, tagged }: Pick<LoggedMessage, "payload" | "tagged">): unknown {
  if (!tagged || typeof payload !== "string") return payload;
  try {
    return decodeText(payload);
  } catch {
    return payload;
  }
}
