/** `logging()`: writes a log line for each handled message. */
import { type Behavior, markMaker } from "../contract/declaration/behavior.ts";
import { checkBoolean, checkKnown, checkMethods, show } from "../data/checks.ts";
import { isHandlerFailure } from "../contract/declaration/handler.ts";
import type { LogFields, Logger } from "../contract/nodes/observer.ts";
import { loggedPayload } from "../contract/declaration/redaction.ts";
import { messageLabel, printable } from "../data/printable.ts";

/** Options of {@link logging}, the behavior that writes a log line for each handled message. */
export interface LoggingOptions {
  /**
   * Where the lines go. Default: the app's `logger`; if the app has none, the console, with the time and without
   * fields.
   */
  logger?: Pick<Logger, "debug" | "info" | "warn"> | undefined;
  /** Level of the lines for successful messages; a failure is logged as a warning. Default: `"info"`. */
  level?: "debug" | "info" | undefined;
  /**
   * True if payloads are logged, too, with `(hidden)` in place of the members that the contract's `redact` names.
   * Default: `false`.
   */
  payload?: boolean | undefined;
}

/**
 * Logs each message when its handler has ended. The fields are `node`, `type` (`"handled"`), `contract`, `kind`, `id`,
 * `correlationId`, `attempt`, `at` (when the handler ended, in ms since 1970), `ms` (how long it took), `outcome`
 * (`"ok"` or the error's code), and `error` after a failure. Errors that a handler throws are in the app's log already:
 * without a `logger` of its own, `logging()` writes no line for them.
 *
 * @example
 * ```ts
 * import { catga, query } from "@catga/catga";
 * import { logging } from "@catga/catga/behaviors";
 *
 * const Answer = query<void, number>("Answer");
 * await using app = await catga({ id: "n1", handlers: Answer.handle(() => 42), behaviors: [logging()] });
 * console.log((await app.send(Answer, undefined, { id: "m1" })).value);
 * // 2026-01-01T00:00:00.000Z catga n1: Answer ok in 0.1 ms (message m1)
 * // 42
 * ```
 */
export function logging(options: LoggingOptions = {}): Behavior {
  checkKnown("logging", options, OPTIONS);
  const { logger: own, level = "info", payload: payloads = false } = options;
  if (level !== "debug" && level !== "info") {
    throw new TypeError(`logging: level must be "debug" or "info"; got ${show(level)}`);
  }
  checkBoolean("logging: payload", payloads);
  if (own !== undefined) checkMethods("logging: logger", own, ["debug", "info", "warn"]);
  return async ({ contract, payload, ctx, clock, logger = CONSOLE }, next) => {
    const start = clock.monotonic();
    const result = await next();
    if (own === undefined && !result.ok && isHandlerFailure(result.error, contract, ctx)) return result;
    const [at, ms] = [clock.now(), clock.monotonic() - start];
    const { id, correlationId, attempt, node } = ctx;
    const { name, kind } = contract;
    const outcome = result.ok ? "ok" : result.error.code;
    const why = result.ok ? "" : `: ${result.error.message}`;
    const fields = { node, type: "handled", contract: name, kind, id, correlationId, attempt, at, ms, outcome };
    try {
      (own ?? logger)[result.ok ? level : "warn"](
        printable(
          `catga ${node}: ${name} ${outcome} in ${ms.toFixed(1)} ms (${messageLabel(id, correlationId)})${why}`,
        ),
        {
          ...fields,
          ...(payloads ? { payload: loggedPayload(contract, payload, ctx) } : {}),
          ...(result.ok ? {} : { error: result.error }),
        },
      );
    } catch (error) {
      console.error(`catga ${node}: the logger of logging() threw`, error); // the message keeps its result
    }
    return result;
  };
}
markMaker(logging);

const OPTIONS: ReadonlySet<string> = new Set<keyof LoggingOptions>(["logger", "level", "payload"]);

const CONSOLE = Object.freeze({
  debug: (message: string, fields: LogFields) => console.debug(timed(message, fields)),
  info: (message: string, fields: LogFields) => console.info(timed(message, fields)),
  warn: (message: string, fields: LogFields) => console.warn(timed(message, fields)),
});

function timed(message: string, { at }: LogFields): string {
  return `${new Date(Number(at)).toISOString()} ${message}`;
}
