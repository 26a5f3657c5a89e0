/** Parses durations given as flags, and formats durations, times and texts for tables. */

const UNITS = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/**
 * Parses a duration such as `500ms`, `5s`, `2m`, `1h` or `7d`, or a number of ms. Returns ms; `undefined` for any other
 * text.
 */
export function readDuration(text: string): number | undefined {
  const [, figure, unit = "ms"] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)?$/.exec(text) ?? [];
  // cast: the pattern matches no other unit
  return figure === undefined ? undefined : Number(figure) * UNITS[unit as keyof typeof UNITS];
}

/**
 * Formats a duration in one or two units: `850 ms`, `12 s`, `3 m 20 s`, `2 h 5 m`, `4 d 1 h`.
 * @decides how durations are read and shown
 */
export function showDuration(ms: number): string {
  const rounded = Math.max(0, Math.round(ms));
  if (rounded < 1_000) return `${rounded} ms`;
  const seconds = Math.floor(rounded / 1_000);
  if (seconds < 60) return `${seconds} s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 60) return `${minutes} m ${seconds % 60} s`;
  const hours = Math.floor(minutes / 60);
  return hours < 24 ? `${hours} h ${minutes % 60} m` : `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** Formats the duration of a round trip, given in ms, with two or three significant figures. */
export function showMillis(ms: number): string {
  return `${ms < 1 ? ms.toFixed(2) : ms < 10 ? ms.toFixed(1) : Math.round(ms)} ms`;
}

/** Formats a time; `-` if it is invalid, which the time of a stored message may be. */
export function showTime(time: Date): string {
  return Number.isNaN(time.getTime()) ? "-" : time.toISOString();
}

/** Returns a text for a table; of a text that is too long, only its beginning and its length. */
export function showShort(text: string): string {
  return text.length <= LONG ? text : `${text.slice(0, LONG).toWellFormed()}… (${text.length} characters)`;
}

const LONG = 200;
