/** A program of a user, and the errors that a compiler finds in it: for tests of a clone that is used as a package. */
import { execFile } from "node:child_process";
import process from "node:process";

/** A program that names its caller and its metadata, as docs/http.md does. */
export const PROGRAM = `
import { catga, command } from "@catga/catga";
declare module "@catga/catga" {
  interface ProgramTypes {
    caller: { id: string; role: "buyer" | "admin" };
    meta: { role?: "admin" };
  }
}
const Who = command<void, string>("Who", { meta: { role: "admin" } });
await using app = await catga({ handlers: Who.handle((_, ctx) => ctx.caller?.id ?? "nobody") });
console.log(await app.send(Who));
`;

/** Runs a compiler in a folder; returns its exit code, and the lines of its errors. */
export async function errorsOf(folder: string, file: string, args: readonly string[]): Promise<[unknown, string[]]> {
  const env = { ...process.env, NO_COLOR: "1" };
  const options = { cwd: folder, env, maxBuffer: 1e8 };
  return await new Promise((resolve) =>
    execFile(file, [...args], options, (error, out, err) => {
      const errors = `${out}${err}`.split("\n").filter((line) => /\[ERROR\]|error TS/.test(line));
      resolve([error?.code ?? 0, errors]);
    })
  );
}
