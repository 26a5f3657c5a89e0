/** The demo's output: a live view in a terminal, or plain lines. */
import process from "node:process";
import { paintWith } from "./paint.ts";
import { draw, type Happening, type Picture, plainLine, seconds, type Tone } from "./picture.ts";

/** Shows the demo. */
export interface Screen {
  /** Shows an event, `elapsed` ms after the start. */
  event(elapsed: number, text: string, tone?: Tone): void;
  /** Starts to show the result of `look` repeatedly. */
  open(look: () => Picture): void;
  /** Shows the last picture. After it, lines may be printed, and events are not shown. Idempotent. */
  close(): void;
}

/** True if stdout is a terminal that may show a live view: neither `NO_COLOR` nor `CI` is set. */
export const LIVE = process.stdout.isTTY === true && !process.env.NO_COLOR && !process.env.CI &&
  process.env.TERM !== "dumb";

/** Makes the screen that suits stdout. */
export function screenOf(): Screen {
  return LIVE ? new LiveScreen() : new PlainScreen();
}

/** Redraws in place, on the terminal's other page, so that nothing of what was there before is lost. */
class LiveScreen implements Screen {
  readonly #events: Happening[] = [];
  #look: (() => Picture) | undefined;
  #timer: ReturnType<typeof setInterval> | undefined;

  event(elapsed: number, text: string, tone: Tone): void {
    this.#events.push({ at: elapsed, text, tone });
    if (this.#look !== undefined) this.#redraw();
  }

  open(look: () => Picture): void {
    this.#look = look;
    process.stdout.write(`${OTHER_PAGE}${HIDE_CURSOR}${CLEAR}`);
    this.#timer = setInterval(() => this.#redraw(), 100);
    this.#redraw();
  }

  close(): void {
    if (this.#look === undefined) return;
    clearInterval(this.#timer);
    const last = this.#lines();
    this.#look = undefined;
    process.stdout.write(`${SHOW_CURSOR}${FIRST_PAGE}${last.join("\n")}\n`);
  }

  #redraw(): void {
    const text = this.#lines().map((line) => `${line}${CLEAR_LINE}`).join("\n");
    process.stdout.write(`${HOLD}${HOME}${text}${CLEAR_BELOW}${SHOW}`);
  }

  #lines(): string[] {
    const { columns, rows } = process.stdout;
    return draw(this.#look!(), this.#events, { columns: columns || 80, rows: rows || 24 }, paintWith(true));
  }
}

const OTHER_PAGE = "\x1b[?1049h";
const FIRST_PAGE = "\x1b[?1049l";
const HIDE_CURSOR = "\x1b[?25l";
const SHOW_CURSOR = "\x1b[?25h";
const CLEAR = "\x1b[2J";
const HOME = "\x1b[H";
const CLEAR_LINE = "\x1b[K";
const CLEAR_BELOW = "\x1b[J";
/** Terminals that know these codes show the text between them at once; others ignore the codes. */
const HOLD = "\x1b[?2026h";
const SHOW = "\x1b[?2026l";

/** Prints a line each second and for each event, without escape codes. */
class PlainScreen implements Screen {
  #timer: ReturnType<typeof setInterval> | undefined;
  #closed = false;

  event(elapsed: number, text: string): void {
    if (!this.#closed) console.log(`${seconds(elapsed).padStart(5)} s  ${text}`);
  }

  open(look: () => Picture): void {
    this.#timer = setInterval(() => {
      const picture = look();
      if (picture.counts.sent > 0) console.log(plainLine(picture));
    }, 1_000);
  }

  close(): void {
    this.#closed = true;
    clearInterval(this.#timer);
  }
}
