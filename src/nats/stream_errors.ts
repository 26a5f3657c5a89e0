/**
 * Makes the errors of streams for users. Each says what a refusal of JetStream means, and what to do. `what`, in each
 * function: words for the stream, such as "the bucket x".
 */
import { byteLength } from "../data/utf8.ts";
import { CatgaError, unavailable } from "../error.ts";
import type { JetStreamRefusal } from "./jetstream_refusal.ts";
import { tooLarge } from "./nats_error.ts";

/** Makes the error: the server, or the account, has no JetStream. */
export function noJetStream(server: string, cause: JetStreamRefusal): CatgaError {
  return new CatgaError(
    "UNAVAILABLE",
    `no JetStream on the NATS server at ${server}: start it with \`nats-server -js\` (or put \`jetstream {}\` into its ` +
      "configuration, and enable it for the account)",
    { cause },
  );
}

/** Makes the error: the server, the account or the stream has no room for a write. */
export function storeFull(what: string, cause: JetStreamRefusal): CatgaError {
  return unavailable(
    `${what} takes no writes, because the store is full: ${cause.message}; raise max_file_store of ` +
      "the server, the limits of the account, or max_bytes of the stream, or remove something",
    { cause },
  );
}

/** Makes the error: the stream cannot be read, because it or the account has its maximum number of consumers. */
export function tooManyConsumers(what: string, stream: string, cause: JetStreamRefusal): CatgaError {
  return new CatgaError(
    "CONSUMER_LIMIT",
    `${what} cannot be read: ${cause.message}; raise max_consumers of the stream ${stream} or of the account, or run fewer ` +
      "nodes (docs/errors.md)",
    { retryable: true, details: { stream }, cause },
  );
}

/** Makes the error: the stream does not exist, and this NATS user may not create it. */
export function streamMissing(what: string, stream: string, cause: CatgaError): CatgaError {
  return new CatgaError(
    "UNAVAILABLE",
    `${what} is missing, and the NATS user may not make it (publish to $JS.API.STREAM.CREATE.${stream}): ` +
      "have an operator run `catga setup` (docs/security.md)",
    { details: cause.details, cause },
  );
}

/** Makes the error: the stream could not be opened in time. `retryable`: another attempt may succeed later. */
export function cannotOpen(what: string, server: string, retryable: boolean, cause: JetStreamRefusal): CatgaError {
  // code 10074 of nats-server: "replicas > 1 not supported in non-clustered mode"
  const advice = cause.message.endsWith("(10074)") ? ": leave out `replicas`, or make a cluster of three servers" : "";
  return new CatgaError("UNAVAILABLE", `cannot open ${what} on ${server}: ${cause.message}${advice}`, {
    retryable,
    cause,
  });
}

/** Makes the error: an operation was not done in time, or got no answer. */
export function noAnswer(what: string, cause: JetStreamRefusal): CatgaError {
  return unavailable(`${what} does not answer: ${cause.message}`, { cause });
}

/** Makes the error: a value is larger than `max_payload` of the server, or than a limit of the stream. */
export function valueTooLarge(
  bucket: string,
  { key, value, maxPayload }: { key: string; value: string; maxPayload: number },
  cause: JetStreamRefusal,
): CatgaError {
  const size = byteLength(value);
  if (cause.message.includes("max_payload")) {
    return tooLarge(size, maxPayload, `value for ${JSON.stringify(key.slice(0, 80))}`);
  }
  return new CatgaError(
    "TOO_LARGE",
    `a value of ${size} bytes is over the limit of the bucket ${bucket}: ${cause.message}`,
    { details: { size }, cause },
  );
}
