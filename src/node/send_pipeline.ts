import { show } from "../contract/checks.ts";
import type { Result } from "../contract/result.ts";
import type { Behavior, OutgoingMessage } from "../contract/behavior.ts";

/** A message on its way out through the behaviors around sends; `go` sends it, with these headers besides its own. */
export type Sending = (
  message: OutgoingMessage,
  go: (headers: Readonly<Record<string, string>> | undefined) => Promise<Result<unknown>>,
) => Promise<Result<unknown>>;

/** Folds what behaviors have around sends; `undefined` when none has anything. */
export function foldSends(behaviors: readonly Behavior[]): Sending | undefined {
  const around = behaviors.flatMap(({ send }) => send === undefined ? [] : [send]);
  if (around.length === 0) return undefined;
  return around.reduceRight<Sending>((inner, behavior) => async (message, go) => {
    const result = await behavior(
      message,
      (headers) => inner(message, (more) => go(headers === undefined ? more : { ...headers, ...more })),
    );
    if (typeof result?.ok === "boolean") return result;
    const { method, contract: { name } } = message;
    throw new TypeError(
      `a behavior around ${method} ${name} must return a result, what next() gives or fail(…); got ${show(result)}`,
    );
  }, async (_, go) => await go(undefined));
}
