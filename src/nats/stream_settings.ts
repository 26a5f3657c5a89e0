/**
 * Checks the settings of an existing stream: those that Catga needs, those that an operator may choose, and all others,
 * which must be off, so that a setting of a later nats-server is refused until it is known to be harmless.
 */

/** A wrong setting. */
export interface WrongSetting {
  readonly setting: string;
  readonly is: unknown;
  /** Required value; `null`: the setting must be off. */
  readonly wanted: unknown;
}

/**
 * Settings of any stream that an operator may choose: they can make the stream slow, full or unreachable, but lose or
 * change no message.
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

/** Returns the first wrong setting; `undefined`: none is wrong. */
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
    // the API omits settings that are false or zero
    const found = config[setting] ?? (typeof value === "boolean" ? false : typeof value === "number" ? 0 : undefined);
    if (JSON.stringify(found) !== JSON.stringify(value)) return { setting, is: found, wanted: value };
  }
  return undefined;
}

/** Returns the end of an error message: that the setting must be off, and, unless the setting's name says it, why. */
export function neededOff(setting: string, harm: Readonly<Record<string, string>>): string {
  const why = harm[setting] ?? HARM[setting];
  return `Catga needs it to be off${why === undefined ? "" : `, because ${why}`}`;
}

/** Harm of a setting to any stream. */
const HARM: Readonly<Record<string, string>> = {
  sources: "another stream writes into it",
  mirror: "another stream writes into it",
  sealed: "nothing can be written to it",
  no_ack: "it does not acknowledge writes",
  persist_mode: "it may lose acknowledged writes",
};

/** Returns true if a setting has the value that the API returns for an unset setting; -1 is no limit. */
function isOff(value: unknown): boolean {
  if (typeof value === "object" && value !== null) return Object.values(value).every(isOff);
  return value === undefined || value === null || value === false || value === 0 || value === -1 ||
    value === "" || value === "default";
}
