/**
 * Keeps the streams of a connection whose settings are wrong, and asks for their settings again until they are right,
 * so that an alarm ends although nobody uses the stream.
 */
import type { Clock, Timer } from "../../ports/clock.ts";

/** Report that a stream has wrong settings, or has its right settings again. */
export interface SettingsReport {
  readonly stream: string;
  /** The wrong setting, and what to do; `undefined`: the settings are right again. */
  readonly reason: string | undefined;
  /** Number of messages that were removed from the stream since its settings were right, if they are counted. */
  readonly removed: number;
}

/** Time after which the settings of a stream that has wrong ones are read again, in ms. */
const AGAIN = 5_000;

/** The streams with wrong settings, by name. */
export class WrongSettings {
  readonly #clock: Clock;
  readonly #report: (report: SettingsReport) => void;
  readonly #wrong = new Map<string, { readonly reason: string; check: () => Promise<void>; timer: Timer }>();

  constructor(clock: Clock, report: (report: SettingsReport) => void) {
    this.#clock = clock;
    this.#report = report;
  }

  /**
   * Reports a stream with wrong settings, once for each reason. `check` reads the settings, and then calls `wrong` or
   * {@link right}; it may reject.
   */
  wrong(stream: string, { message: reason }: Error, removed: number, check: () => Promise<void>): void {
    const known = this.#wrong.get(stream);
    if (known?.reason === reason) {
      known.check = check;
      return;
    }
    known?.timer.cancel();
    this.#wrong.set(stream, { reason, check, timer: this.#later(stream) });
    this.#report({ stream, reason, removed });
  }

  /** Reports that a stream has its right settings again, if it had wrong ones. */
  right(stream: string, removed: number): void {
    const known = this.#wrong.get(stream);
    if (known === undefined) return;
    known.timer.cancel();
    this.#wrong.delete(stream);
    this.#report({ stream, reason: undefined, removed });
  }

  #later(stream: string): Timer {
    return this.#clock.after(AGAIN, () => {
      const known = this.#wrong.get(stream);
      if (known === undefined) return;
      known.timer = this.#later(stream);
      known.check().catch(() => {}); // the check has reported a rejection for wrong settings
    }, { background: true });
  }
}
