/**
 * Refusals of JetStream. A refusal says if the operation was certainly not done; callers decide by that about another
 * attempt (`owned_stream.ts`), so that an operation that may have been done is never repeated without their consent.
 * The errors of streams for users say what a refusal means, and what to do; in the functions that make them `what` is
 * words for the stream, such as "the bucket x".
 */
import type { Msg } from "@nats-io/nats-core";
import { CatgaError, unavailable } from "../../error.ts";
import { tooLarge } from "../../data/message_room.ts";
import { byteLength } from "../../data/utf8.ts";

/** Reason because of which JetStream has refused an operation, or not answered. */
export type RefusalReason =
  /** The stream does not exist; certainly not done. */
  | "no stream"
  /** No responders: JetStream is not running, or the stream has no leader; the operation was certainly not done. */
  | "no responders"
  /** The server cannot perform the operation at the moment; certainly not done. */
  | "busy"
  /** The subject is at another revision than the write expected; the write was certainly not done. */
  | "lost race"
  /** The stream exists with other settings; certainly not done. */
  | "other settings"
  /** The message is over a limit of the server or the stream; certainly not done. */
  | "too large"
  /** The server, the account or the stream has no room; the operation was certainly not done. */
  | "full"
  /** The stream or the account has its maximum number of consumers; certainly not done. */
  | "consumer limit"
  /** JetStream is not enabled for this account; certainly not done. */
  | "disabled"
  /** No answer: the operation may have been done. */
  | "no answer"
  | "other";

/** An operation that JetStream refused or did not answer. */
export class JetStreamRefusal extends Error {
  readonly refusal: RefusalReason;
  /**
   * Time by which the wait for an answer ended too late, in ms: if it is long, this process stood still, and the answer
   * may have come meanwhile.
   */
  readonly late: number;

  constructor(refusal: RefusalReason, message: string, cause?: unknown, late = 0) {
    super(message, { cause });
    this.refusal = refusal;
    this.late = late;
  }
}

/** Reasons by the `err_code` of an answer. Names and codes are in `server/errors.json` of nats-server. */
const REFUSALS: Readonly<Record<number, RefusalReason>> = {
  // nats-server's error JSStreamNotFoundErr
  10059: "no stream",
  // nats-server's error JSStreamWrongLastSequenceErrF
  10071: "lost race",
  // nats-server's error JSStreamWrongLastSequenceConstantErr: the cluster is replicating another write to the subject
  10164: "lost race",
  // nats-server's error JSStreamNameExistErr
  10058: "other settings",
  // nats-server's error JSStreamMessageExceedsMaximumErr
  10054: "too large",
  // nats-server's error JSAccountResourcesExceededErr
  10002: "full",
  // nats-server's error JSInsufficientResourcesErr
  10023: "full",
  // nats-server's error JSMemoryResourcesExceededErr
  10028: "full",
  // nats-server's error JSStorageResourcesExceededErr
  10047: "full",
  // nats-server's error JSMaximumConsumersLimitErr
  10026: "consumer limit",
  // nats-server's error JSNotEnabledForAccountErr
  10039: "disabled",
  // nats-server's error JSNotEnabledErr
  10076: "disabled",
  // nats-server's error JSClusterNoPeersErrF: servers of a cluster that has just started do not see each other yet
  10005: "busy",
  // nats-server's error JSClusterNotAvailErr: the cluster's JetStream has no leader yet
  10008: "busy",
  // nats-server's error JSClusterNotLeaderErr
  10009: "busy",
  // nats-server's error JSStreamDuplicateMessageConflict: a message with this id is being replicated in the cluster
  10158: "busy",
  // nats-server's error JSStreamExpectedLastSeqPerSubjectNotReady
  10163: "busy",
};

/** Parses an answer of JetStream's API. Throws a {@link JetStreamRefusal} if the answer is an error. */
export function parseAnswer(answer: Msg): unknown {
  let parsed: { error?: ApiError } | null;
  try {
    parsed = answer.json();
  } catch (error) {
    throw new JetStreamRefusal("other", "an answer that is not JSON", error);
  }
  const error = parsed?.error;
  if (typeof error === "object" && error !== null) throw refusalOf(error);
  if (typeof parsed === "object" && parsed !== null) return parsed;
  throw new JetStreamRefusal("other", "an answer that is not an object");
}

/**
 * Converts an error of `@nats-io/jetstream` to a {@link JetStreamRefusal}; returns other errors unchanged. The error
 * is recognized by its members, because it may come from another copy of the package.
 */
export function refusalIn(error: unknown): unknown {
  if (error instanceof JetStreamRefusal || error instanceof CatgaError) return error;
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const { apiError } = cause as Error & { apiError?: () => ApiError };
    if (typeof apiError === "function") return refusalOf(apiError.call(cause));
    if (cause.name === "JetStreamStatusError") {
      return new JetStreamRefusal("busy", `direct get: ${cause.message}`, error);
    }
  }
  return new JetStreamRefusal("other", `an answer that cannot be read: ${(error as Error).message}`, error);
}

/** Makes the refusal for the error in an answer of JetStream's API. */
export function refusalOf(error: ApiError): JetStreamRefusal {
  const code = error.err_code ?? 0;
  const description = typeof error.description === "string" ? error.description : "no description";
  // code 10077 (JSStreamStoreFailedF) stands for any error of a store: the text says if it is full
  const full = code === 10077 && /maximum|no space/.test(description);
  // code 10049 (JSStreamCreateErrF) is also returned while the files of a deleted stream of this name are being
  // removed
  const busy = error.code === 503 || (code === 10049 && description.includes("creating store"));
  const refusal = full ? "full" : REFUSALS[code] ?? (busy ? "busy" : "other");
  return new JetStreamRefusal(refusal, `${description} (${code})`);
}

/** An error in an answer of JetStream's API. */
interface ApiError {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}

/** Makes the error: the server, or the account, has no JetStream. */
export function noJetStream(server: string, cause: JetStreamRefusal): CatgaError {
  return new CatgaError(
    "UNAVAILABLE",
    `no JetStream on the NATS server at ${server}: start it with \`nats-server -js\` (or put \`jetstream {}\` into its ` +
      "configuration, and enable it for the account); at a leaf node that is to use the JetStream of its hub put " +
      "`default_js_domain: { ACCOUNT: DOMAIN }` into its configuration, with the hub's domain (catga docs topologies)",
    { cause },
  );
}

/**
 * Makes the error: the server, the account or the stream has no room for a write.
 * @decides texts of errors: no JetStream, store full, too many consumers
 */
export function storeFull(what: string, cause: JetStreamRefusal): CatgaError {
  return unavailable(
    `${what} takes no writes, because the store is full: ${cause.message}; raise max_file_store of ` +
      "the server, the limits of the account, or max_bytes of the stream, or remove something",
    { cause },
  );
}

/**
 * Makes the error: a server answers nothing to writes, though it answers reads of the stream, as when its disk is or
 * was full (measured with nats-server 2.15). For callers the store is full.
 */
export function writesUnanswered(what: string, { message }: JetStreamRefusal): CatgaError {
  return unavailable(
    `${what} takes no writes, though the server answers reads of it: ${message}. Its disk may be full, or have been: a ` +
      "stream that met a full disk takes no writes until its server is restarted, also when there is room again (look " +
      "for `no space left on device` in the server's log); or the server has too much to do",
    { cause: new JetStreamRefusal("full", message) },
  );
}

/** Makes the error: the stream cannot be read, because it or the account has its maximum number of consumers. */
export function tooManyConsumers(what: string, stream: string, cause: JetStreamRefusal): CatgaError {
  return new CatgaError(
    "CONSUMER_LIMIT",
    `${what} cannot be read: ${cause.message}; raise max_consumers of the stream ${stream} or of the account, or run fewer ` +
      "nodes (catga docs errors#consumer_limit)",
    { retryable: true, details: { stream }, cause },
  );
}

/** Makes the error: the stream does not exist, and this NATS user may not create it. */
export function streamMissing(what: string, stream: string, cause: CatgaError): CatgaError {
  return new CatgaError(
    "UNAVAILABLE",
    `${what} is missing, and the NATS user may not make it (publish to $JS.API.STREAM.CREATE.${stream}): ` +
      "have an operator run `catga setup` (catga docs security#permissions)",
    { details: cause.details, cause },
  );
}

/**
 * Makes the error: the stream's settings seem wrong because a server older than 2.11, which knows neither ttls nor
 * schedules of messages and leaves them out of its answers, leads the stream. `undefined`: its leader is not that old.
 * `mismatch`: the error for the settings.
 */
export function leaderTooOld(
  what: string,
  stream: string,
  { config, cluster }: LedStream,
  mismatch: CatgaError,
): CatgaError | undefined {
  const { metadata } = config as { metadata?: Readonly<Record<string, unknown>> | null };
  // servers from 2.11 on add their version to the metadata of each answer
  if (cluster === undefined || metadata?.[SERVER_VERSION] !== undefined) return undefined;
  // a server that was just elected may not name itself yet
  const who = cluster.leader ? `the NATS server ${cluster.leader}, which` : "a NATS server that";
  return new CatgaError(
    mismatch.code,
    `${what} is led by ${who} is older than 2.11 and keeps what has a ttl for ever: ` +
      `upgrade that server; until then have another one lead (\`nats stream cluster step-down ${stream}\`). The ` +
      "settings of the stream are not known while it leads: change nothing else",
    { retryable: mismatch.retryable, details: { server: cluster.leader || undefined }, cause: mismatch },
  );
}

/** A stream's settings and its leader, as an answer about it says. */
interface LedStream {
  readonly config: Readonly<Record<string, unknown>>;
  readonly cluster?: { readonly leader?: string };
}

/** Member of a stream's metadata: the version of the server that answered. */
const SERVER_VERSION = "_nats.ver";

/** Advice about refusals to create a stream, by the `err_code` of the answer. */
const ADVICE: Readonly<Record<number, string | undefined>> = {
  // nats-server's error JSMaximumStreamsLimitErr
  10027: "raise max_streams of the account, or remove a stream",
  // nats-server's error JSStreamReplicasNotSupportedErr
  10074: "leave out `replicas`, or make a cluster of three servers",
};

/** Makes the error: the stream could not be opened in time. `retryable`: another attempt may succeed later. */
export function cannotOpen(what: string, server: string, retryable: boolean, cause: JetStreamRefusal): CatgaError {
  const advice = ADVICE[Number(/\((\d+)\)$/.exec(cause.message)?.[1])];
  const message = `cannot open ${what} on ${server}: ${cause.message}${advice === undefined ? "" : `: ${advice}`}`;
  return new CatgaError("UNAVAILABLE", message, { retryable, cause });
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
    return tooLarge(`the value of ${JSON.stringify(key.slice(0, 80))}`, size, maxPayload, "keep");
  }
  return new CatgaError(
    "TOO_LARGE",
    `a value of ${size} bytes is over the limit of the bucket ${bucket}: ${cause.message}`,
    { details: { size }, cause },
  );
}
