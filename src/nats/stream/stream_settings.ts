/**
 * Checks the settings of an existing stream: those that Catga needs, those that an operator may choose, and all others,
 * which must be off, so that a setting of a later nats-server is refused until it is known to be harmless. The settings
 * of buckets are here, those of logs in `log_settings.ts`.
 */
import { CatgaError } from "../../error.ts";
import { type BucketSettings, bucketStreamName } from "../../ports/key_value_store.ts";

/** A setting of a stream that is not as Catga needs it. */
export interface WrongSetting {
  readonly setting: string;
  readonly is: unknown;
  /** Value that the setting must have; `null`: the setting must be off. */
  readonly wanted: unknown;
}

/**
 * Settings of a stream that an operator may choose: they can make the stream slow, full or unreachable, but cannot
 * lose or change a message.
 */
export const OPERATORS: readonly string[] = [
  "name",
  "description",
  "metadata",
  "placement",
  "compression",
  "first_seq",
  "max_bytes",
  "max_msg_size",
  "max_consumers",
];

/** Returns the first wrong setting of a stream; `undefined`: none is wrong. */
export function wrongSetting(
  config: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
  operators: ReadonlySet<string>,
): WrongSetting | undefined {
  for (const [setting, found] of Object.entries(config)) {
    if (setting in wanted || operators.has(setting) || isOff(found)) continue;
    return { setting, is: found, wanted: null };
  }
  for (const [setting, value] of Object.entries(wanted)) {
    // an absent setting is false or zero: the API omits such settings
    const found = config[setting] ?? (typeof value === "boolean" ? false : typeof value === "number" ? 0 : undefined);
    if (JSON.stringify(found) !== JSON.stringify(value)) return { setting, is: found, wanted: value };
  }
  return undefined;
}

/** Returns the end of an error's text: that the setting must be off, and why, unless the setting's name explains it. */
export function neededOff(setting: string, harm: Readonly<Record<string, string>>): string {
  const why = harm[setting] ?? HARM[setting];
  return `Catga needs it to be off${why === undefined ? "" : `, because ${why}`}`;
}

/** Text for errors: the harm of a setting to any stream. */
const HARM: Readonly<Record<string, string>> = {
  sources: "another stream writes into it",
  mirror: "another stream writes into it",
  sealed: "nothing can be written to it",
  no_ack: "it does not acknowledge writes",
  persist_mode: "it may lose acknowledged writes",
};

/** Returns true if a setting has a value that the API returns for a setting that is off; -1 means no limit. */
function isOff(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).every(isOff);
  return value === undefined || value === null || value === false || value === 0 || value === -1 ||
    value === "" || value === "default";
}

/** Time for which the marker of a deleted or expired key is kept, in seconds: the minimum of nats-server. */
export const MARKER_TTL = 1;

/** Returns the settings that Catga needs for the stream of a bucket. */
export function bucketSettings(bucket: string, options: BucketSettings): Readonly<Record<string, unknown>> {
  return {
    subjects: [`$KV.${bucket}.>`],
    retention: "limits",
    storage: "file",
    discard: "new",
    num_replicas: options.replicas,
    // with a longer history the server raises short ttls to the ttl of markers
    max_msgs_per_subject: 1,
    max_age: 0,
    allow_rollup_hdrs: true,
    deny_purge: false,
    // erasing must be allowed: a full store has no room for a marker, so entries are erased there
    deny_delete: false,
    allow_msg_ttl: true,
    subject_delete_marker_ttl: MARKER_TTL * 1_000_000_000,
    // reads from followers may be stale
    allow_direct: options.direct,
  };
}

/** Throws `BUCKET_MISMATCH` if the stream has other settings than its bucket needs; the message names the first one. */
export function checkSettings(
  bucket: string,
  config: Readonly<Record<string, unknown>>,
  wanted: Readonly<Record<string, unknown>>,
): void {
  const wrong = wrongSetting(config, wanted, CHOSEN);
  if (wrong !== undefined) throw mismatch(bucket, wrong);
  if (!((Number(config.first_seq) || 0) <= HIGHEST)) {
    throw mismatch(bucket, { setting: "first_seq", is: config.first_seq, wanted: `at most ${HIGHEST}` });
  }
}

/**
 * Settings that an operator may choose. (A bucket that is full refuses writes; the duplicate window has no effect,
 * because messages of buckets have no ids.)
 */
const CHOSEN: ReadonlySet<string> = new Set([...OPERATORS, "max_msgs", "duplicate_window"]);

/**
 * Greatest `first_seq` of a bucket's stream: revisions are fencing tokens, and must stay safe integers. New buckets
 * start at the µs since 1970: 1.8e15 in 2026.
 */
export const HIGHEST = 2 ** 52;

/** Text for errors: the harm of a setting to a bucket; missing where the setting's name explains it. */
const HARM_TO_BUCKET: Readonly<Record<string, string>> = {
  republish: "it publishes the entries on other subjects, in anybody's name",
  subject_transform: "it renames the keys that are written",
  discard_new_per_subject: "a key can be written only once",
};

/**
 * Text for errors: the consequence of losing a bucket, by the end of its name. Buckets that are not listed are filled
 * again by themselves.
 */
const LOST: Readonly<Record<string, string>> = {
  idempotency: "the recorded results: a command whose id comes again runs again",
};

function mismatch(bucket: string, details: WrongSetting): CatgaError {
  const { setting, is } = details;
  const found = `the bucket ${bucket} exists with ${setting} ${JSON.stringify(is)}`;
  return new CatgaError("BUCKET_MISMATCH", `${found}; ${adviceOn(bucket, details)}`, {
    details: { bucket, ...details },
  });
}

function adviceOn(bucket: string, { setting, is, wanted }: WrongSetting): string {
  const [found, needed] = [JSON.stringify(is), JSON.stringify(wanted)];
  if (setting === "num_replicas") {
    return `Catga needs ${needed}: give \`replicas: ${found}\`, or change it, which keeps all entries ` +
      `(\`nats stream edit ${bucketStreamName(bucket)} --replicas ${needed}\`)`;
  }
  const lost = LOST[bucket.slice(bucket.lastIndexOf("_") + 1)];
  const command = `(\`nats kv rm ${bucket}\`${lost === undefined ? "" : `, which loses ${lost}`})`;
  if (wanted === null) {
    const off = neededOff(setting, HARM_TO_BUCKET);
    return `${off}: find out who set it, delete the bucket ${command} and make it anew (\`catga setup\`)`;
  }
  return `Catga needs ${needed}: open it with the options that it was made with, or delete it ${command} and make it ` +
    "anew (`catga setup`, or let Catga do it)";
}
