/**
 * `move`: takes everything that the file of a program stores into NATS. `pull`: makes a file of a namespace.
 * @decides `catga move` and `catga pull`
 */
import { resolve } from "node:path";
import { systemClock } from "../../ports/clock.ts";
import { printable } from "../../data/printable.ts";
import { connectionOptions } from "../cluster/connection.ts";
import type { CopiedPart, OpenedNats } from "../cluster/copying.ts";
import { openNats } from "../../nats/open.ts";
import type { Flags } from "../terminal/flags.ts";
import { type CliCommand, DONE } from "../terminal/cli_command.ts";
import { Listing } from "../terminal/listing.ts";
import type { Terminal } from "../terminal/terminal.ts";

/** The `move` command of the tool. */
export const move: CliCommand = {
  name: "move",
  words: "FILE URL",
  summary: "takes all that a program's file stores into NATS",
  flags: ["replicas"],
  more: `
Durable messages, entities, runs, schedules, recorded results, ids, dead letters
and the progress of subscriptions, with their sequences. No program may use the
file or the namespace meanwhile. The copy is compared with the file, message by
message; then the file is marked as moved, and no program starts on it again.
After a break, at whatever moment, run the command again. --replicas N must
equal the option \`replicas\` of the nodes.`,
  async run([path, url], flags, terminal) {
    const replicas = flags.number("replicas", 1, 5) ?? 1;
    const [{ moveFile, resumesCopy }, { takeForCopy }, { systemDriver }] = await parts();
    const { namespace } = flags;
    return await connected(url, flags, terminal, async (nats) => {
      const file = await takeForCopy(path, {
        ...{ driver: systemDriver, clock: systemClock },
        resumes: (file) => resumesCopy(file, namespace),
      });
      try {
        const copied = await moveFile({ file, nats, namespace, replicas, address: withoutSecrets(url) });
        show(copied, flags, terminal);
        terminal.say(
          printable(`moved: start the program with { nats: "${withoutSecrets(url)}" } in place of the file`),
        );
        return DONE;
      } finally {
        file[Symbol.dispose]();
      }
    });
  },
};

/** The `pull` command of the tool. */
export const pull: CliCommand = {
  name: "pull",
  words: "URL FILE",
  summary: "copies what a namespace stores into a file",
  flags: [],
  more: `
The nodes go on, and nothing changes in NATS. A program that is started on the
copy, with { file: "…" }, runs the handlers that it has, and no others: give it
only those that may run again on a copy of production. FILE must not exist.`,
  async run([url, to], flags, terminal) {
    const [{ pullNamespace }, { fillFile }, { systemDriver }, { written }] = await parts();
    return await connected(url, flags, terminal, async (nats) => {
      let copied: CopiedPart[] = [];
      await written(to, to, systemDriver, async (part) => {
        await fillFile(part, { driver: systemDriver, clock: systemClock }, async (copy) => {
          copied = await pullNamespace({ nats, namespace: flags.namespace, copy });
        });
      });
      show(copied, flags, terminal);
      terminal.say(printable(`copied to ${resolve(to)}`));
      return DONE;
    });
  },
};

function parts() {
  return Promise.all([
    import("../cluster/copying.ts"),
    import("../../file/copied_rows.ts"),
    import("../../file/driver.ts"),
    import("../../file/whole.ts"),
  ]);
}

async function connected<T>(
  url: string,
  flags: Flags,
  terminal: Terminal,
  work: (nats: OpenedNats) => Promise<T>,
): Promise<T> {
  const nats = await openNats({ ...await connectionOptions(flags, terminal), servers: url.split(",") }, {
    name: "catga cli",
    transport: undefined,
    onError: (error) => terminal.say(printable(`catga: ${error}`)),
    onForbidden: ({ operation, subject }) =>
      terminal.say(printable(`catga: the NATS user may not ${operation} to ${subject}`)),
    onNotice: (notice) => terminal.say(printable(`catga: ${notice}`)),
    passive: true,
  });
  try {
    return await work(nats);
  } finally {
    await nats.transport.close();
  }
}

function withoutSecrets(url: string): string {
  return url.replace(/\/\/[^@/]*@/g, "//");
}

function show(parts: readonly CopiedPart[], flags: Flags, terminal: Terminal): void {
  const listing = new Listing(terminal, flags.has("json"), ["PART", ">COUNT", "FINGERPRINT"]);
  for (const part of parts) listing.add(part, [part.name, `${part.count}`, part.fingerprint.slice(0, 16)]);
  listing.end("nothing was stored");
}
