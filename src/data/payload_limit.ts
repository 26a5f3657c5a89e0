/** The size of payloads and answers in messages: nats-server takes messages of up to its `max_payload`. */

/** Returns the size of the largest payload (with its meta), or answer, that fits into a message, in bytes. */
export function payloadLimit(maxPayload: number): number {
  return maxPayload - PAYLOAD_OVERHEAD;
}

/** Maximum size of a message without its payload, in bytes: subject, name, and the text around the payload. */
export const PAYLOAD_OVERHEAD = 2_048;

/** Returns the advice of an error about a value that is too large for a message. `use`: what a program does with it. */
export function sizeAdvice(use: "send" | "publish" | "emit" | "return" | "keep"): string {
  return `store what is large elsewhere and ${use} a reference, or raise max_payload in the server's configuration`;
}
