/** Reads the error of a failed result. */
import { assert, assertInstanceOf } from "@std/assert";
import { CatgaError } from "../../src/error.ts";
import type { Result } from "../../src/contract/calls/result.ts";

/** The error of a result, which must be a failure. */
export function errorOf(result: Result<unknown>): CatgaError {
  assert(!result.ok);
  assertInstanceOf(result.error, CatgaError);
  return result.error;
}
