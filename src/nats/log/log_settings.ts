/**
 * Checks the settings of the stream under a log: settings that Catga needs, and settings that an operator may choose.
 */
import { CatgaError } from "../../error.ts";
import { type LogAbilities, type LogOptions, MAX_SEQUENCE } from "../../ports/event_log.ts";
import { neededOff, OPERATORS, type WrongSetting, wrongSetting } from "../stream/stream_settings.ts";

/**
 * Time for which the server remembers the ids of messages to detect duplicates, in ms.
 * @decides for how long NATS recognizes the id of a published message again; the settings of log streams
 */
const DUPLICATE_WINDOW = 120_000;
/**
 * Smallest accepted limit of a stream for the size of a message, in bytes: room for a group of events with its
 * headers.
 */
const LEAST_MESSAGE = 131_072;

/** Returns which schedules a nats-server of this version can store; none for an unreadable version. */
export function abilitiesOf(version: string): LogAbilities {
  const [major = 0, minor = 0] = version.split(".").map((part) => Number.parseInt(part) || 0);
  const from = (least: number) => major > 2 || (major === 2 && minor >= least);
  return { at: from(12), cron: from(14), version };
}

/**
 * Returns the settings that Catga needs for the stream of a log. `options.schedules`: true only if the server
 * supports schedules.
 */
export function logSettings(options: LogOptions): Readonly<Record<string, unknown>> {
  const { schedules, lasting = false } = options;
  return {
    subjects: options.subjects,
    retention: "limits",
    storage: "file",
    num_replicas: options.replicas,
    max_age: 0,
    ...(lasting ? {} : { allow_rollup_hdrs: true, allow_msg_ttl: true }),
    deny_purge: false,
    deny_delete: false,
    allow_direct: true,
    duplicate_window: DUPLICATE_WINDOW * 1_000_000,
    // the setting is set only if the log needs schedules: servers that do not know it may refuse it
    ...(schedules ? { allow_msg_schedules: true } : {}),
    // "old" if the log needs schedules: a stream that refuses new messages when it is full cannot have schedules. This
    // setting is the last one, so that an error names other wrong settings first
    discard: schedules ? "old" : "new",
  };
}

/** Throws `LOG_MISMATCH` if the stream has settings that could lose messages; the error names the first one. */
export function checkLogSettings(
  stream: string,
  config: Readonly<Record<string, unknown>>,
  options: LogOptions,
): void {
  const { duplicate_window: window, ...wanted } = logSettings(options);
  const wrong = wrongSetting(config, wanted, options.lasting ? CHOSEN_OF_LASTING : CHOSEN);
  if (wrong !== undefined) throw mismatch(stream, wrong);
  const limit = (setting: string, wrongly: boolean, wanted: unknown) => {
    if (wrongly) throw mismatch(stream, { setting, is: config[setting], wanted });
  };
  const size = Number(config.max_msg_size ?? -1);
  limit("max_msg_size", size > 0 && size < LEAST_MESSAGE, `at least ${LEAST_MESSAGE}`);
  limit("duplicate_window", !(Number(config.duplicate_window ?? 0) >= Number(window)), window);
  limit("first_seq", !(Number(config.first_seq ?? 0) < MAX_FIRST_SEQUENCE), `less than ${MAX_FIRST_SEQUENCE}`);
}

/** Upper bound of a stream's first sequence: half of all sequences are left for its messages. */
export const MAX_FIRST_SEQUENCE = MAX_SEQUENCE / 2;

/** Settings of a log's stream that an operator may choose; a longer duplicate window does no harm. */
const CHOSEN: ReadonlySet<string> = new Set([...OPERATORS, "duplicate_window"]);
/**
 * Settings that an operator may also choose for a `lasting` stream (of entities): nothing that Catga appends there
 * uses them, and a server does not switch ttls off again.
 */
const CHOSEN_OF_LASTING: ReadonlySet<string> = new Set([...CHOSEN, "allow_rollup_hdrs", "allow_msg_ttl"]);

/** Text for errors: the harm of a setting to a log; missing where the setting's name explains it. */
const HARM: Readonly<Record<string, string>> = {
  republish: "it publishes the messages on other subjects, in anybody's name",
  subject_transform: "it renames the subjects of messages",
  max_msgs: "it removes messages",
  max_msgs_per_subject: "it removes messages",
  discard_new_per_subject: "a subject can be written only once",
};

function mismatch(stream: string, wrong: WrongSetting): CatgaError {
  const { setting, is, wanted } = wrong;
  const found = `the stream ${stream} exists with ${setting} ${JSON.stringify(is)}`;
  const advice = wanted === null ? neededOff(setting, HARM) : `Catga needs ${JSON.stringify(wanted)}`;
  const replicas = setting === "num_replicas";
  const fitting = replicas ? `give \`replicas: ${JSON.stringify(is)}\`, or ` : "";
  const edit = replicas
    ? `change it, which keeps all messages (\`nats stream edit ${stream} --replicas ${JSON.stringify(wanted)}\`)`
    : `change it (\`nats stream edit ${stream}\`), or delete the stream with all its messages (\`nats stream rm ${stream}\`)`;
  return new CatgaError(
    "LOG_MISMATCH",
    `${found}; ${advice}: ${fitting}${edit}`,
    { details: { stream, ...wrong } },
  );
}
