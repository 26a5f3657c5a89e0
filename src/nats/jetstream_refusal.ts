/**
 * Why JetStream did not do what was asked. A refusal says whether the operation was certainly not done; callers decide
 * by it whether to try again (`bucket_stream.ts`), so that an operation that may have been done is never repeated
 * unasked.
 */
import type { Msg } from "@nats-io/nats-core";

/** Why JetStream did not do it. */
export type Refusal =
  /** The stream does not exist; certainly not done. */
  | "no stream"
  /** No responders: JetStream is not running, or the stream has no leader; certainly not done. */
  | "no responders"
  /** The server cannot do it at the moment; certainly not done. */
  | "busy"
  /** The subject is at another revision than expected; certainly not done. */
  | "lost race"
  /** The stream exists with other settings; certainly not done. */
  | "other settings"
  /** The message is over a limit of the server or the stream; certainly not done. */
  | "too large"
  /** The server, the account or the stream has no room; certainly not done. */
  | "full"
  /** The stream or the account has as many consumers as it may; certainly not done. */
  | "consumer limit"
  /** JetStream is not enabled for this account; certainly not done. */
  | "disabled"
  /** No answer: it may have been done. */
  | "no answer"
  | "other";

/** JetStream's answer, or its absence, when it did not do what was asked. */
export class JetStreamRefusal extends Error {
  readonly refusal: Refusal;

  constructor(refusal: Refusal, message: string, cause?: unknown) {
    super(message, { cause });
    this.refusal = refusal;
  }
}

/** By the `err_code` of an answer; names and codes are in `server/errors.json` of nats-server. */
const REFUSALS: Readonly<Record<number, Refusal>> = {
  // JSStreamNotFoundErr
  10059: "no stream",
  // JSStreamWrongLastSequenceErrF
  10071: "lost race",
  // JSStreamWrongLastSequenceConstantErr: another write to the subject is on its way through the cluster
  10164: "lost race",
  // JSStreamNameExistErr
  10058: "other settings",
  // JSStreamMessageExceedsMaximumErr
  10054: "too large",
  // JSAccountResourcesExceededErr
  10002: "full",
  // JSInsufficientResourcesErr
  10023: "full",
  // JSMemoryResourcesExceededErr
  10028: "full",
  // JSStorageResourcesExceededErr
  10047: "full",
  // JSMaximumConsumersLimitErr
  10026: "consumer limit",
  // JSNotEnabledForAccountErr
  10039: "disabled",
  // JSNotEnabledErr
  10076: "disabled",
  // JSClusterNoPeersErrF: servers of a cluster that has just started do not see each other yet
  10005: "busy",
  // JSClusterNotAvailErr: no leader yet
  10008: "busy",
  // JSClusterNotLeaderErr
  10009: "busy",
  // JSStreamExpectedLastSeqPerSubjectNotReady
  10163: "busy",
};

/**
 * Parses an answer of the API. Throws a {@link JetStreamRefusal} for an error; `undefined` for one whose code is in
 * `none`.
 */
export function parseAnswer(answer: Msg, none: readonly number[] = []): unknown {
  let parsed: { error?: ApiError } | null;
  try {
    parsed = answer.json();
  } catch (error) {
    throw new JetStreamRefusal("other", "an answer that is not JSON", error);
  }
  const error = parsed?.error;
  if (typeof error !== "object" || error === null) {
    if (typeof parsed === "object" && parsed !== null) return parsed;
    throw new JetStreamRefusal("other", "an answer that is not an object");
  }
  if (none.includes(error.err_code ?? 0)) return undefined;
  throw refusalOf(error);
}

/** The refusal for the error in an answer. */
export function refusalOf(error: ApiError): JetStreamRefusal {
  const code = error.err_code ?? 0;
  const description = typeof error.description === "string" ? error.description : "no description";
  // 10077 (JSStreamStoreFailedF) is any error of a store
  const full = code === 10077 && /maximum|no space/.test(description);
  const refusal = full ? "full" : REFUSALS[code] ?? (error.code === 503 ? "busy" : "other");
  return new JetStreamRefusal(refusal, `${description} (${code})`);
}

/** The error in an answer. */
export interface ApiError {
  readonly code: number;
  readonly err_code?: number;
  readonly description?: string;
}
