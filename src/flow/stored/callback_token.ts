/**
 * Tokens of callbacks. A token names its run, and carries a code that only a holder of the run's secret can make (an
 * HMAC of the callback's name and life), so it can be made neither from ids nor from other tokens. The secret is
 * random, and stored in the run: each replay of the run makes the same tokens.
 */
import { isCount, isToken } from "../../data/checks.ts";
import { type Random, token } from "../../ports/clock.ts";
import { callbackKey } from "./journal_entry.ts";
import type { RunRef } from "./run_ref.ts";

/** A callback that a token names. `code`: shows that the run has made the token. */
export interface NamedCallback {
  readonly ref: RunRef;
  readonly step: string;
  /** Number of the run's life that has made the callback. */
  readonly life: number;
  readonly code: string;
}

/** Makes the secret of a run. */
export function newSecret(random: Random): string {
  return token(random, SECRET_LENGTH);
}

/** Makes the token of a callback: letters, digits, `-`, `_` and one dot. */
export function callbackToken({ workflow, run }: RunRef, life: number, step: string, secret: string): string {
  const name = Buffer.from(JSON.stringify([workflow, run, life, step])).toString("base64url");
  return `${name}.${codeOf(secret, life, step)}`;
}

/** Reads a token, which anybody may have made; `undefined`: it is none. */
export function readToken(text: string): NamedCallback | undefined {
  const [, name, code] = /^([\w-]{1,4000})\.([\w-]{43})$/.exec(text) ?? [];
  if (name === undefined) return undefined;
  try {
    const [workflow, run, life, step, ...more] = JSON.parse(Buffer.from(name, "base64url").toString());
    const isText = (one: unknown) => typeof one === "string" && one !== "" && one.length <= 256 && one.isWellFormed();
    if (!isToken(workflow, 48) || !isText(run) || !isText(step) || !isCount(life) || more.length > 0) return undefined;
    return { ref: { workflow, run }, step, life, code };
  } catch {
    return undefined; // it is no JSON, or no list
  }
}

/** Returns true if the run with this secret has made the token. Takes as long for each wrong code. */
export function isMadeBy(secret: string, { life, step, code }: NamedCallback): boolean {
  const { timingSafeEqual } = process.getBuiltinModule("node:crypto");
  return timingSafeEqual(Buffer.from(code), Buffer.from(codeOf(secret, life, step)));
}

function codeOf(secret: string, life: number, step: string): string {
  const { createHmac } = process.getBuiltinModule("node:crypto");
  return createHmac("sha256", secret).update(callbackKey(life, step)).digest("base64url");
}

/** Length of a secret, in characters of 5.95 bits each. */
const SECRET_LENGTH = 32;
