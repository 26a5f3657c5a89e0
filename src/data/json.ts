/** JSON of values that came from JSON, at any depth. */
import { valueText } from "./value_text.ts";

/** `JSON.stringify(value)`, also for values that are nested deeper than the runtime's own can encode. */
export function stringify(value: unknown): string | undefined {
  try {
    return JSON.stringify(value) as string | undefined;
  } catch (error) {
    if (!(error instanceof RangeError && /stack/i.test(error.message))) throw error;
    return valueText(value, "json", "value").text;
  }
}
