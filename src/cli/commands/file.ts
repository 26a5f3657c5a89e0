/**
 * `backup`: copies the file of a program while it runs. `file`: looks whether a file is damaged, and exports what a
 * damaged one still has.
 * @decides `catga backup` and `catga file`
 */
import { resolve } from "node:path";
import { printable, printableJson } from "../../data/printable.ts";
import { fileOf } from "../cluster/connection.ts";
import { type Flags, UsageError } from "../terminal/flags.ts";
import { type CliCommand, DONE, FAILED } from "../terminal/cli_command.ts";
import { print } from "../terminal/listing.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** The `backup` command of the tool. */
export const backup: CliCommand = {
  name: "backup",
  words: "TO",
  summary: "copies the file of a program, also while it runs",
  flags: [],
  more: `
With --file PATH. The copy is the file as it is at one moment, without its log:
a program can start on it. The program goes on meanwhile. TO must not exist.`,
  async run([to], flags, terminal) {
    const path = given("backup", flags, terminal);
    const { backUp, systemDriver, openBeside } = await parts();
    // a file that a killed process has left is made whole first
    (await openBeside(path)).close();
    await backUp(await systemDriver.resolve(path), to, systemDriver);
    print(terminal, flags.has("json"), { backup: resolve(to) }, `copied: ${path} to ${to}`);
    return DONE;
  },
};

/** The `file` command of the tool. */
export const file: CliCommand = {
  name: "file",
  words: "VERB [TO]",
  summary: "says if a file is damaged; exports what is whole",
  flags: [],
  more: `
With --file PATH; VERB is check or export. check reads every page, and names
each stream and bucket of which a page is torn or damaged, or whose rows do not
fit together; the exit code is 1 then. It also works beside the program that
runs. SQLite has no checksums: a changed byte within a payload is not noticed.
export TO copies everything that can be read into a new file, on which a program
can start. Restore a backup instead if you have one.`,
  async run([verb, to], flags, terminal) {
    if (!(verb === "check" && to === undefined) && !(verb === "export" && to !== undefined)) {
      throw new UsageError("usage: catga file check, or catga file export TO");
    }
    const path = given("file", flags, terminal);
    const { damagesOf, exportWhole, systemDriver } = await parts();
    const resolved = await systemDriver.resolve(path);
    if (systemDriver.status(resolved) === undefined) throw new Error(`there is no file ${path}`);
    if (to !== undefined) {
      const { rows, damaged } = await exportWhole(resolved, to, systemDriver);
      const left = damaged.length === 0 ? "" : `; of these a part could not be read: ${damaged.join(", ")}`;
      print(
        terminal,
        flags.has("json"),
        { exported: { to: resolve(to), rows, damaged } },
        `${rows} rows to ${to}${left}`,
      );
      return DONE;
    }
    const damages = damagesOf(resolved, systemDriver);
    if (flags.has("json")) terminal.write(`${printableJson({ ok: damages.length === 0, damages })}\n`);
    else {
      for (const { about, message } of damages) terminal.write(`${printable(`${about}: ${message}`)}\n`);
      const advice = "restore a backup, or export what is whole: catga file export TO";
      terminal.write(damages.length === 0 ? "Nothing is damaged.\n" : `The file is damaged: ${advice}\n`);
    }
    return damages.length === 0 ? DONE : FAILED;
  },
};

function given(command: string, flags: Flags, terminal: Terminal): string {
  const path = fileOf(flags, terminal);
  if (path === undefined) throw new UsageError(`${command} takes --file PATH, the file of catga({ file })`);
  return path;
}

async function parts() {
  const [whole, { systemDriver }, { openBeside }, { systemRandom }] = await Promise.all([
    import("../../file/whole.ts"),
    import("../../file/driver.ts"),
    import("../../file/beside.ts"),
    import("../../ports/clock.ts"),
  ]);
  return {
    ...whole,
    systemDriver,
    openBeside: (path: string) => openBeside({ path, random: systemRandom() }),
  };
}
