/**
 * For requests of plain NATS clients to which the answer is certain: nats.js gives up after 1 s, which a busy machine
 * may take.
 */
export const PATIENT = { timeout: 60_000 };
