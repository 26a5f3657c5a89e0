/** A stream of the log whose answers a test gives one by one. */
import type {
  Appended,
  AppendOptions,
  AppendReceiver,
  ConditionalAppend,
  LogAbilities,
  LogState,
  LogStream,
  StoredMessage,
} from "../../src/ports/event_log.ts";
import { CatgaError } from "../../src/error.ts";

/** An append, until the test answers it. */
export interface Append extends AppendOptions {
  readonly subject: string;
  readonly data: string;
  answer(appended: Appended): void;
}

/** The stream. */
export class ScriptedStream implements LogStream {
  readonly name = "scripted";
  serverTime = 1_000;
  latestServerTime = 1_000;
  measureTime: LogStream["measureTime"] = () => undefined;
  read: LogStream["read"] = () => Promise.resolve([]);
  abilities: LogAbilities | undefined = { at: true, cron: true, version: "9.9.9" };
  readonly appends: Append[] = [];
  /** Answers each append at once, when it is set. */
  reply: ((append: Append) => Appended | undefined) | undefined;
  /** What `last` gives for its subject. */
  stored: StoredMessage | undefined;

  append(subject: string, data: string | Uint8Array, options: AppendOptions): Promise<Appended> {
    return new Promise((resolve) => {
      const append = { ...options, subject, data: String(data), answer: resolve };
      this.appends.push(append);
      const replied = this.reply?.(append);
      if (replied !== undefined) resolve(replied);
    });
  }

  appendNext(receiver: AppendReceiver, subject: string, text: string, { due, expect }: ConditionalAppend): void {
    this.append(subject, text, { timeout: due, expect }).then((appended) => receiver.appended(appended, 0));
  }

  state(): Promise<LogState | undefined> {
    return Promise.reject(new CatgaError("UNAVAILABLE", "a scripted stream has no state"));
  }

  last(subject: string): Promise<StoredMessage | undefined> {
    return Promise.resolve(this.stored?.subject === subject ? this.stored : undefined);
  }

  at(): Promise<StoredMessage | undefined> {
    return Promise.resolve(this.stored);
  }

  follow(): never {
    throw new Error("a scripted stream has no readers");
  }

  lasts(): Promise<void> {
    return Promise.resolve();
  }

  subjects(): Promise<string[]> {
    return Promise.resolve([]);
  }

  purge(): Promise<number> {
    return Promise.resolve(0);
  }

  onDoubt(): () => void {
    return () => {};
  }
}

/** Stored, for {@link Append.answer}. */
export function stored(sequence = 1, duplicate = false): Appended {
  return { type: "stored", sequence, duplicate };
}

/** No answer. */
export const SILENCE: Appended = Object.freeze({
  type: "unknown",
  error: new CatgaError("OUTCOME_UNKNOWN", "no answer"),
});

/** Certainly not stored; trying again may help. */
export const NO_LEADER: Appended = Object.freeze({
  type: "not stored",
  transient: true,
  error: new CatgaError("UNAVAILABLE", "no leader"),
});

/** Certainly not stored, ever. */
export function refusal(code: "TOO_LARGE" | "UNAVAILABLE" | "INVALID_MESSAGE"): Appended {
  return { type: "not stored", transient: false, error: new CatgaError(code, "refused") };
}
