/**
 * Checks the settings of an existing stream: those that Catga needs, those that an operator may choose, and all others,
 * which must be off, so that a setting of a later nats-server is refused until it is known to be harmless.
 */

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
