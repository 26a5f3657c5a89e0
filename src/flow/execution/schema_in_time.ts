/** Runs a program's schemas with a limit of time, because a schema may never settle: the app's timeout at most. */
import type { Result } from "../../contract/calls/result.ts";
import { type Schema, validate } from "../../contract/schemas/schema.ts";
import type { CatgaError } from "../../error.ts";
import { type Clock, valueWithin } from "../../ports/clock.ts";
import { failed } from "../calls/run_answers.ts";

/** An app, with the timeout that limits its schemas. */
interface TimedApp {
  readonly clock: Clock;
  readonly app: { readonly timeout: number };
}

/** A schema, and the name of the value that it checks, for errors. */
interface NamedSchema {
  readonly name: string;
  readonly schema: Schema<never, unknown>;
}

/**
 * Parses a value by its schema. Resolves with the result, or with `undefined` if the schema has not settled within the
 * app's timeout.
 */
export async function parsedInTime(
  { clock, app }: TimedApp,
  { name, schema }: NamedSchema,
  value: unknown,
  code: "INVALID_MESSAGE" | "INVALID_RESPONSE",
): Promise<Result<unknown> | undefined> {
  return await valueWithin(clock, app.timeout, Promise.resolve(validate(schema, value, code, name)));
}

/**
 * Checks a value from a program by its schema. Resolves with the failure; `undefined`: the value is valid. `outcome`:
 * beginning of the error message for a schema that has not settled in time; `late`: the code of that error.
 */
export async function refusedInTime(
  node: TimedApp,
  outcome: string,
  schema: NamedSchema,
  value: unknown,
  late: "UNAVAILABLE" | "INVALID_MESSAGE",
): Promise<Result<never, never> | undefined> {
  const parsed = await parsedInTime(node, schema, value, "INVALID_MESSAGE") ??
    failed(late, `${outcome}: its schema took longer than ${node.app.timeout} ms`);
  return parsed.ok ? undefined : { ok: false, error: parsed.error as CatgaError<never> };
}
