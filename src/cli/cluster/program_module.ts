/** Loads modules of the user's program, for `check`, `contracts` and `--codec`. */
import { resolve } from "node:path";
import process from "node:process";
import { pathToFileURL } from "node:url";
import { stripVTControlCharacters } from "node:util";
import { UsageError } from "../terminal/flags.ts";

/** Deno's words for a bare name that no `deno.json` explains. */
const UNRESOLVED = /not a dependency|not prefixed with|not in import map/;

/** Imports a file, relative to the working directory. Throws a {@link UsageError} if it cannot be loaded. */
export async function importFile(file: string): Promise<Record<string, unknown>> {
  try {
    return await import(pathToFileURL(resolve(process.cwd(), file)).href);
  } catch (error) {
    const message = `${(error as Error)?.message ?? error}`;
    const line = stripVTControlCharacters(message).trim().replaceAll(/\s*\n\s*/g, "; ");
    const hint = UNRESOLVED.test(message)
      ? ". A `catga` that `deno install` has made reads no deno.json of yours: run " +
        "`deno run -A jsr:@catga/catga/cli` in the folder of the program"
      : "";
    throw new UsageError(`${file} cannot be loaded: ${line}${hint}`);
  }
}
