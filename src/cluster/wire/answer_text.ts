/** What a node answers, as text for the process that asked. */
import { CatgaError } from "../../error.ts";
import { toText, withoutTags } from "../../data/encoding.ts";
import { isTagged } from "../../data/tag.ts";
import { writeError, writeErrorAsJson } from "../../dispatch/error_encoding.ts";
import type { Peer } from "./peer.ts";
import { tooLarge } from "./size_limits.ts";

/** What other processes can take. */
export interface Readers {
  /** The largest answer, in bytes. */
  payloadLimit(): number;
  /** Whether a process reads tags; asked only if there are some. */
  readsTags(peer: Peer): boolean;
}

/** The text of a value for a process. Throws `INVALID_RESPONSE` if it cannot be sent, and `TOO_LARGE`. */
export function answerText(value: unknown, contract: string, peer: Peer, readers: Readers): string {
  let text = toText(value, "INVALID_RESPONSE", "the answer", contract);
  if (isTagged(text) && !readers.readsTags(peer)) text = withoutTags(value) ?? onlyJson(contract, peer);
  const error = tooLarge("the answer", contract, text, readers.payloadLimit());
  if (error !== undefined) throw error;
  return text;
}

/** The text of an error for a process. */
export function failureText(error: CatgaError, peer: Peer, readers: Readers): string {
  const limit = readers.payloadLimit();
  const text = writeError(error, limit);
  return isTagged(text) && !readers.readsTags(peer) ? writeErrorAsJson(error, limit) : text;
}

function onlyJson(contract: string, { node }: Peer): never {
  const why = `node ${node}, which sent the message, runs an older Catga that reads JSON only; upgrade it`;
  throw new CatgaError("INVALID_RESPONSE", `the answer of ${contract} has values that JSON lacks: ${why}`);
}
